/** How values of one unit of UCUM become those of another, where the two measure the same. */
import { canonicalQuantity } from '@lantern/hl7';
import { CLINICAL_UNITS, type UnitConversions } from '@lantern/omop';

/** A factor is a quotient of two that are not exact: 0.1 and not 0.10000000000000002. */
const DIGITS = 14;

/**
 * Conversions to `unit` from those of the clinical units that measure the same. None between pure numbers: a share and a ratio of
 * amounts are both of them, and 53 mmol/mol of haemoglobin A1c are 7 % and not 5.3 %. A specification says what it means there.
 */
export function conversionsTo(unit: string): UnitConversions {
  const [nought, one] = [canonicalQuantity(0, unit), canonicalQuantity(1, unit)];
  if (nought === undefined || one === undefined || one.unit === '1') return [];
  const step = one.value - nought.value;
  return CLINICAL_UNITS.flatMap((other) => {
    const [from, to] = [canonicalQuantity(0, other), canonicalQuantity(1, other)];
    if (other === unit || from === undefined || to === undefined || to.unit !== one.unit) return [];
    return [
      {
        unit: other,
        factor: rounded((to.value - from.value) / step),
        offset: rounded((from.value - nought.value) / step),
      },
    ];
  });
}

function rounded(value: number): number {
  return Number(value.toPrecision(DIGITS));
}
