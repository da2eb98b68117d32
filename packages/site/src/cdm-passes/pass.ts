/**
 * One pass of the ETL from the records of this site to its CDM.
 *
 *   FHIR store, images ──► what changed since the state that the CDM names ──► copy of the CDM ──► in the place of the CDM
 *
 * Invariants: how far the records were read stands in the CDM and is committed with the rows made of them, so a pass that is cut off
 * anywhere is as if it had not been, and nothing is mapped twice; whoever asks the CDM meanwhile finds it as the pass before left it.
 */
import { nextNumberSql, writeSourceStateStatements } from '@lantern/omop';
import {
  type Database,
  documentDigest,
  faultPoint,
  openReadOnlyConnection,
  type ReadOnlyConnection,
} from '@lantern/service';
import { INSTANCE_KEYS } from '../archive/changed-studies.ts';
import type { SessionBounds } from '../cdm/duckdb-session.ts';
import { VERSION_KEYS } from '../fhir/changed-resources.ts';
import { type CdmDatabase, openCdmDatabase } from '../omop-etl/cdm-database.ts';
import { type EtlResult, runEtl, type SourceResource } from '../omop-etl/etl.ts';
import { loadVocabulary } from '../omop-etl/vocabulary-files.ts';
import { beginPart, discardPart, publishPart, readPublishedState, type SourceState } from './cdm-file.ts';
import { type FeatureReading, featureSource } from './feature-source.ts';
import { imageSource } from './image-source.ts';
import type { PassSettings } from './pass-settings.ts';
import { recordSource } from './record-source.ts';
import { type KeyedTable, settledKey } from './settled-key.ts';
import { raiseNextNumber, readNextNumber } from './store.ts';
import { vocabularyName } from './vocabulary-name.ts';

/** A writer of records ends within seconds; one that takes longer is read by the next pass. */
const SETTLE_MS_MAX = 30_000;

export type PassDeps = {
  readonly database: Database;
  /** Path of the CDM. */
  readonly file: string;
  readonly settings: PassSettings;
  /** Folder of the archive of images. */
  readonly imagesDir: string;
  /** Of what only reads the CDM. */
  readonly bounds: SessionBounds;
};

export type PassResult =
  /** Nothing had changed, and the CDM is as it was. */
  { readonly isPublished: false } | (EtlResult & { readonly isPublished: true });

/** Names in the state of a CDM. */
const RECORDS = 'records';
const IMAGES = 'images';
const FEATURES = 'image-features';
const AUTHORITIES = 'patient-numbers';
const VOCABULARY = 'vocabulary';

type Plan = {
  /** Keys after which records, images and what is said of these are read. */
  readonly recordsAfter: string;
  readonly imagesAfter: string;
  readonly featuresAfter: string;
  readonly isWhole: boolean;
  readonly isRebuild: boolean;
  readonly loadsVocabulary: boolean;
  /** Of the CDM after the pass. */
  readonly state: SourceState;
};

export async function runPass(
  deps: PassDeps,
  { isRebuild, signal }: { readonly isRebuild: boolean; readonly signal: AbortSignal },
): Promise<PassResult> {
  const plan = await planPass(deps, { isRebuild, signal });
  if (plan === undefined) return { isPublished: false };
  try {
    const result = await makePart(deps, plan, signal);
    await publishPart(deps.file);
    return { ...result, isPublished: true };
  } finally {
    await discardPart(deps.file);
  }
}

/** Undefined: there is nothing to do. */
async function planPass(
  { database, file, settings, bounds }: PassDeps,
  { isRebuild, signal }: { readonly isRebuild: boolean; readonly signal: AbortSignal },
): Promise<Plan | undefined> {
  const known = await readPublishedState(file, { bounds, signal });
  const vocabulary = await vocabularyName(settings.vocabulary);
  const authorities = documentDigest(settings.patientNumbers);
  const records = await rangeOf(database, VERSION_KEYS, { read: known?.get(RECORDS), signal });
  const images = await rangeOf(database, INSTANCE_KEYS, { read: known?.get(IMAGES), signal });
  const isWhole = isRebuild || records.isWhole || images.isWhole;
  const loadsVocabulary = known?.get(VOCABULARY) !== vocabulary;
  const asksImagesAnew = known?.get(AUTHORITIES) !== authorities;
  const features = known?.get(FEATURES); // none in a CDM from before they were read
  const isSame = records.isSame && images.isSame && features === images.until;
  if (!isWhole && !loadsVocabulary && !asksImagesAnew && isSame) return undefined;
  return {
    recordsAfter: isWhole ? '0' : records.after,
    imagesAfter: isWhole || asksImagesAnew ? '0' : images.after,
    featuresAfter: isWhole ? '0' : (features ?? '0'),
    isWhole,
    isRebuild: isRebuild || (loadsVocabulary && known !== undefined),
    loadsVocabulary,
    state: new Map([
      [RECORDS, records.until],
      [IMAGES, images.until],
      [FEATURES, images.until],
      [VOCABULARY, vocabulary],
      [AUTHORITIES, authorities],
    ]),
  };
}

/** `read`: up to which key the CDM has it; undefined: it has nothing of it. */
async function rangeOf(
  database: Database,
  table: KeyedTable,
  { read, signal }: { readonly read: string | undefined; readonly signal: AbortSignal },
): Promise<{ after: string; until: string; isWhole: boolean; isSame: boolean }> {
  const settled = await settledKey(database, table, { waitMs: SETTLE_MS_MAX, signal });
  // Keys that end before what was read are those of an older backup.
  const isOlder = read !== undefined && settled !== undefined && BigInt(settled) < BigInt(read);
  const after = isOlder ? '0' : (read ?? '0');
  return { after, until: settled ?? after, isWhole: read === undefined || isOlder, isSame: settled === read };
}

async function makePart(deps: PassDeps, plan: Plan, signal: AbortSignal): Promise<EtlResult> {
  const { database, file, settings } = deps;
  const part = await beginPart(file);
  faultPoint('cdm.pass.copied');
  const { memoryMiB, threads, vocabulary } = settings;
  const firstNumber = await readNextNumber(database);
  const cdm = await openCdmDatabase({ file: part, memoryMiB, threads, firstNumber });
  try {
    if (plan.loadsVocabulary) await loadVocabulary(cdm, vocabulary);
    const result = await readInto(cdm, { ...deps, plan, signal });
    faultPoint('cdm.pass.committed');
    // Before anybody can see a number of this pass: a CDM that replaces a lost one must not give it to another person.
    await raiseNextNumber(database, await nextNumberOf(cdm));
    faultPoint('cdm.pass.numbered');
    await cdm.checkpoint();
    return result;
  } finally {
    cdm.close();
  }
}

type Reading = { readonly plan: Plan; readonly signal: AbortSignal };

async function readInto(
  cdm: CdmDatabase,
  {
    database,
    settings: { patientNumbers: authorities },
    imagesDir,
    plan,
    signal,
  }: Pick<PassDeps, 'database' | 'settings' | 'imagesDir'> & Reading,
): Promise<EtlResult> {
  const applicationName = 'lantern-cdm-pass';
  const connection = await openReadOnlyConnection({ url: database.url, applicationName, signal });
  try {
    return await runEtl(cdm, changes(connection, { ...plan, authorities, imagesDir, signal }), {
      isRebuild: plan.isRebuild,
      isWhole: plan.isWhole,
      signal,
      onStep(step) {
        if (step === 'compare') faultPoint('cdm.pass.read');
      },
      async beforeCommit(session) {
        for (const statement of writeSourceStateStatements(plan.state)) await session.run(statement);
        faultPoint('cdm.pass.mapped');
      },
    });
  } finally {
    await connection.close();
  }
}

/** All within one state of the database. */
async function* changes(
  connection: ReadOnlyConnection,
  {
    recordsAfter,
    imagesAfter,
    featuresAfter,
    authorities,
    ...reading
  }: Plan & Omit<FeatureReading, 'after'> & { readonly authorities: PassSettings['patientNumbers'] },
): AsyncGenerator<SourceResource> {
  yield* recordSource(connection, recordsAfter);
  yield* imageSource(connection, { after: imagesAfter, authorities });
  yield* featureSource(connection, { ...reading, after: featuresAfter });
}

async function nextNumberOf(cdm: CdmDatabase): Promise<string> {
  const [row] = await cdm.transaction((session) => session.rows(nextNumberSql()));
  return row?.['next_number'] ?? '1';
}
