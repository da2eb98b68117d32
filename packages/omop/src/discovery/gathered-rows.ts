/**
 * What a question about records gathers from a CDM, in one statement, so that each step of a cohort is worked out once: rows of
 * several parts, told apart by `part`, in columns that all parts share. They never leave the site; `cells.ts` makes sets of them.
 *
 *   part          code                      birth_year   day            amount
 *   'entry'       concept of the gender     of birth     first entry    -
 *   'stage'       mask of the rules that the best event satisfies       -
 *   'described-N' concept, or place in a list of cells; of the characteristic N
 *   'described-N' -                         -            -              the value, of a measurement
 *   'concept'     concept
 */
import type { Expression, Select, Source } from '../cohort/sql-tree.ts';

/** Types of the columns in DuckDB, by name, in their order. */
export const GATHERED_COLUMNS = {
  part: 'VARCHAR',
  person_id: 'BIGINT',
  code: 'BIGINT',
  birth_year: 'BIGINT',
  day: 'DATE',
  amount: 'DOUBLE',
} as const;

type Values = Partial<Record<'code' | 'birth_year' | 'day' | 'amount', Expression>>;

const NONE: Required<Values> = {
  code: { kind: 'null', type: 'bigint' },
  birth_year: { kind: 'null', type: 'bigint' },
  day: { kind: 'null', type: 'date' },
  amount: { kind: 'null', type: 'double precision' },
};

export function describedPart(index: number): string {
  return `described-${index}`;
}

/** Rows of one part. */
export function gatheredRows(
  part: string,
  row: { readonly personId: Expression; readonly values: Values },
  select: Omit<Select, 'columns' | 'allOf'> & { readonly from: Source },
): Select {
  const { code, birth_year, day, amount } = { ...NONE, ...row.values };
  return {
    ...select,
    columns: {
      part: { kind: 'text', value: part },
      person_id: { kind: 'to-bigint', of: row.personId },
      code: { kind: 'to-bigint', of: code },
      birth_year: { kind: 'to-bigint', of: birth_year },
      day,
      amount: { kind: 'to-double', of: amount },
    },
  };
}
