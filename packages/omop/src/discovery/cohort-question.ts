/**
 * A question about a cohort as a plan: one statement over the CDM, and how sets of patients are made of what it gives.
 *
 * The price depends on the question alone: 1 for the total, 1 for each rule of the definition, and for each characteristic what
 * its table costs (`budget.ts`).
 */
import { AppError, type Characteristic } from '@lantern/contract';
import { planCohort } from '../cohort/cohort-plan.ts';
import type { CohortDefinition } from '../cohort/definition.ts';
import { type CdmNeeds, neededColumns } from '../cohort/plan-needs.ts';
import { type PrintOptions, printPlan } from '../cohort/sql-printer.ts';
import { column, min, type Query, type Select, type Step } from '../cohort/sql-tree.ts';
import { listCost, tableCost } from '../disclosure/budget.ts';
import { dependsOnYear, entryCells, measurementCells } from './cells.ts';
import { characteristicRows, entryRows, FIRST_ENTRIES, MODALITIES } from './characteristic-plan.ts';
import { describedPart, gatheredRows } from './gathered-rows.ts';

/**
 * How the table of a characteristic is made; `part` names the rows it is made of.
 *
 * cells    `expression` gives the index of a cell, over the view of entries or over the rows of the part
 * largest  by the code of each row, a concept
 */
export type TablePlan = { readonly column: string; readonly part: string } & (
  | { readonly kind: 'partition' | 'each'; readonly labels: readonly string[]; readonly expression: string }
  | { readonly kind: 'largest'; readonly limit: number }
);

export type CohortQuestionPlan = {
  /** In sets. */
  readonly cost: number;
  readonly needs: CdmNeeds;
  /** Rows as `GATHERED_COLUMNS` has them. */
  readonly sql: (options: PrintOptions) => string;
  /** Of the rules, in their order; stage n are those whose mask has the bits 0 to n. */
  readonly rules: readonly string[];
  readonly tables: readonly TablePlan[];
  /** The year on which the cells depend, if they do on any. */
  readonly year: number | undefined;
};

/** Longer than anybody lives, and short enough that no sum of several leaves the dates that the databases know. */
const DAYS_MAX = 100_000;

/**
 * Throws `input.invalid` naming what is wrong with the definition. It is so for every hospital: a statement that failed only where a
 * patient is found (a date beyond all dates) would say exactly, and free of charge, that there is one.
 */
export function planCohortQuestion(asked: {
  readonly definition: CohortDefinition;
  readonly describe: readonly Characteristic[];
  readonly currentYear: number;
}): CohortQuestionPlan {
  const { definition, describe, currentYear } = asked;
  assertDays(definition, '');
  const plan = planCohort(definition);
  const firstEntries: Select = {
    columns: { person_id: column('k', 'subject_id'), entry_date: min(column('k', 'cohort_start_date')) },
    from: { query: plan.cohort, as: 'k' },
    groupBy: [column('k', 'subject_id')],
  };
  const steps: Step[] = [...plan.steps, { name: FIRST_ENTRIES, query: firstEntries }];
  const rules = definition.inclusionRules.map(({ name }, index) => (name === '' ? `Rule ${index + 1}` : name));
  const parts: Query[] = [
    entryRows(),
    ...(rules.length === 0 ? [] : [stageRows(plan.masks)]),
    ...describe.flatMap((one, index) => characteristicRows(one, describedPart(index)) ?? []),
  ];
  const rows: Query = { unionAll: parts };
  const tables = describe.map((one, index) => tablePlan(one, { part: describedPart(index), currentYear }));
  return {
    cost: 1 + rules.length + tables.reduce((sum, table) => sum + costOf(table), 0),
    needs: neededColumns([...steps.map(({ query }) => query), ...parts]),
    sql: (options) => printPlan(steps, rows, options),
    rules,
    tables,
    year: describe.some(dependsOnYear) ? currentYear : undefined,
  };
}

function stageRows(masks: Query): Select {
  const values = { code: column('m', 'mask') };
  return gatheredRows('stage', { personId: column('m', 'person_id'), values }, { from: { query: masks, as: 'm' } });
}

function tablePlan(one: Characteristic, { part, currentYear }: { part: string; currentYear: number }): TablePlan {
  switch (one.kind) {
    case 'sex':
    case 'age':
    case 'year':
    case 'crossing':
      return { kind: 'partition', part: 'entry', ...entryCells(one, currentYear) };
    case 'measurement': {
      const name = `measurement ${one.conceptId} in ${one.unitConceptId}`;
      return { kind: 'partition', part, column: name, ...measurementCells(one.bounds) };
    }
    case 'modality':
      return { kind: 'each', part, column: one.kind, labels: MODALITIES, expression: 'code' };
    case 'top-conditions':
    case 'top-drugs':
      return { kind: 'largest', part, column: one.kind, limit: one.limit };
  }
}

function costOf(table: TablePlan): number {
  if (table.kind === 'largest') return listCost(table.limit);
  return tableCost({ cellCount: table.labels.length, disjoint: table.kind === 'partition' });
}

/** Wherever a definition counts days. */
const DAYS = /days(Supply)?$/i;

function assertDays(value: unknown, path: string): void {
  if (typeof value !== 'object' || value === null) return;
  for (const [name, child] of Object.entries(value)) {
    const at = path === '' ? name : `${path}.${name}`;
    if (typeof child === 'number' && DAYS.test(name) && Math.abs(child) > DAYS_MAX) {
      throw new AppError('input.invalid', `${at}: is more than ${DAYS_MAX} days.`, { field: at });
    }
    assertDays(child, at);
  }
}
