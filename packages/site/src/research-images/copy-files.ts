/**
 * The files of research copies: `<collection>/<patient>/<study>/<series>/<instance>.dcm`, all by pseudonyms and new UIDs, so that
 * neither name nor place says anything of a patient. A file is whole, synced and in its place before its row is written; the same
 * object makes the same file, so that what a crash left is overwritten with its like.
 */
import { createHash, randomBytes } from 'node:crypto';
import { mkdir, open, readdir, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { AppError, type ImageCollectionId } from '@lantern/contract';
import { type DeidentifiedObject, isUid, outputFile, tagOfKeyword, textOf } from '@lantern/dicom';
import { assertFreeBytes, fromDiskError, makeFolder, removeIfThere, syncFolder } from '@lantern/service';

/** Unfinished files; what is there at the start was left by a crash. */
const UNFINISHED = 'unfinished';
const NAME_BYTES = 12;
const PATIENT = /^PSN[0-9A-Z]{24}$/;

export type CopyUids = {
  readonly patient: string;
  readonly studyInstanceUid: string;
  readonly seriesInstanceUid: string;
  readonly sopInstanceUid: string;
  readonly sopClassUid: string;
};

export type WrittenCopy = CopyUids & {
  /** Below the folder of the collection. */
  readonly file: string;
  readonly sizeBytes: number;
  /** SHA-256 of the file. */
  readonly contentDigest: Buffer;
};

export type CopyFiles = {
  /** Durable when it resolves. Throws `storage.full`, `DicomError`. */
  write(collectionId: ImageCollectionId, object: DeidentifiedObject): Promise<WrittenCopy>;
  pathOf(collectionId: ImageCollectionId, file: string): string;
  /** A path for a file that is moved to its place when it is whole. */
  unfinishedPath(): string;
  remove(collectionId: ImageCollectionId, file: string): Promise<void>;
  /** The folder of a study in which `file` lies, with all that was made of it. */
  removeStudyOf(collectionId: ImageCollectionId, file: string): Promise<void>;
  removeCollection(collectionId: ImageCollectionId): Promise<void>;
};

export async function openCopyFiles(options: { dir: string; freeBytesMin: number }): Promise<CopyFiles> {
  const { dir, freeBytesMin } = options;
  const durable = new Set<string>();
  const unfinished = path.join(dir, UNFINISHED);
  await mkdir(unfinished, { recursive: true });
  for (const name of await readdir(unfinished)) await removeIfThere(path.join(unfinished, name));
  const pathOf = (collectionId: ImageCollectionId, file: string) => path.join(dir, collectionId, ...file.split('/'));
  const unfinishedPath = () => path.join(unfinished, randomBytes(NAME_BYTES).toString('hex'));
  const removeFolder = async (folder: string) => {
    await rm(folder, { recursive: true, force: true });
    for (const one of durable) if (one === folder || one.startsWith(folder + path.sep)) durable.delete(one);
  };
  return {
    pathOf,
    unfinishedPath,
    remove: (collectionId, file) => removeIfThere(pathOf(collectionId, file)),
    removeStudyOf: (collectionId, file) => removeFolder(path.dirname(path.dirname(pathOf(collectionId, file)))),
    removeCollection: (collectionId) => removeFolder(path.join(dir, collectionId)),
    async write(collectionId, object) {
      const uids = uidsOf(object);
      const { patient, studyInstanceUid, seriesInstanceUid, sopInstanceUid } = uids;
      const file = [patient, studyInstanceUid, seriesInstanceUid, `${sopInstanceUid}.dcm`].join('/');
      const target = pathOf(collectionId, file);
      const part = unfinishedPath();
      try {
        await assertFreeBytes(dir, 0, freeBytesMin);
        const written = await writeSynced(part, outputFile(object));
        await makeFolder(path.dirname(target), dir, durable);
        await rename(part, target);
        await syncFolder(path.dirname(target));
        return { ...uids, file, ...written };
      } catch (caught) {
        await removeIfThere(part);
        throw fromDiskError(caught);
      }
    },
  };
}

async function writeSynced(
  file: string,
  pieces: Iterable<Buffer>,
): Promise<{ sizeBytes: number; contentDigest: Buffer }> {
  const hash = createHash('sha256');
  let sizeBytes = 0;
  const handle = await open(file, 'wx', 0o600);
  try {
    for (const piece of pieces) {
      hash.update(piece);
      await handle.writeFile(piece);
      sizeBytes += piece.byteLength;
    }
    await handle.datasync();
  } finally {
    await handle.close();
  }
  return { sizeBytes, contentDigest: hash.digest() };
}

/** Of the copy. That they are UIDs and a pseudonym is what makes them safe as names of files. */
function uidsOf({ dataSet }: DeidentifiedObject): CopyUids {
  const uid = (keyword: string) => {
    const text = textOf(dataSet, tagOfKeyword(keyword) ?? 0) ?? '';
    if (!isUid(text)) throw new AppError('internal', `${keyword} of a copy is no UID.`);
    return text;
  };
  const patient = textOf(dataSet, tagOfKeyword('PatientID') ?? 0) ?? '';
  if (!PATIENT.test(patient)) throw new AppError('internal', 'PatientID of a copy is no pseudonym.');
  return {
    patient,
    studyInstanceUid: uid('StudyInstanceUID'),
    seriesInstanceUid: uid('SeriesInstanceUID'),
    sopInstanceUid: uid('SOPInstanceUID'),
    sopClassUid: uid('SOPClassUID'),
  };
}
