/**
 * Who is in a cohort, at one CDM: its periods, and how many satisfied each inclusion rule. What a CDM lacks is said before anything
 * runs; an empty vocabulary is refused, as it would make a cohort of nobody.
 *
 * These numbers and rows are for people inside the hospital. Nothing here passes the disclosure gate, and nothing may leave by it.
 */
import { AppError } from '@lantern/contract';
import {
  type CdmNeeds,
  type CohortDefinition,
  cohortRunSql,
  namedConcepts,
  planCohort,
  planNeeds,
  quoteIdentifier,
} from '@lantern/omop';
import type { TextRow } from '@lantern/service';
import type { Cdm } from '../cdm/cdm.ts';
import type { TableAccount } from '../cdm/table-import.ts';
import { sqlText } from '../datasets/table-engine.ts';

/** As `cohortRunSql` gives them. */
const RESULT_COLUMNS = {
  part: 'VARCHAR',
  mode_id: 'INTEGER',
  number: 'BIGINT',
  amount: 'BIGINT',
  cohort_start_date: 'DATE',
  cohort_end_date: 'DATE',
} as const;

export type MaskCount = {
  /** What is counted: qualified events, or persons by their best event. */
  readonly of: 'events' | 'persons';
  /** Bit n is set where rule n is satisfied. */
  readonly mask: bigint;
  readonly count: number;
};

export type AttritionStep = {
  readonly rule: string;
  /** Persons whose best event satisfies this rule, and those whose satisfies this and every rule before it. */
  readonly satisfiedCount: number;
  readonly remainingCount: number;
};

export type CohortRun = {
  /** Persons in the cohort, and their periods in it. */
  readonly subjectCount: number;
  readonly entryCount: number;
  /** With an event that qualifies, before the inclusion rules. */
  readonly qualified: { readonly eventCount: number; readonly personCount: number };
  readonly attrition: readonly AttritionStep[];
  readonly masks: readonly MaskCount[];
  /** Persons whose every period lies outside the censor window. */
  readonly censoredCount: number;
  /** Named by the definition, and not in the vocabulary of the CDM. */
  readonly missingConcepts: readonly { readonly id: string; readonly name: string }[];
  /** Of tables of files, where rows had to be refused or columns are not there. */
  readonly shortfalls: readonly TableAccount[];
};

/** The rows stay in `cdm.results`; `writeCohort` writes them. */
export async function runCohort(cdm: Cdm, definition: CohortDefinition): Promise<CohortRun> {
  const plan = planCohort(definition);
  const needs = planNeeds(plan);
  checkNeeds(cdm.tables, needs);
  const accounts = await cdm.prepare(withConceptNames(needs));
  await checkVocabulary(cdm, definition);
  const missingConcepts = await findMissingConcepts(cdm, definition);
  const { dialect, schema } = cdm;
  await cdm.gather(cohortRunSql(plan, { dialect, ...(schema === undefined ? {} : { schema }) }), RESULT_COLUMNS);
  const { subjectCount, entryCount, censoredCount, masks } = await countsOf(cdm);
  return {
    subjectCount,
    entryCount,
    qualified: { eventCount: total(masks, 'events'), personCount: total(masks, 'persons') },
    attrition: attritionOf(definition, masks),
    masks,
    censoredCount,
    missingConcepts,
    shortfalls: accounts.filter(({ refused, absentColumns }) => refused.length + absentColumns.length > 0),
  };
}

type Counts = Pick<CohortRun, 'subjectCount' | 'entryCount' | 'censoredCount' | 'masks'>;

/** What the rows of a run sum up to, in one question: each costs milliseconds, as much as a small cohort. */
async function countsOf(cdm: Cdm): Promise<Counts> {
  const rows = await cdm.results.rows(
    `SELECT 'cohort' AS part, NULL AS mode_id, count(DISTINCT number) AS number, count(*) AS amount
     FROM temp.result WHERE part = 'cohort'
     UNION ALL
     SELECT part, mode_id, number, amount FROM temp.result WHERE part <> 'cohort' ORDER BY 1, 2, 3`,
  );
  const of = (part: string) => rows.filter(([name]) => name === part);
  const [cohort] = of('cohort');
  const [censored] = of('censored');
  return {
    subjectCount: Number(cohort?.[2]),
    entryCount: Number(cohort?.[3]),
    censoredCount: Number(censored?.[3]),
    masks: of('inclusion').map(([, mode = null, mask = null, count = null]) => maskOf([mode, mask, count])),
  };
}

/** Whatever the plan reads of it. */
function withConceptNames(needs: CdmNeeds): CdmNeeds {
  return new Map([...needs, ['concept', new Set(needs.get('concept')).add('concept_id')]]);
}

/** Throws `dataset.invalid` naming what a CDM lacks. */
export function checkNeeds(tables: CdmNeeds, needs: CdmNeeds): void {
  const lacking = [...needs].flatMap(([table, columns]) => {
    const present = tables.get(table);
    if (present === undefined) return [`the table ${table}`];
    return [...columns].filter((name) => !present.has(name)).map((name) => `the column ${table}.${name}`);
  });
  if (lacking.length === 0) return;
  throw new AppError('dataset.invalid', `The CDM lacks what this question needs: ${lacking.join(', ')}.`);
}

/** Sets of concepts are worked out with the CDM's own vocabulary; throws `dataset.invalid` where that is empty. */
export async function checkVocabulary(cdm: Cdm, { conceptSets }: Pick<CohortDefinition, 'conceptSets'>): Promise<void> {
  const items = conceptSets.flatMap((set) => set.items);
  const asked = {
    concept: items.length > 0,
    concept_ancestor: items.some(({ withDescendants }) => withDescendants),
    concept_relationship: items.some(({ withMapped }) => withMapped),
  };
  const tables = Object.entries(asked).flatMap(([table, isAsked]) => (isAsked ? [table] : []));
  if (tables.length === 0) return;
  const oneOf = (table: string) =>
    `SELECT ${sqlText(table)} AS name FROM (SELECT 1 AS one FROM ${qualified(cdm, table)} LIMIT 1) t`;
  const filled = new Set((await cdm.rows(tables.map(oneOf).join(' UNION ALL '))).map(([name]) => name));
  const empty = tables.find((table) => !filled.has(table));
  if (empty === undefined) return;
  throw new AppError(
    'dataset.invalid',
    `The table ${empty} is empty: load the vocabulary before cohorts are asked for.`,
  );
}

async function findMissingConcepts(cdm: Cdm, definition: CohortDefinition): Promise<CohortRun['missingConcepts']> {
  const named = namedConcepts(definition);
  if (named.length === 0 || !cdm.tables.has('concept')) return [];
  const ids = named.map(({ id }) => id).join(', ');
  const rows = await cdm.rows(`SELECT concept_id FROM ${qualified(cdm, 'concept')} WHERE concept_id IN (${ids})`);
  const present = new Set(rows.map(([id]) => id));
  return named.map(({ id, name }) => ({ id: String(id), name })).filter(({ id }) => !present.has(id));
}

function qualified({ schema }: Cdm, table: string): string {
  return schema === undefined ? quoteIdentifier(table) : `${quoteIdentifier(schema)}.${quoteIdentifier(table)}`;
}

function maskOf([mode, mask, count]: TextRow): MaskCount {
  return { of: mode === '0' ? 'events' : 'persons', mask: BigInt(mask ?? 0), count: Number(count) };
}

function total(masks: readonly MaskCount[], of: MaskCount['of']): number {
  return countWhere(masks, of, () => true);
}

function countWhere(masks: readonly MaskCount[], of: MaskCount['of'], fits: (mask: bigint) => boolean): number {
  return masks.filter((one) => one.of === of && fits(one.mask)).reduce((sum, { count }) => sum + count, 0);
}

function attritionOf({ inclusionRules }: CohortDefinition, masks: readonly MaskCount[]): AttritionStep[] {
  return inclusionRules.map(({ name }, index) => {
    const bit = 1n << BigInt(index);
    const soFar = bit * 2n - 1n;
    return {
      rule: name === '' ? `Rule ${index + 1}` : name,
      satisfiedCount: countWhere(masks, 'persons', (mask) => (mask & bit) !== 0n),
      remainingCount: countWhere(masks, 'persons', (mask) => (mask & soFar) === soFar),
    };
  });
}

/**
 * Writes the rows of the last run to `file`, CSV or Parquet by its ending, as ATLAS has them: cohort_definition_id, subject_id,
 * cohort_start_date, cohort_end_date, in the order of subject and start.
 */
export async function writeCohort(cdm: Cdm, { file, cohortId }: { file: string; cohortId: number }): Promise<void> {
  const ending = /\.(csv|csv\.gz|parquet)$/i.exec(file)?.[1]?.toLowerCase();
  if (ending === undefined) {
    throw new AppError('input.invalid', 'The file for the cohort must end in .csv, .csv.gz or .parquet.', {
      field: 'out',
    });
  }
  const form = ending === 'parquet' ? 'FORMAT parquet, COMPRESSION zstd' : 'FORMAT csv, HEADER';
  await cdm.results.run(
    [
      `COPY (SELECT CAST(${cohortId} AS BIGINT) AS cohort_definition_id, number AS subject_id, cohort_start_date, cohort_end_date`,
      `FROM temp.result WHERE part = 'cohort' ORDER BY 2, 3) TO ${sqlText(file)} (${form})`,
    ].join(' '),
  );
}
