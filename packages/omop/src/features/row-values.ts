/** Parts that the columns of a feature plan share: windows around the index day, and ranges of values. */
import type { DayWindow } from '@lantern/contract';
import { addDays, column, compare, type Expression } from '../cohort/sql-tree.ts';

/** Alias of the index days wherever they are read: person_id, index_date. */
export const INDEX = 'i';

/** Whether a day lies in the window, both of its ends included. */
export function inWindow(day: Expression, { from, to }: DayWindow): Expression[] {
  const index = column(INDEX, 'index_date');
  return [compare(day, '>=', addDays(index, from)), compare(day, '<=', addDays(index, to))];
}

type Range = { readonly min: number; readonly max: number };

const number = (value: number): Expression => ({ kind: 'number', value });

/** Nothing is not outside. */
export function outside(value: Expression, { min, max }: Range): Expression {
  return { kind: 'any', of: [compare(value, '<', number(min)), compare(value, '>', number(max))] };
}

/** The value, or nothing where it lies beyond the range. */
export function within(value: Expression, range: Range): Expression {
  return {
    kind: 'case',
    when: outside(value, range),
    value: { kind: 'null', type: 'double precision' },
    otherwise: { kind: 'to-double', of: value },
  };
}
