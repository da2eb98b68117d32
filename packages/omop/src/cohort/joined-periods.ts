/** Periods that overlap or nearly touch become one, as eras do. `step` has person_id, start_date and end_date. */
import { addDays, coalesce, column, compare, type Expression, integer, max, min, type Select } from './sql-tree.ts';

/**
 * Of periods that end no earlier than they start. In the order of their starts, a joined one begins where all before end too early;
 * it ends where all that come before the next beginning end at the latest.
 */
export function joinedPeriods(step: string, gapDays: number): Select {
  const person = column('s', 'person_id');
  const latest = (frame: 'before' | 'all'): Expression => ({
    kind: 'window',
    name: 'max',
    of: column('s', 'end_date'),
    partitionBy: person,
    orderBy: [{ by: column('s', 'start_date') }, { by: column('s', 'end_date') }],
    frame,
  });
  const reached: Select = {
    columns: {
      person_id: person,
      start_date: column('s', 'start_date'),
      reached_before: latest('before'),
      reached_at_last: latest('all'),
    },
    from: { step, as: 's' },
  };
  const before = column('n', 'reached_before');
  const start = column('n', 'start_date');
  const atNext: Expression = {
    kind: 'window',
    name: 'lead',
    of: before,
    partitionBy: column('n', 'person_id'),
    orderBy: [{ by: start }],
  };
  return {
    columns: {
      person_id: column('n', 'person_id'),
      start_date: start,
      end_date: coalesce(atNext, column('n', 'reached_at_last')),
    },
    from: { query: reached, as: 'n' },
    where: [{ kind: 'any', of: [{ kind: 'is-null', of: before }, compare(addDays(before, gapDays), '<', start)] }],
  };
}

/** Of rows that others wrote, which may end before they start: joined ones are numbered, and reach as far as their own rows do. */
export function joinedRows(step: string, gapDays: number): Select {
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
