/**
 * Which tables of the CDM a plan reads, and which of their columns: to say before a query runs what a CDM lacks, and to read no more
 * of a file than is needed.
 */
import type { CohortPlan } from './cohort-plan.ts';
import type { Expression, Query, Select, Source } from './sql-tree.ts';

/** Columns by table. */
export type CdmNeeds = ReadonlyMap<string, ReadonlySet<string>>;

export function neededColumns({ steps, cohort, inclusion, censored }: CohortPlan): CdmNeeds {
  return columnsRead([...steps.map((step) => step.query), cohort, inclusion, censored]);
}

export function columnsRead(queries: readonly Query[]): CdmNeeds {
  const needs = new Map<string, Set<string>>();
  for (const query of queries) addQuery(needs, query);
  return needs;
}

type Needs = Map<string, Set<string>>;
/** What an alias stands for: the table, if any column of it can be one of a table's. */
type Scope = Map<string, string>;

function addQuery(needs: Needs, query: Query): void {
  if ('unionAll' in query) {
    for (const one of query.unionAll) addQuery(needs, one);
    return;
  }
  addSelect(needs, query);
}

function addSelect(needs: Needs, select: Select): void {
  const sources = [select.from, ...(select.joins ?? []).map(({ source }) => source)];
  const scope: Scope = new Map();
  const made = new Set<string>();
  for (const source of sources) addSource({ needs, scope, made }, source);
  const take = (of: string, name: string) => {
    const table = scope.get(of);
    if (table !== undefined && !made.has(`${of}.${name}`)) columnsOf(needs, table).add(name);
  };
  const { columns, joins = [], where = [], groupBy = [], having } = select;
  const on = joins.flatMap((join) => join.on);
  for (const one of [...Object.values(columns), ...on, ...where, ...groupBy, having]) visitColumns(one, take);
}

type Naming = { readonly needs: Needs; readonly scope: Scope; readonly made: Set<string> };

/** A query that passes all columns of a table on, and adds some of its own, stands for that table but for those. */
function addSource({ needs, scope, made }: Naming, source: Source): void {
  if ('table' in source) {
    columnsOf(needs, source.table);
    scope.set(source.as, source.table);
    return;
  }
  if (!('query' in source)) return;
  addQuery(needs, source.query);
  if ('unionAll' in source.query) return;
  const { allOf, from, columns } = source.query;
  if (allOf !== from.as || !('table' in from)) return;
  scope.set(source.as, from.table);
  for (const name of Object.keys(columns)) made.add(`${source.as}.${name}`);
}

function columnsOf(needs: Needs, table: string): Set<string> {
  const found = needs.get(table) ?? new Set();
  needs.set(table, found);
  return found;
}

/** Every column in an expression; its parts are expressions, lists of them, or leaves. */
function visitColumns(value: unknown, take: (of: string, name: string) => void): void {
  if (typeof value !== 'object' || value === null) return;
  if (isColumn(value)) {
    take(value.of, value.name);
    return;
  }
  for (const child of Object.values(value)) visitColumns(child, take);
}

function isColumn(value: object): value is Extract<Expression, { kind: 'column' }> {
  return 'kind' in value && value.kind === 'column';
}
