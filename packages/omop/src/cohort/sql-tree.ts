/**
 * Queries as data: what a plan is made of. A plan never holds SQL text; a printer per dialect writes it (sql-printer.ts).
 *
 * Only what cohort definitions and feature specifications need is here. Names are those of the CDM and our own; values are checked numbers, dates and texts.
 */

export type Comparison = '=' | '<>' | '<' | '<=' | '>' | '>=';

export type Expression = Leaf | Arithmetic | Condition | Aggregate | Window;

export type Leaf =
  | { readonly kind: 'column'; readonly of: string; readonly name: string }
  | { readonly kind: 'integer'; readonly value: bigint }
  | { readonly kind: 'number'; readonly value: number }
  | { readonly kind: 'text'; readonly value: string }
  /** "2026-11-27". */
  | { readonly kind: 'date'; readonly value: string }
  | { readonly kind: 'null'; readonly type: 'bigint' | 'integer' | 'date' | 'double precision' };

export type Arithmetic =
  | { readonly kind: 'add-days'; readonly date: Expression; readonly days: Expression }
  | { readonly kind: 'days-between'; readonly from: Expression; readonly to: Expression }
  | { readonly kind: 'year'; readonly date: Expression }
  | { readonly kind: 'plus' | 'minus' | 'times' | 'divide'; readonly left: Expression; readonly right: Expression }
  | { readonly kind: 'to-bigint' | 'to-double' | 'lower-case'; readonly of: Expression }
  | { readonly kind: 'coalesce' | 'null-if'; readonly of: readonly Expression[] }
  | { readonly kind: 'case'; readonly when: Expression; readonly value: Expression; readonly otherwise: Expression };

export type Condition =
  | { readonly kind: 'compare'; readonly operator: Comparison; readonly left: Expression; readonly right: Expression }
  | { readonly kind: 'all' | 'any'; readonly of: readonly Expression[] }
  | { readonly kind: 'not' | 'is-null'; readonly of: Expression }
  | { readonly kind: 'in'; readonly value: Expression; readonly list: readonly bigint[] }
  | { readonly kind: 'in-concept-set'; readonly value: Expression; readonly conceptSets: readonly number[] }
  | Match;

/** `text` is matched as it is, whatever it holds. */
export type Match = {
  readonly kind: 'matches';
  readonly value: Expression;
  readonly text: string;
  readonly where: 'begins' | 'ends' | 'contains' | 'equals';
};

export type Aggregate = {
  readonly kind: 'aggregate';
  readonly name: 'count' | 'min' | 'max' | 'sum';
  readonly of: Expression;
  readonly isDistinct?: boolean;
  /** In which order values are added: sums of floating-point numbers depend on it. */
  readonly orderBy?: readonly Order[];
};

export type Window = {
  readonly kind: 'window';
  readonly name: 'row_number' | 'max' | 'sum' | 'lead';
  readonly of?: Expression;
  readonly partitionBy: Expression;
  readonly orderBy: readonly Order[];
  /** Of the rows in that order: those before this one, those up to and with it, or all of the partition. */
  readonly frame?: 'before' | 'so-far' | 'all';
};

export type Order = { readonly by: Expression; readonly isDescending?: boolean };

export type Source = { readonly as: string } & (
  | { readonly table: string }
  | { readonly step: string }
  | { readonly query: Query }
  /** Rows of whole numbers that stand in the statement itself; there is at least one. */
  | { readonly values: readonly (readonly bigint[])[]; readonly names: readonly string[] }
);

export type Join = { readonly kind: 'inner' | 'left'; readonly source: Source; readonly on: readonly Expression[] };

export type Select = {
  /** Every column of these sources, before `columns`. */
  readonly allOf?: string;
  readonly columns: Readonly<Record<string, Expression>>;
  readonly from: Source;
  readonly joins?: readonly Join[];
  readonly where?: readonly Expression[];
  readonly groupBy?: readonly Expression[];
  readonly having?: Expression;
  readonly isDistinct?: boolean;
};

export type Query = Select | { readonly unionAll: readonly Query[] };

/** A query with a name, which the steps after it can read. */
export type Step = { readonly name: string; readonly query: Query };

export function column(of: string, name: string): Expression {
  return { kind: 'column', of, name };
}

export function integer(value: number | bigint): Expression {
  return { kind: 'integer', value: BigInt(value) };
}

export function addDays(date: Expression, days: number | Expression): Expression {
  return { kind: 'add-days', date, days: typeof days === 'number' ? integer(days) : days };
}

export function compare(left: Expression, operator: Comparison, right: Expression): Expression {
  return { kind: 'compare', left, operator, right };
}

export function equal(left: Expression, right: Expression): Expression {
  return compare(left, '=', right);
}

export function coalesce(...of: readonly Expression[]): Expression {
  return { kind: 'coalesce', of };
}

export function min(of: Expression): Expression {
  return { kind: 'aggregate', name: 'min', of };
}

export function max(of: Expression): Expression {
  return { kind: 'aggregate', name: 'max', of };
}

export function rowNumber(partitionBy: Expression, orderBy: readonly Order[]): Expression {
  return { kind: 'window', name: 'row_number', partitionBy, orderBy };
}
