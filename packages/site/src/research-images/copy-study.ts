/**
 * The copies of one study in one collection. Looks at what is there and does what is missing, so that a second run, a run after a
 * crash and a run after a late instance are the same thing. States: RESEARCH_STUDY_STATES of the contract.
 *
 * Before anything is read: the collection is approved, the site's decision on its project stands, the opt-outs are not too old, and
 * the patient is not among them.
 */
import type { ImageCollectionId } from '@lantern/contract';
import { createDeidentifier, type Deidentifier, type TextReader } from '@lantern/dicom';
import type { Logger } from '@lantern/service';
import { type CollectionRow, profileOf } from '../image-selection/collections.ts';
import type { StoredInstance, StoredStudy } from '../image-selection/stored-study.ts';
import type { ResearchKeys } from '../research-keys/research-keys.ts';
import { type CopyInstanceDeps, copyInstance, type InstanceOutcome } from './copy-instance.ts';
import {
  type ContentDecision,
  decisionsOn,
  heldBackOf,
  type QuarantineDb,
  type QuarantineTables,
} from './quarantine-store.ts';
import type { SignedReleases } from './signed-release.ts';
import * as store from './store.ts';
import { volumeFactsOf } from './volume-facts.ts';

export type CopyStudyDeps = CopyInstanceDeps & {
  readonly log: Logger;
  readonly keys: ResearchKeys;
  readonly releases: SignedReleases;
  readonly readText?: TextReader | undefined;
};

export type OneStudy = { readonly collectionId: ImageCollectionId; readonly studyKey: string };

/** De-identifiers remember pseudonyms; each is of one collection. */
const DEIDENTIFIER_COUNT_MAX = 16;

type End =
  | { readonly state: 'done'; readonly why: string }
  | {
      readonly state: 'waiting';
      readonly why: 'approval-not-signed' | 'project-not-approved' | 'opt-outs-too-old' | 'superseded';
    }
  | { readonly state: 'opted-out'; readonly why: '' | 'patient-not-identified' };

export type CopyStudy = (study: OneStudy, signal: AbortSignal) => Promise<void>;

type Work = CopyStudyDeps & {
  readonly db: store.ResearchDb;
  readonly held: QuarantineDb;
  readonly deidentifierOf: (row: CollectionRow) => Promise<Deidentifier>;
};

type Decisions = ReadonlyMap<string, ContentDecision>;

export function createCopyStudy(deps: CopyStudyDeps): CopyStudy {
  const work: Work = {
    ...deps,
    db: deps.database.kysely<store.ResearchTables>(),
    held: deps.database.kysely<QuarantineTables>(),
    deidentifierOf: rememberedDeidentifiers(deps),
  };
  const inTurn = createTurns();
  const copy: CopyStudy = async (study, signal) => {
    const row = await store.findStudy(work.db, study);
    const collection = await deps.collections.find(study.collectionId);
    if (row === undefined || collection === undefined) return;
    const end = await worked(work, study, { collection, row, signal });
    if (end.state === 'opted-out') await removeCopies(work, study);
    const isWhole = end.state === 'done' || (end.state === 'waiting' && row.is_whole);
    await store.setStudyState(work.db, study, { ...end, isWhole, wanted: row.wanted });
    deps.log.info({ ...study, state: end.state, why: end.why }, 'research copies of a study were looked at');
  };
  return (study, signal) => inTurn(`${study.collectionId}/${study.studyKey}`, () => copy(study, signal));
}

/**
 * Jobs for one study run one after the other: otherwise one that judged a patient by an older list could write after a newer one
 * removed. Within a process is enough, as one process alone works in a folder.
 */
function createTurns(): (key: string, work: () => Promise<void>) => Promise<void> {
  const last = new Map<string, Promise<void>>();
  return async (key, work) => {
    const before = last.get(key) ?? Promise.resolve();
    const mine = before.then(work, work); // whether the one before failed is its own concern
    last.set(key, mine);
    try {
      await mine;
    } finally {
      if (last.get(key) === mine) last.delete(key);
    }
  };
}

type Looked = { readonly collection: CollectionRow; readonly row: store.StudyStateRow; readonly signal: AbortSignal };

async function worked(work: Work, study: OneStudy, { collection, row, signal }: Looked): Promise<End> {
  const digests = row.patient_digests;
  switch (collection.state) {
    case 'draft':
    case 'withdrawn':
      await work.files.removeCollection(study.collectionId);
      return { state: 'done', why: 'withdrawn' };
    case 'superseded':
      return (await refusal(work, collection)) ?? (await keepUp(work, study, { collection, row }));
    case 'approved':
      return (await refusal(work, collection)) ?? (await copyAll(work, study, { collection, signal, digests }));
  }
}

/** A version that was replaced gets no more copies, and loses those of who opts out and of what is refused. */
async function keepUp(
  work: Work,
  study: OneStudy,
  { collection, row }: Pick<Looked, 'collection' | 'row'>,
): Promise<End> {
  const stored = await work.stored.find(study);
  const patientId = stored?.patientId ?? '';
  const excluded = await exclusion(work, study, { digests: row.patient_digests, patientId });
  if (excluded !== undefined) return excluded;
  const taken = await work.stored.taken(collection.series, await work.stored.instancesOf(study.studyKey));
  await removeRefused(work, study, { taken, decisions: await decisionsOf(work, taken) });
  return row.is_whole ? { state: 'done', why: 'superseded' } : { state: 'waiting', why: 'superseded' };
}

async function copyAll(
  work: Work,
  study: OneStudy,
  { collection, signal, digests }: { collection: CollectionRow; signal: AbortSignal; digests: readonly Buffer[] },
): Promise<End> {
  const stored = await work.stored.find(study);
  if (stored === undefined) return { state: 'done', why: 'not-in-archive' };
  const excluded = await exclusion(work, study, { digests, patientId: stored.patientId });
  if (excluded !== undefined) return excluded;
  const taken = await work.stored.taken(collection.series, await work.stored.instancesOf(study.studyKey));
  if (taken.length === 0) return { state: 'done', why: 'no-series-fits' };
  const decisions = await decisionsOf(work, taken);
  await removeRefused(work, study, { decisions, taken });
  const deidentifier = await work.deidentifierOf(collection);
  const alsoIdentifying = identifiersOf(stored);
  for (const instance of await missing(work, study, { taken, decisions })) {
    signal.throwIfAborted();
    const decision = decisions.get(instance.contentDigest);
    const end = endOf(await copyInstance(work, { ...study, instance, deidentifier, alsoIdentifying, decision }));
    if (end !== undefined) return end;
  }
  for (const seriesKey of await store.seriesWithoutVolume(work.db, study)) await setVolume(work, study, seriesKey);
  return { state: 'done', why: '' };
}

/** By what the index says of the patient, and what the copies that are here already said. */
async function exclusion(
  { db, optOuts }: Work,
  study: OneStudy,
  { digests, patientId }: { digests: readonly Buffer[]; patientId: string },
): Promise<End | undefined> {
  const ofIndex = await optOuts.digestsOf([patientId]);
  const hasCopies = (await store.copiesOf(db, study)).length > 0;
  const verdict = await optOuts.verdictOnDigests([...ofIndex, ...digests]);
  if (verdict === 'opted-out') return { state: 'opted-out', why: '' };
  return verdict === 'not-identified' && hasCopies ? { state: 'opted-out', why: 'patient-not-identified' } : undefined;
}

async function decisionsOf({ held, releases }: Work, taken: readonly StoredInstance[]): Promise<Decisions> {
  const found = await decisionsOn(
    held,
    taken.map(({ contentDigest }) => contentDigest),
  );
  const decisions = await releases.counting(found);
  return new Map(decisions.map((decision) => [decision.contentDigest, decision]));
}

/** Those that have no copy, but for those that wait for a person: by the decisions that are known to this job. */
async function missing(
  { db, held }: Work,
  study: OneStudy,
  { taken, decisions }: { taken: readonly StoredInstance[]; decisions: Decisions },
): Promise<StoredInstance[]> {
  const copied = new Set((await store.copiesOf(db, study)).map(({ instanceKey }) => instanceKey));
  const waiting = new Set((await heldBackOf(held, study)).map(({ instance_key: instanceKey }) => instanceKey));
  return taken.filter(({ instanceKey, contentDigest }) => {
    if (copied.has(instanceKey)) return false;
    return !waiting.has(instanceKey) || decisions.get(contentDigest)?.state === 'released';
  });
}

/** What was released once and refused later. */
async function removeRefused(
  work: Work,
  study: OneStudy,
  { taken, decisions }: { taken: readonly StoredInstance[]; decisions: Decisions },
): Promise<void> {
  const refused = taken.filter(({ contentDigest }) => decisions.get(contentDigest)?.state === 'refused');
  const keys = new Set(refused.map(({ instanceKey }) => instanceKey));
  const copies = (await store.copiesOf(work.db, study)).filter(({ instanceKey }) => keys.has(instanceKey));
  for (const { file } of copies) await work.files.remove(study.collectionId, file);
  await store.deleteCopies(work.db, study, copies);
  for (const seriesKey of new Set(copies.map((copy) => copy.seriesKey))) await setVolume(work, study, seriesKey);
}

async function removeCopies({ db, files }: Work, study: OneStudy): Promise<void> {
  const copies = await store.copiesOf(db, study);
  for (const { file } of copies) await files.removeStudyOf(study.collectionId, file);
  await store.deleteCopies(db, study, copies);
}

async function setVolume({ db, files }: Work, study: OneStudy, seriesKey: string): Promise<void> {
  const copies = (await store.copiesOf(db, study)).filter((copy) => copy.seriesKey === seriesKey);
  const paths = copies.map(({ file }) => files.pathOf(study.collectionId, file));
  await store.setVolume(db, { ...study, seriesKey }, await volumeFactsOf(paths));
}

async function refusal(deps: CopyStudyDeps, collection: CollectionRow): Promise<End | undefined> {
  const why = await deps.collections.standing(collection);
  if (why !== 'stands') return { state: 'waiting', why };
  return (await deps.optOuts.isOpen()) ? undefined : { state: 'waiting', why: 'opt-outs-too-old' };
}

function endOf(outcome: InstanceOutcome): End | undefined {
  switch (outcome.kind) {
    case 'copied':
    case 'held-back':
      return undefined;
    case 'ended':
      return { state: 'waiting', why: 'superseded' };
    case 'excluded':
      return { state: 'opted-out', why: outcome.verdict === 'opted-out' ? '' : 'patient-not-identified' };
  }
}

/** What the index knows of the patient is looked for in every object, also where that one names another or nobody. */
function identifiersOf({ patientId, patientName, accessionNumber }: StoredStudy): string[] {
  return [patientId, patientName, accessionNumber].filter((text) => text !== '');
}

function rememberedDeidentifiers({ keys, readText }: CopyStudyDeps): (row: CollectionRow) => Promise<Deidentifier> {
  const known = new Map<ImageCollectionId, Deidentifier>();
  return async ({ collection_id: collectionId, name, project_id: projectId, profile }) => {
    const kept = known.get(collectionId);
    if (kept !== undefined) return kept;
    const key = await keys.keyOf(projectId === null ? `collection:${name}` : `project:${projectId}`);
    const tools = readText === undefined ? {} : { readText };
    const made = createDeidentifier({ key, profile: profileOf(profile), tools });
    if (known.size >= DEIDENTIFIER_COUNT_MAX) known.clear();
    known.set(collectionId, made);
    return made;
  };
}
