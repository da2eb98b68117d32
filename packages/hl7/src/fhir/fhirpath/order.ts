/** Which of two items is greater (FHIRPath 6.2). */
import { instantRange } from '../dates.ts';
import { isJsonObject, numberOf } from '../json.ts';
import { type Item, primitiveOf } from './item.ts';

const DATE = /^\d{4}(-\d\d(-\d\d(T.*)?)?)?$/;

/** Negative, 0 or positive; undefined where the items cannot be compared, or their precision does not tell. */
export function compareItems(left: Item, right: Item): number | undefined {
  if (isJsonObject(left.value) && isJsonObject(right.value)) return compareQuantities(left.value, right.value);
  const [a, b] = [primitiveOf(left), primitiveOf(right)];
  if (typeof a === 'number' && typeof b === 'number') return a - b;
  if (typeof a !== 'string' || typeof b !== 'string') return undefined;
  if (DATE.test(a) && DATE.test(b)) return compareDates(a, b);
  return a < b ? -1 : a > b ? 1 : 0;
}

function compareDates(left: string, right: string): number | undefined {
  const [a, b] = [instantRange(left), instantRange(right)];
  if (a === undefined || b === undefined) return undefined;
  if (a.high <= b.low) return -1;
  if (b.high <= a.low) return 1;
  return a.low === b.low && a.high === b.high ? 0 : undefined;
}

function compareQuantities(left: Record<string, unknown>, right: Record<string, unknown>): number | undefined {
  const [a, b] = [numberOf(left['value']), numberOf(right['value'])];
  const isSameUnit = (left['code'] ?? left['unit']) === (right['code'] ?? right['unit']);
  return a === undefined || b === undefined || !isSameUnit ? undefined : a - b;
}
