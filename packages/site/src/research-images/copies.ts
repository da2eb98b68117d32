/**
 * The copies of a collection as whoever works with them reads them: the manifest, files, volumes. Nothing is readable that may not be
 * made now: the collection stands, the project's approval stands, the lists of opt-outs are not too old.
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { rename, stat } from 'node:fs/promises';
import path from 'node:path';
import { AppError, type ImageCollectionId, type ImageManifest, type StudyReport } from '@lantern/contract';
import { type ByteResponse, type Clock, type Database, removeIfThere, syncFolder, type Tx } from '@lantern/service';
import type { CollectionRow, Collections } from '../image-selection/collections.ts';
import type { OptOuts } from '../opt-outs/opt-outs.ts';
import { audit } from '../site-context.ts';
import type { SiteTables } from '../tables.ts';
import type { CopyFiles } from './copy-files.ts';
import { heldBackOf, type QuarantineTables } from './quarantine-store.ts';
import * as store from './store.ts';
import { writeVolume } from './volume-writing.ts';

const MANIFEST_STUDY_COUNT = 50;
const STUDY_PAGE_COUNT = 200;
const NAME_DIGITS = 16;

export type Copies = ReturnType<typeof createCopies>;

type CopiesDeps = {
  readonly database: Database;
  readonly clock: Clock;
  readonly collections: Collections;
  readonly optOuts: OptOuts;
  readonly files: CopyFiles;
};

export function createCopies(deps: CopiesDeps) {
  const { files } = deps;
  const db = deps.database.kysely<store.ResearchTables>();
  return {
    counts: (collectionIds: readonly ImageCollectionId[]) => store.countCopies(db, collectionIds),
    studies: (collectionId: ImageCollectionId, after = '0') => studiesOf(deps, db, { collectionId, after }),
    report: (collectionId: ImageCollectionId, studyKey: string) => reportOn(deps, db, { collectionId, studyKey }),

    /** A page of the manifest. */
    async manifest(collectionId: ImageCollectionId, by: string, after = '0'): Promise<ImageManifest> {
      const { name, version } = await readable(deps, collectionId);
      const found = await store.manifestStudies(db, collectionId, { after, limit: MANIFEST_STUDY_COUNT });
      const studies = found.map(({ study }) => study);
      await recordRead(deps, collectionId, { by, details: { studyCount: studies.length } });
      const last = found.at(-1);
      const page = { collection: name, version, collectionId, studies };
      return last === undefined || found.length < MANIFEST_STUDY_COUNT ? page : { ...page, next: last.studyKey };
    },

    async instance(collectionId: ImageCollectionId, sopInstanceUid: string, by: string): Promise<ByteResponse> {
      await readable(deps, collectionId);
      const copy = await store.findCopyFile(db, { collectionId, sopInstanceUid });
      if (copy === undefined) throw new AppError('not-found', 'This collection has no such instance.');
      await recordRead(deps, collectionId, { by, details: { sopInstanceUid } });
      return bytesOf(files.pathOf(collectionId, copy.file), copy.sizeBytes, 'application/dicom');
    },

    /** Made when it is first asked for, and kept beside the copies until they change. */
    async volume(
      collectionId: ImageCollectionId,
      seriesInstanceUid: string,
      { by, signal }: { by: string; signal: AbortSignal },
    ): Promise<ByteResponse> {
      await readable(deps, collectionId);
      const copies = await store.seriesFiles(db, { collectionId, seriesInstanceUid });
      const [first] = copies;
      if (first === undefined) throw new AppError('not-found', 'This collection has no such series.');
      const name = `volume-${digestOf(copies)}.nii.gz`;
      const target = path.join(path.dirname(files.pathOf(collectionId, first.file)), name);
      if ((await sizeOf(target)) === undefined) {
        const paths = copies.map(({ file }) => files.pathOf(collectionId, file));
        await makeVolume(files, paths, { target, signal });
      }
      await recordRead(deps, collectionId, { by, details: { seriesInstanceUid } });
      return bytesOf(target, (await sizeOf(target)) ?? 0, 'application/gzip');
    },
  };
}

async function studiesOf(
  { collections }: CopiesDeps,
  db: store.ResearchDb,
  { collectionId, after }: { collectionId: ImageCollectionId; after: string },
) {
  await collections.require(collectionId);
  const found = await store.listStudies(db, collectionId, { after, limit: STUDY_PAGE_COUNT });
  const studies = found.map(({ why, patient, studyInstanceUid, ...study }) => ({
    ...study,
    ...(why === '' ? {} : { why }),
    ...(patient === null ? {} : { patient }),
    ...(studyInstanceUid === null ? {} : { studyInstanceUid }),
  }));
  const last = found.at(-1);
  return last === undefined || found.length < STUDY_PAGE_COUNT ? { studies } : { studies, next: last.studyKey };
}

async function reportOn(
  { database }: CopiesDeps,
  db: store.ResearchDb,
  study: { collectionId: ImageCollectionId; studyKey: string },
): Promise<StudyReport> {
  if ((await store.findStudy(db, study)) === undefined)
    throw new AppError('not-found', 'This collection has no such study.');
  const heldBack = await heldBackOf(database.kysely<QuarantineTables>(), study);
  return {
    reports: (await store.reportsOf(db, study)).map(({ sopInstanceUids, report }) => ({
      sopInstanceUids,
      report: { ...report, methodCodes: [...report.methodCodes], entries: [...report.entries] },
    })),
    heldBack: heldBack.map(({ quarantine_id: quarantineId, state, reasons }) => ({ quarantineId, state, reasons })),
  };
}

async function makeVolume(
  files: CopyFiles,
  paths: readonly string[],
  { target, signal }: { target: string; signal: AbortSignal },
): Promise<void> {
  const part = files.unfinishedPath();
  try {
    await writeVolume(paths, part, signal);
    await rename(part, target);
    await syncFolder(path.dirname(target));
  } finally {
    await removeIfThere(part);
  }
}

type Read = { readonly by: string; readonly details: Readonly<Record<string, number | string>> };

/** By pseudonyms and counts. */
async function recordRead(deps: CopiesDeps, collectionId: ImageCollectionId, { by, details }: Read): Promise<void> {
  const line = { actor: `user:${by}`, action: 'image-collection.read', object: collectionId, details } as const;
  await deps.database.transaction((tx: Tx<SiteTables>) => audit(deps, tx, line));
}

/** Throws `policy.not-approved`, `policy.refused` or `envelope.rejected` where the copies may not be read now. */
export async function readable(
  deps: Pick<CopiesDeps, 'collections' | 'optOuts'>,
  collectionId: ImageCollectionId,
): Promise<CollectionRow> {
  const row = await deps.collections.require(collectionId);
  if (row.state !== 'approved' && row.state !== 'superseded')
    throw new AppError('policy.not-approved', `This version of the collection is ${row.state}.`);
  const standing = await deps.collections.standing(row);
  if (standing === 'approval-not-signed')
    throw new AppError('envelope.rejected', 'The collection is not what this site signed when it was approved.');
  if (standing === 'project-not-approved')
    throw new AppError('policy.not-approved', "This site's approval of the collection's project does not stand.");
  if (!(await deps.optOuts.isOpen()))
    throw new AppError('policy.refused', 'A list of opted-out patients is missing or too old; load a newer one.');
  return row;
}

function digestOf(copies: readonly store.CopyFile[]): string {
  const hash = createHash('sha256');
  for (const { sha256 } of copies) hash.update(sha256);
  return hash.digest('hex').slice(0, NAME_DIGITS);
}

async function sizeOf(file: string): Promise<number | undefined> {
  try {
    return (await stat(file)).size;
  } catch (caught) {
    if (caught instanceof Error && 'code' in caught && caught.code === 'ENOENT') return undefined;
    throw caught;
  }
}

function bytesOf(file: string, sizeBytes: number, contentType: string): ByteResponse {
  return { status: 200, body: createReadStream(file), sizeBytes, contentType };
}
