/**
 * Conversion of units as data: how a value in another unit becomes one in the unit of a column, value * factor + offset. Who makes a
 * plan brings what UCUM knows; a specification adds what depends on the substance, and overrides the rest.
 */
import type { MeasurementFeature } from '@lantern/contract';

export type UnitConversion = { readonly unit: string; readonly factor: number; readonly offset: number };
export type UnitConversions = readonly UnitConversion[];

/**
 * Units that laboratories and wards write, in UCUM: those of OHDSI's lists of units for measurements, and a few more. A unit that is
 * not here has to be named by the specification; else its values are left out and counted.
 */
export const CLINICAL_UNITS: readonly string[] = [
  ...['g/L', 'g/dL', 'mg/L', 'mg/dL', 'mg/mL', 'ug/L', 'ug/dL', 'ug/mL', 'ng/L', 'ng/dL', 'ng/mL', 'pg/mL', 'pg/dL'],
  ...['pg/L', 'kg/L', 'g/mL', 'mol/L', 'mmol/L', 'mmol/dL', 'umol/L', 'umol/dL', 'nmol/L', 'nmol/mL', 'pmol/L'],
  ...['pmol/mL', 'meq/L', 'eq/L', 'ueq/L', 'meq/dL', 'mosm/L', '[iU]/L', '[iU]/mL', 'm[iU]/L', 'm[iU]/mL', 'u[iU]/mL'],
  ...['k[iU]/L', 'U/L', 'U/mL', 'kU/L', 'mU/L', 'mU/mL', 'ukat/L', 'nkat/L', 'kat/L', '10*9/L', '10*3/uL', '10*6/uL'],
  ...['10*12/L', '10*3/mL', '10*6/mL', '10*6/L', '/uL', '/mL', '/L', '/mm3', 'fL', 'pg', 'ng', 'ug', 'mg', 'g', 'kg'],
  ...['[lb_av]', '[oz_av]', 't', 'm', 'cm', 'mm', 'um', '[in_i]', '[ft_i]', 'm2', 'cm2', 'mm2', 'L', 'dL', 'cL', 'mL'],
  ...[
    'uL',
    'nL',
    'cm3',
    'mm3',
    'm3',
    'kg/m2',
    'g/cm2',
    'g/m2',
    'mm[Hg]',
    'cm[H2O]',
    'm[Hg]',
    'Pa',
    'kPa',
    'hPa',
    'bar',
  ],
  ...['mbar', 'Cel', '[degF]', 'K', 's', 'ms', 'min', 'h', 'd', 'wk', 'mo', 'a', '/min', '/s', '/h', 'Hz', 'L/min'],
  ...['mL/min', 'mL/h', 'mL/s', 'L/s', 'L/h', 'mL/min/{1.73_m2}', 'mg/h', 'mg/d', 'g/d', 'mg/kg', 'ug/kg', 'g/kg'],
  ...[
    'mmol/kg',
    'umol/g',
    'mg/g',
    'ug/g',
    'ng/g',
    'mg/mmol',
    'g/mol',
    'mg/mol',
    'kcal',
    'cal',
    'J',
    'kJ',
    'W',
    'mV',
    'V',
  ],
  ...['%', 'mmol/mol', '1', '[pH]', '{score}', '{ratio}', 'deg', 'rad', 'Bq', 'MBq', 'Gy', 'mGy', 'Sv', 'mSv', '[ppm]'],
];

/** Of all conversions of a column, one for each unit; the unit itself needs none, and what the specification says comes first. */
export function conversionsFor(
  { unit, conversions = [] }: Pick<MeasurementFeature, 'unit' | 'conversions'>,
  known: UnitConversions,
): UnitConversions {
  const found = new Map<string, UnitConversion>([[unit, { unit, factor: 1, offset: 0 }]]);
  for (const one of conversions) found.set(one.unit, { offset: 0, ...one });
  for (const one of known) if (!found.has(one.unit)) found.set(one.unit, one);
  return [...found.values()];
}
