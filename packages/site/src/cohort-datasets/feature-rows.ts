/**
 * The rows of a feature specification at one CDM: gathered by its plan, each person under a keyed hash, and written as a table.
 *
 * Invariants: who is not among `usable` is in no row and no number but that of the cohort; the same CDM, specification and key give
 * the same file, so building again changes nothing.
 */
import { createHmac } from 'node:crypto';
import { AppError, type DatasetBuildReport, type FeatureSpecification } from '@lantern/contract';
import {
  type CdmNeeds,
  type FeatureTablePlan,
  featureReportSql,
  featureRowColumns,
  featureSql,
  featureTableSql,
  planFeatureTable,
} from '@lantern/omop';
import type { Cdm } from '../cdm/cdm.ts';
import type { TableAccount } from '../cdm/table-import.ts';
import { checkNeeds, checkVocabulary } from '../cohorts/cohort-run.ts';
import { sqlText } from '../datasets/table-engine.ts';
import { imageNeeds } from './image-values.ts';
import { conversionsTo } from './unit-conversions.ts';
import { fillViewColumns, type ResourceSource } from './view-values.ts';

const TABLES = { rows: 'temp.feature_row', persons: 'temp.feature_person' };
/** Some megabytes, and short enough between two turns of the event loop. */
const PERSONS_AT_ONCE = 5_000;
const PATIENT_KEY_DIGITS = 32;

/** The statement for one dialect, as `gatherFeatures` would run it. */
export function featureStatement(
  specification: FeatureSpecification,
  options: Parameters<typeof featureSql>[1],
): string {
  return featureSql(planFeatureTable(specification, conversionsTo), options);
}

/** Leaves the rows in the session of the CDM. Gives an account where rows of files had to be refused. */
export async function gatherFeatures(
  cdm: Cdm,
  specification: FeatureSpecification,
  resources?: ResourceSource,
): Promise<readonly TableAccount[]> {
  const plan = planFeatureTable(specification, conversionsTo);
  const needs = needsOf(specification, plan);
  checkNeeds(cdm.tables, needs);
  const accounts = await cdm.prepare(needs);
  await checkVocabulary(cdm, plan);
  const { dialect, schema } = cdm;
  const sql = featureSql(plan, { dialect, ...(schema === undefined ? {} : { schema }) });
  await cdm.gather(sql, featureRowColumns(specification));
  await cdm.results.run(`CREATE OR REPLACE TEMP TABLE feature_row AS SELECT * FROM temp.result`);
  await fillViewColumns(cdm, specification, resources);
  return accounts;
}

/** Views and accession numbers are joined by the source value of the person. */
function needsOf(specification: FeatureSpecification, { needs }: FeatureTablePlan): CdmNeeds {
  const { views = [], images = [] } = specification;
  const all = [...needs, ...imageNeeds(specification)];
  if (views.length === 0 && images.every(({ link }) => link === 'patient')) return new Map(all);
  return new Map([...all, ['person', new Set(needs.get('person')).add('person_source_value')]]);
}

type Keying = {
  readonly key: Buffer;
  readonly testShare: number;
  /** SQL that gives the person_id of whoever may be used. */
  readonly usable: string;
};

/** Which key a person has in tables of this site; the same in each, so that versions of one belong together. */
function patientKeyOf(key: Buffer, personId: string): string {
  return createHmac('sha256', key).update(`patient\0${personId}`).digest('hex').slice(0, PATIENT_KEY_DIGITS);
}

/** Drawn for good: the same person is on the same side in every table of this share. */
function splitOf({ key, testShare }: Keying, personId: string): 'train' | 'test' {
  const drawn = createHmac('sha256', key).update(`split\0${personId}`).digest().readUInt32BE(0) / 2 ** 32;
  return drawn < testShare ? 'test' : 'train';
}

export async function keyPersons({ results }: Cdm, keying: Keying): Promise<void> {
  await results.run('CREATE OR REPLACE TEMP TABLE feature_person (person_id BIGINT, patient VARCHAR, split VARCHAR)');
  for (let after: string | undefined; ; ) {
    const rows = await results.rows(
      `SELECT person_id FROM ${TABLES.rows} WHERE person_id IN (${keying.usable})
       ${after === undefined ? '' : `AND person_id > ${after}`} ORDER BY person_id LIMIT ${PERSONS_AT_ONCE}`,
    );
    const ids = rows.map(([id]) => id ?? '');
    if (ids.length === 0) return;
    const values = ids.map((id) => `(${id}, '${patientKeyOf(keying.key, id)}', '${splitOf(keying, id)}')`);
    await results.run(`INSERT INTO ${TABLES.persons} VALUES ${values.join(', ')}`);
    after = ids.at(-1);
  }
}

export async function readReport({ results }: Cdm, specification: FeatureSpecification): Promise<DatasetBuildReport> {
  const [row] = await results.rows(featureReportSql(specification, TABLES));
  const [cohort = 0, usable = 0, rowCount = 0, testRowCount = 0, ...rest] = (row ?? []).map(Number);
  return {
    cohortPatientCount: cohort,
    optedOutCount: cohort - usable,
    droppedCount: usable - rowCount,
    rowCount,
    testRowCount,
    columns: specification.columns.map(({ name }, place) => {
      const [missingCount = 0, unitLeftOutCount = 0, rangeLeftOutCount = 0] = rest.slice(place * 3, place * 3 + 3);
      return { name, missingCount, unitLeftOutCount, rangeLeftOutCount };
    }),
  };
}

/** CSV or Parquet, by the ending of the file. */
export async function writeFeatures(
  { results }: Cdm,
  specification: FeatureSpecification,
  file: string,
): Promise<void> {
  const ending = /\.(csv|parquet)$/i.exec(file)?.[1]?.toLowerCase();
  if (ending === undefined) {
    throw new AppError('input.invalid', 'The file for the table must end in .csv or .parquet.', { field: 'out' });
  }
  const form = ending === 'parquet' ? 'FORMAT parquet, COMPRESSION zstd' : 'FORMAT csv, HEADER';
  await results.run(`COPY (${featureTableSql(specification, TABLES)}) TO ${sqlText(file)} (${form})`);
}
