/**
 * Reads a clinical table once for all criteria that pick its rows by concept sets. A definition may have dozens of criteria over one
 * table of hundreds of millions of rows, of which all together want few: these become a step, and each criterion picks from it.
 */
import { neededColumns } from './plan-needs.ts';
import { column, type Query, type Select, type Step } from './sql-tree.ts';

/** A select's first condition, where it picks rows of a table by one concept set. */
type Pick = {
  readonly table: string;
  readonly as: string;
  readonly name: string;
  readonly conceptSets: readonly number[];
};

/** The steps, with such a step after `first` of them for each table and column that several criteria pick from. */
export function withSharedRows(steps: readonly Step[], first: number): Step[] {
  const picks = new Map<string, Pick[]>();
  eachSelect(steps, (select) => {
    const pick = pickOf(select);
    if (pick !== undefined) picks.set(keyOf(pick), [...(picks.get(keyOf(pick)) ?? []), pick]);
  });
  const needs = neededColumns(steps.map(({ query }) => query));
  const shared = new Map<string, Step>();
  for (const [key, found] of picks) {
    const [one] = found;
    if (one === undefined || found.length < 2) continue;
    const { table, as, name } = one;
    const names = [...new Set([...(needs.get(table) ?? []), name])];
    const conceptSets = [...new Set(found.flatMap((pick) => pick.conceptSets))];
    shared.set(key, {
      name: `${table}_by_${name}`,
      query: {
        columns: Object.fromEntries(names.map((each) => [each, column(as, each)])),
        from: { table, as },
        where: [{ kind: 'in-concept-set', value: column(as, name), conceptSets }],
      },
    });
  }
  const replaced = steps.map(({ name, query }) => ({ name, query: replacedIn(query, shared) }));
  return [...replaced.slice(0, first), ...shared.values(), ...replaced.slice(first)];
}

function keyOf({ table, name }: Pick): string {
  return `${table} ${name}`;
}

function pickOf({ from, where }: Select): Pick | undefined {
  const [condition] = where ?? [];
  if (!('table' in from) || condition?.kind !== 'in-concept-set' || condition.value.kind !== 'column') return undefined;
  const { of, name } = condition.value;
  return of === from.as ? { table: from.table, as: from.as, name, conceptSets: condition.conceptSets } : undefined;
}

function eachSelect(steps: readonly Step[], visit: (select: Select) => void): void {
  const inside = (query: Query): void => {
    if ('unionAll' in query) {
      for (const one of query.unionAll) inside(one);
      return;
    }
    visit(query);
    for (const source of [query.from, ...(query.joins ?? []).map((join) => join.source)]) {
      if ('query' in source) inside(source.query);
    }
  };
  for (const { query } of steps) inside(query);
}

function replacedIn(query: Query, shared: ReadonlyMap<string, Step>): Query {
  if ('unionAll' in query) return { unionAll: query.unionAll.map((one) => replacedIn(one, shared)) };
  const pick = pickOf(query);
  const step = pick === undefined ? undefined : shared.get(keyOf(pick));
  if (step !== undefined) return { ...query, from: { step: step.name, as: query.from.as } };
  return 'query' in query.from
    ? { ...query, from: { ...query.from, query: replacedIn(query.from.query, shared) } }
    : query;
}
