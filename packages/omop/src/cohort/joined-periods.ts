/** Periods that overlap or nearly touch become one, as eras do. */
import { addDays, column, compare, type Expression, integer, max, min, type Select } from './sql-tree.ts';

/** Islands of periods per person; `step` has person_id, start_date and end_date. */
export function joinedPeriods(step: string, gapDays: number): Select {
  const person = column('s', 'person_id');
  const byStart = [{ by: column('s', 'start_date') }, { by: column('s', 'end_date') }];
  const reach: Expression = {
    kind: 'window',
    name: 'max',
    of: addDays(column('s', 'end_date'), gapDays),
    partitionBy: person,
    orderBy: byStart,
    frame: 'before',
  };
  const begun: Select = {
    columns: {
      person_id: person,
      start_date: column('s', 'start_date'),
      end_date: column('s', 'end_date'),
      begins: {
        kind: 'case',
        when: compare(reach, '>=', column('s', 'start_date')),
        value: integer(0),
        otherwise: integer(1),
      },
    },
    from: { step, as: 's' },
  };
  const island: Expression = {
    kind: 'window',
    name: 'sum',
    of: column('s', 'begins'),
    partitionBy: person,
    orderBy: byStart,
    frame: 'so-far',
  };
  const numbered: Select = { allOf: 's', columns: { island }, from: { query: begun, as: 's' } };
  return {
    columns: {
      person_id: column('n', 'person_id'),
      start_date: min(column('n', 'start_date')),
      end_date: max(column('n', 'end_date')),
    },
    from: { query: numbered, as: 'n' },
    groupBy: [column('n', 'person_id'), column('n', 'island')],
  };
}
