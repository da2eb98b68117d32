/**
 * One pass of the ETL from the records of this site to its CDM.
 *
 *   FHIR store ──► what changed since the state that the CDM names ──► copy of the CDM ──► in the place of the CDM
 *
 * Invariants: how far the records were read stands in the CDM and is committed with the rows made of them, so a pass that is cut off
 * anywhere is as if it had not been, and nothing is mapped twice; whoever asks the CDM meanwhile finds it as the pass before left it.
 */
import { nextNumberSql, writeSourceStateStatements } from '@lantern/omop';
import { type Database, faultPoint, openReadOnlyConnection, type ReadOnlyConnection } from '@lantern/service';
import type { SessionBounds } from '../cdm/duckdb-session.ts';
import { VERSION_KEYS } from '../fhir/changed-resources.ts';
import { type CdmDatabase, openCdmDatabase } from '../omop-etl/cdm-database.ts';
import { type EtlResult, runEtl, type SourceResource } from '../omop-etl/etl.ts';
import { loadVocabulary } from '../omop-etl/vocabulary-files.ts';
import { beginPart, discardPart, publishPart, readPublishedState, type SourceState } from './cdm-file.ts';
import type { PassSettings } from './pass-settings.ts';
import { recordSource } from './record-source.ts';
import { settledKey } from './settled-key.ts';
import { raiseNextNumber, readNextNumber } from './store.ts';
import { vocabularyName } from './vocabulary-name.ts';

/** A writer of records ends within seconds; one that takes longer is read by the next pass. */
const SETTLE_MS_MAX = 30_000;

export type PassDeps = {
  readonly database: Database;
  /** Path of the CDM. */
  readonly file: string;
  readonly settings: PassSettings;
  /** Of what only reads the CDM. */
  readonly bounds: SessionBounds;
};

export type PassResult =
  /** Nothing had changed, and the CDM is as it was. */
  { readonly isPublished: false } | (EtlResult & { readonly isPublished: true });

/** Names in the state of a CDM. */
const RECORDS = 'records';
const VOCABULARY = 'vocabulary';

type Plan = {
  /** Key after which records are read. */
  readonly after: string;
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
  const settled = await settledKey(database, VERSION_KEYS, { waitMs: SETTLE_MS_MAX, signal });
  const read = known?.get(RECORDS);
  // Records that end before what was read are those of an older backup.
  const isOlder = read !== undefined && settled !== undefined && BigInt(settled) < BigInt(read);
  const isWhole = isRebuild || read === undefined || isOlder;
  const loadsVocabulary = known?.get(VOCABULARY) !== vocabulary;
  if (!isWhole && !loadsVocabulary && settled === read) return undefined;
  return {
    after: isWhole ? '0' : read,
    isWhole,
    isRebuild: isRebuild || (loadsVocabulary && known !== undefined),
    loadsVocabulary,
    state: new Map([
      [RECORDS, settled ?? (isWhole ? '0' : read)],
      [VOCABULARY, vocabulary],
    ]),
  };
}

async function makePart({ database, file, settings }: PassDeps, plan: Plan, signal: AbortSignal): Promise<EtlResult> {
  const part = await beginPart(file);
  faultPoint('cdm.pass.copied');
  const { memoryMiB, threads, vocabulary } = settings;
  const firstNumber = await readNextNumber(database);
  const cdm = await openCdmDatabase({ file: part, memoryMiB, threads, firstNumber });
  try {
    if (plan.loadsVocabulary) await loadVocabulary(cdm, vocabulary);
    const result = await readInto(cdm, { database, plan, signal });
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

async function readInto(
  cdm: CdmDatabase,
  { database, plan, signal }: { database: Database; plan: Plan; signal: AbortSignal },
): Promise<EtlResult> {
  const applicationName = 'lantern-cdm-pass';
  const connection = await openReadOnlyConnection({ url: database.url, applicationName, signal });
  try {
    return await runEtl(cdm, changes(connection, plan), {
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
async function* changes(connection: ReadOnlyConnection, { after }: Plan): AsyncGenerator<SourceResource> {
  yield* recordSource(connection, after);
}

async function nextNumberOf(cdm: CdmDatabase): Promise<string> {
  const [row] = await cdm.transaction((session) => session.rows(nextNumberSql()));
  return row?.['next_number'] ?? '1';
}
