/**
 * One instance into one collection: de-identified, written, and its row committed; or held back for a person, with the reason.
 *
 *   archive file ──► de-identify ──► file, synced ──► row, committed, if the collection still stands
 *                        └──► quarantine
 */
import { createHash } from 'node:crypto';
import { canonicalJson, type ImageCollectionId, type PixelStatement } from '@lantern/contract';
import { type DeidentificationReport, type Deidentifier, DicomError, openFileSource, readPart10 } from '@lantern/dicom';
import { type Clock, type Database, newId, type Tx, transactionOf } from '@lantern/service';
import { fromDicomError } from '../dicom-fault.ts';
import type { Collections } from '../image-selection/collections.ts';
import type { StoredInstance, StoredStudies } from '../image-selection/stored-study.ts';
import type { OptOuts, PatientVerdict } from '../opt-outs/opt-outs.ts';
import { patientNumbersOf } from '../opt-outs/patient-numbers.ts';
import type { CopyFiles } from './copy-files.ts';
import {
  addDecided,
  type ContentDecision,
  type QuarantineRow,
  type QuarantineTables,
  upsertQuarantined,
} from './quarantine-store.ts';
import { insertCopy, insertReport, type ResearchTables } from './store.ts';

/** Faults of the file itself: it will not be read better another time. */
const FAULTS_OF_FILE: ReadonlySet<string> = new Set<DicomError['code']>([
  'truncated',
  'malformed',
  'unsupported',
  'value',
  'limit',
]);

export type CopyInstanceDeps = {
  readonly database: Database;
  readonly clock: Clock;
  readonly collections: Collections;
  readonly stored: StoredStudies;
  readonly optOuts: OptOuts;
  readonly files: CopyFiles;
};

export type InstanceJob = {
  readonly collectionId: ImageCollectionId;
  readonly studyKey: string;
  readonly instance: StoredInstance;
  readonly deidentifier: Deidentifier;
  /** Names and numbers of the patient from the index. */
  readonly alsoIdentifying: readonly string[];
  /** What a person said of this content before. */
  readonly decision: ContentDecision | undefined;
};

export type InstanceOutcome =
  | { readonly kind: 'copied' | 'held-back' }
  /** The collection was withdrawn or replaced meanwhile. */
  | { readonly kind: 'ended' }
  | { readonly kind: 'excluded'; readonly verdict: Exclude<PatientVerdict, 'may-be-used'> };

export async function copyInstance(deps: CopyInstanceDeps, job: InstanceJob): Promise<InstanceOutcome> {
  const { decision, instance } = job;
  if (decision?.state === 'refused') return hold(deps, job, { reasons: decision.reasons });
  const source = openFileSource(deps.stored.pathOf(instance));
  try {
    const file = readPart10(source);
    const numbers = patientNumbersOf(file.dataSet);
    const verdict = await deps.optOuts.verdictOn(numbers);
    if (verdict !== 'may-be-used') return { kind: 'excluded', verdict };
    const outcome = await job.deidentifier.deidentify(file, job.alsoIdentifying, statementOf(decision));
    if (outcome.kind === 'quarantined') return await hold(deps, job, outcome);
    const written = await deps.files.write(job.collectionId, outcome);
    const report = reportRow(outcome.report);
    const patientDigests = await deps.optOuts.digestsOf(numbers);
    const isKept = await whileApproved(deps, job.collectionId, async (tx: Tx<ResearchTables>) => {
      await insertReport(tx, report);
      if (decision !== undefined)
        await addDecided(transactionOf<QuarantineTables>(tx), quarantineRow(deps, job, decision));
      await insertCopy(tx, {
        ...written,
        collectionId: job.collectionId,
        studyKey: job.studyKey,
        instanceKey: instance.instanceKey,
        seriesKey: instance.seriesKey,
        modality: instance.modality,
        patientDigests,
        reportDigest: report.digest,
        copiedAt: deps.clock.now(),
      });
    });
    if (!isKept) await deps.files.remove(job.collectionId, written.file);
    return { kind: isKept ? 'copied' : 'ended' };
  } catch (caught) {
    if (caught instanceof DicomError && FAULTS_OF_FILE.has(caught.code))
      return await hold(deps, job, { reasons: [caught.code] });
    throw fromDicomError(caught);
  } finally {
    source.close();
  }
}

function statementOf(decision: ContentDecision | undefined): PixelStatement | undefined {
  return decision?.state === 'released' ? (decision.statement ?? undefined) : undefined;
}

async function hold(
  deps: CopyInstanceDeps,
  job: InstanceJob,
  held: { readonly reasons: readonly string[]; readonly report?: DeidentificationReport },
): Promise<InstanceOutcome> {
  const report = held.report === undefined ? undefined : reportRow(held.report);
  const row = quarantineRow(deps, job, job.decision?.state === 'refused' ? job.decision : undefined);
  const isKept = await whileApproved(deps, job.collectionId, async (tx: Tx<ResearchTables & QuarantineTables>) => {
    if (report !== undefined) await insertReport(transactionOf<ResearchTables>(tx), report);
    await upsertQuarantined(
      transactionOf<QuarantineTables>(tx),
      {
        ...row,
        reasons: [...held.reasons],
        report_digest: report?.digest ?? null,
      },
      job.decision?.decidedAt ?? null,
    );
  });
  return { kind: isKept ? 'held-back' : 'ended' };
}

/** As it was decided, here or for the same content elsewhere; held where it was not. */
function quarantineRow(
  { clock }: CopyInstanceDeps,
  { collectionId, studyKey, instance }: InstanceJob,
  decision: ContentDecision | undefined,
): QuarantineRow {
  return {
    quarantine_id: newId('QuarantineId'),
    collection_id: collectionId,
    study_key: studyKey,
    series_key: instance.seriesKey,
    instance_key: instance.instanceKey,
    content_digest: Buffer.from(instance.contentDigest, 'hex'),
    state: decision?.state ?? 'held',
    reasons: decision?.reasons ?? [],
    report_digest: null,
    held_at: clock.now(),
    decided_by: decision?.decidedBy ?? null,
    decided_at: decision?.decidedAt ?? null,
    statement: decision?.statement ?? null,
    release: decision?.release ?? null,
  };
}

/** False, and nothing done, where the collection no longer takes copies; it cannot cease to before the transaction ends. */
function whileApproved<S>(
  { database, collections }: CopyInstanceDeps,
  collectionId: ImageCollectionId,
  work: (tx: Tx<S>) => Promise<void>,
): Promise<boolean> {
  return database.transaction(async (tx: Tx<S>) => {
    if ((await collections.holdState(tx, collectionId)) !== 'approved') return false;
    await work(tx);
    return true;
  });
}

function reportRow(report: DeidentificationReport): { digest: Buffer; report: string } {
  const text = canonicalJson(report);
  return { digest: createHash('sha256').update(text).digest(), report: text };
}
