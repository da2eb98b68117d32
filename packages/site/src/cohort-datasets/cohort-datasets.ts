/**
 * Datasets out of cohorts: a data engineer asks for one by a feature specification, a durable job builds it.
 *
 *   asked ──► opt-outs (fresh?) ──► CDM ──► rows without who opted out ──► registered as any other dataset ──► done
 *     └─────────────────────────────── what will not get better by itself ────────────────────────────────► failed
 *
 * Invariants: nothing is built while a list of opt-outs is missing or too old; the dataset, its report and the end of the build are
 * committed together, so a build that is killed anywhere makes one version or none; the report stays at this site.
 */
import { rm } from 'node:fs/promises';
import path from 'node:path';
import {
  AppError,
  assertFeatureSpecification,
  DATASET_BUILD_STATES,
  type DatasetBuild,
  type DatasetBuildId,
  datasetSchemaOf,
  type FeatureSpecification,
  type NewDatasetBuild,
  transition,
} from '@lantern/contract';
import {
  documentDigest,
  enqueue,
  type FailedJob,
  faultPoint,
  makePrivateFolder,
  newId,
  type Tx,
  transactionOf,
} from '@lantern/service';
import type { Cdm } from '../cdm/cdm.ts';
import type { Datasets } from '../datasets/datasets.ts';
import { buildIdOf, JOBS } from '../jobs.ts';
import type { OptOutEvidence, OptOuts } from '../opt-outs/opt-outs.ts';
import type { RecordCdm } from '../records/record-cdm.ts';
import { COUNTED_PATIENTS, identifierSource, type RecordPatients } from '../records/record-patients.ts';
import type { ResearchSeries } from '../research-images/research-series.ts';
import type { ResearchKeys } from '../research-keys/research-keys.ts';
import { audit, type SiteContext } from '../site-context.ts';
import type { SiteTables } from '../tables.ts';
import { featureStatement, gatherFeatures, keyPersons, readReport, writeFeatures } from './feature-rows.ts';
import { fillImageColumns, type ImageReport } from './image-values.ts';
import { LISTS_STALE } from './remainder.ts';
import * as store from './store.ts';
import { compileViews, type ResourceSource } from './view-values.ts';

/** Some megabytes, and short enough between two turns of the event loop. */
const PATIENTS_AT_ONCE = 5_000;

export type BuildRecords = {
  readonly cdm: RecordCdm;
  readonly patients: RecordPatients;
  readonly optOuts: Pick<OptOuts, 'evidence' | 'digestsOf' | 'verdictsOn'>;
};

export type CohortDatasetsDeps = SiteContext & {
  readonly datasets: Pick<Datasets, 'registerFile'>;
  readonly keys: ResearchKeys;
  /** What the views of specifications are made of. */
  readonly resources: ResourceSource;
  /** `undefined`: this site receives no images. */
  readonly series: () => ResearchSeries | undefined;
  /** Folder for files between steps, which the table engine may touch. */
  readonly scratchDir: string;
  /** `undefined`: this site has no records to build from. */
  readonly records: BuildRecords | undefined;
};

export type CohortDatasets = ReturnType<typeof createCohortDatasets>;

export function createCohortDatasets(deps: CohortDatasetsDeps) {
  const db = deps.database.kysely<store.DatasetBuildTables>();
  return {
    async ask(asked: NewDatasetBuild, by: string): Promise<DatasetBuild> {
      const buildId = await ask(deps, asked, by);
      return asBuild(await requireBuild(deps, buildId));
    },
    list: async (): Promise<DatasetBuild[]> => (await store.listBuilds(db)).map(asBuild),
    read: async (buildId: DatasetBuildId): Promise<DatasetBuild> => asBuild(await requireBuild(deps, buildId)),

    /** Job: builds one dataset. What will not get better by itself ends the build with its reason. */
    async build(buildId: DatasetBuildId, signal: AbortSignal): Promise<void> {
      const row = await store.findBuild(db, buildId);
      if (row?.state !== 'asked') {
        await rm(folderOf(deps, buildId), { recursive: true, force: true }); // of a process that was killed at the end
        return;
      }
      try {
        await build(deps, row, signal);
      } catch (caught) {
        if (!(caught instanceof AppError) || caught.failureClass !== 'permanent') throw caught;
        await end(deps, buildId, caught);
      }
    },

    /** For the queue: a build that will not be tried again says so. */
    async jobFailed({ name, payload, error }: FailedJob): Promise<void> {
      if (name === JOBS.buildDataset) await end(deps, buildIdOf(payload), error);
    },
  };
}

async function ask(
  deps: CohortDatasetsDeps,
  { specification, feasibility }: NewDatasetBuild,
  by: string,
): Promise<DatasetBuildId> {
  if (deps.records === undefined) {
    throw new AppError('conflict', 'This site has no records (setting "records"), so there is nothing to build from.');
  }
  assertFeatureSpecification(specification);
  seriesFor(deps, specification);
  compileViews(specification);
  featureStatement(specification, { dialect: 'duckdb' }); // what is not understood is told to who asks
  const specificationDigest = documentDigest(specification);
  return deps.database.transaction(async (tx: Tx<store.DatasetBuildTables>) => {
    const asked = { specification, specificationDigest, feasibility, by, at: deps.clock.now() };
    const { buildId, isNew } = await store.insertBuild(tx, { buildId: newId('DatasetBuildId'), ...asked });
    if (!isNew) return buildId;
    await enqueue(tx, { name: JOBS.buildDataset, payload: { buildId }, queueName: JOBS.buildDataset });
    const details = { dataset: specification.name, specificationDigest };
    const line = { actor: `user:${by}`, action: 'dataset.build', object: buildId, details } as const;
    await audit(deps, transactionOf<SiteTables>(tx), line);
    return buildId;
  });
}

/** `undefined` where the specification asks for none. */
function seriesFor({ series }: CohortDatasetsDeps, { images = [] }: FeatureSpecification): ResearchSeries | undefined {
  const found = images.length === 0 ? undefined : series();
  if (images.length > 0 && found === undefined)
    throw new AppError('conflict', 'This site has no images (setting "dicom"), and the specification asks for some.');
  return found;
}

function folderOf({ scratchDir }: CohortDatasetsDeps, buildId: DatasetBuildId): string {
  return path.join(scratchDir, `build-${buildId}`);
}

async function build(deps: CohortDatasetsDeps, row: store.BuildRow, signal: AbortSignal): Promise<void> {
  const { records } = deps;
  const { specification, build_id: buildId } = row;
  const evidence = await records?.optOuts.evidence();
  if (records === undefined || evidence?.open !== true) throw new AppError('policy.refused', LISTS_STALE);
  const folder = folderOf(deps, buildId);
  await rm(folder, { recursive: true, force: true }); // of an attempt that was cut off
  await makePrivateFolder(folder);
  try {
    const file = path.join(folder, 'features.parquet');
    const made = await records.cdm.use(signal, async (cdm, cdmVersion) => {
      const { digests, images } = await makeTable(deps, cdm, { records, evidence, specification, file });
      const report = { ...(await readReport(cdm, specification)), ...(images.length === 0 ? {} : { images }) };
      return { digests, report, cdmVersion };
    });
    faultPoint('dataset-build.written');
    const table = {
      schema: datasetSchemaOf(specification),
      format: 'parquet',
      sourceFile: file,
      feasibility: row.feasibility,
    } as const;
    await deps.datasets.registerFile(table, { name: row.requested_by, signal }, async (siteTx, { contentDigest }) => {
      const tx = transactionOf<store.DatasetBuildTables>(siteTx);
      const open = await store.lockOpenBuild(tx, buildId);
      if (open === undefined) throw new AppError('conflict', 'The build has ended meanwhile.');
      const state = transition(DATASET_BUILD_STATES, { what: 'dataset build', state: open.state, event: 'finish' });
      await store.deletePatients(tx, contentDigest);
      for (let from = 0; from < made.digests.length; from += PATIENTS_AT_ONCE)
        await store.insertPatients(tx, contentDigest, made.digests.slice(from, from + PATIENTS_AT_ONCE));
      const { report, cdmVersion } = made;
      await store.finishBuild(tx, buildId, { state, at: deps.clock.now(), contentDigest, cdmVersion, report });
    });
    faultPoint('dataset-build.registered');
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

type Making = {
  readonly records: BuildRecords;
  readonly evidence: OptOutEvidence;
  readonly specification: FeatureSpecification;
  readonly file: string;
};

/** Gives of each patient in the table the digests by which a later list may know him. */
async function makeTable(
  deps: CohortDatasetsDeps,
  cdm: Cdm,
  { records, evidence, specification, file }: Making,
): Promise<{ digests: store.PatientDigests[]; images: ImageReport[] }> {
  const { keys, resources } = deps;
  const series = seriesFor(deps, specification);
  const { results } = cdm;
  await records.patients.prepare(cdm, evidence);
  await cdm.gather(await identifierSource(cdm), { person_id: 'BIGINT', identifier: 'VARCHAR' });
  await results.run('CREATE OR REPLACE TEMP TABLE person_identifier AS SELECT * FROM temp.result');
  await gatherFeatures(cdm, specification, resources);
  const usable = `SELECT person_id FROM ${COUNTED_PATIENTS}`;
  await keyPersons(cdm, { key: await keys.keyOf('datasets'), testShare: specification.testShare, usable });
  const { optOuts } = records;
  const images = series === undefined ? [] : await fillImageColumns(cdm, specification, { series, resources, optOuts });
  await results.run(`CREATE OR REPLACE TEMP TABLE known_identifier AS SELECT * FROM temp.person_identifier
    ${series === undefined ? '' : 'UNION SELECT person_id, identifier FROM temp.image_identifier'}`);
  await writeFeatures(cdm, specification, file);
  return { digests: await readDigests(cdm, records), images };
}

/**
 * By the identifiers of the records, and by the number that an image has which stands behind the row. Patients of whom the table has
 * no row, for want of a value, are among them too.
 */
async function readDigests({ results }: Cdm, { optOuts }: BuildRecords): Promise<store.PatientDigests[]> {
  const found: store.PatientDigests[] = [];
  for (let after = ''; ; ) {
    // Several rows for a patient of several identifiers, all of one page.
    const rows = await results.rows(
      `SELECT p.patient, i.identifier
       FROM (SELECT * FROM temp.feature_person WHERE patient > '${after}' ORDER BY patient LIMIT ${PATIENTS_AT_ONCE}) p
       LEFT JOIN temp.known_identifier i ON i.person_id = p.person_id ORDER BY p.patient`,
    );
    const numbers = new Map<string, string[]>();
    for (const [patient, identifier] of rows) {
      const known = numbers.get(patient ?? '') ?? [];
      numbers.set(patient ?? '', identifier == null ? known : [...known, identifier]);
    }
    for (const [patient, own] of numbers) found.push({ patient, digests: await optOuts.digestsOf(own) });
    const last = rows.at(-1)?.[0];
    if (last == null) return found;
    after = last;
  }
}

/** Only an open build ends. */
async function end(deps: CohortDatasetsDeps, buildId: DatasetBuildId, { code, message }: AppError): Promise<void> {
  await deps.database.transaction(async (tx: Tx<store.DatasetBuildTables>) => {
    const row = await store.lockOpenBuild(tx, buildId);
    if (row === undefined) return;
    const state = transition(DATASET_BUILD_STATES, { what: 'dataset build', state: row.state, event: 'fail' });
    await store.failBuild(tx, buildId, { state, at: deps.clock.now(), failure: { code, message } });
    const line = {
      actor: 'site',
      action: 'dataset.build',
      object: buildId,
      outcome: 'failure',
      details: { code },
    } as const;
    await audit(deps, transactionOf<SiteTables>(tx), line);
  });
}

async function requireBuild({ database }: CohortDatasetsDeps, buildId: DatasetBuildId): Promise<store.BuildRow> {
  const row = await store.findBuild(database.kysely<store.DatasetBuildTables>(), buildId);
  if (row === undefined) throw new AppError('not-found', 'There is no such build of a dataset.');
  return row;
}

function asBuild(row: store.BuildRow): DatasetBuild {
  return {
    buildId: row.build_id,
    dataset: row.dataset,
    specificationDigest: row.specification_digest,
    feasibility: row.feasibility,
    state: row.state,
    requestedBy: row.requested_by,
    requestedAt: row.requested_at.toISOString(),
    ...(row.ended_at === null ? {} : { endedAt: row.ended_at.toISOString() }),
    ...(row.content_digest === null ? {} : { contentDigest: row.content_digest }),
    ...(row.cdm_version === null ? {} : { cdmVersion: row.cdm_version }),
    ...(row.report === null ? {} : { report: row.report }),
    ...(row.failure === null ? {} : { failure: row.failure }),
  };
}
