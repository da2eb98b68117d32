/**
 * The archive: takes instances in, and says what became of each only when that will still be so after the power fails.
 *
 *   data set ──► file, synced ──► row, committed ──► answer
 *                   │                │
 *                   └── refused: the file goes      └── unknown (the database went away): the file stays for the check
 *
 * Invariants: an instance that was answered as stored has file and row; one UID has one content, and whoever brings another is
 * told of the conflict and what he brought is kept beside; nothing is overwritten.
 */
import { AppError } from '@lantern/contract';
import { DicomError, memorySource, openFileSource } from '@lantern/dicom';
import type { Clock, Database, Logger } from '@lantern/service';
import { fromDicomError } from '../dicom-fault.ts';
import { type ArchiveCheck, createArchiveCheck } from './archive-check.ts';
import { createImageFiles, type ImageFiles, type IncomingUids, type WrittenFile } from './image-files.ts';
import { createIndexWriter } from './index-writer.ts';
import { type InstanceHeader, readInstanceHeader } from './instance-header.ts';
import type { IndexEntry, IndexOutcome } from './store.ts';

export type IncomingInstance = IncomingUids & {
  readonly callingAe: string;
  readonly calledAe: string;
  /** Whether an instance after the end of its arrival opens a new revision. */
  readonly lateOpensRevision: boolean;
  /** Where it has to be of this study. */
  readonly studyInstanceUid?: string;
  /** Each piece is read before the next is asked for. */
  readonly dataSet: AsyncIterable<Uint8Array>;
};

export type Received = {
  readonly outcome: IndexOutcome['outcome'];
  readonly studyInstanceUid: string;
  readonly seriesInstanceUid: string;
};

export type Archive = {
  readonly files: ImageFiles;
  /**
   * Resolves when the instance is durable: kept, known already, or kept as a conflict. Throws `input.invalid` where its header is
   * none or cannot be read, `storage.full`, `database.unavailable`, and what the data set throws.
   */
  receive(instance: IncomingInstance): Promise<Received>;
  /** Removes files that no row knows, which a crash leaves behind. Gives how many. */
  check(signal?: AbortSignal): Promise<number>;
  /** Waits for what is on its way into the index. */
  close(): Promise<void>;
};

export type ArchiveDeps = {
  readonly database: Database;
  readonly clock: Clock;
  readonly log: Logger;
  /** Folder of the files. */
  readonly dir: string;
  readonly freeBytesMin?: number;
};

export function createArchive(deps: ArchiveDeps): Archive {
  const files = createImageFiles(deps);
  const index = createIndexWriter(deps.database);
  const check: ArchiveCheck = createArchiveCheck({ ...deps, files });
  return {
    files,
    check: (signal) => check.run(signal),
    close: () => index.close(),
    async receive(instance) {
      const { dataSet, callingAe, calledAe, lateOpensRevision, studyInstanceUid, ...uids } = instance;
      const written = await files.write(uids, dataSet);
      const header = await headerOf(files, written, { ...uids, studyInstanceUid }); // while the disk works
      const { head: _head, durable, ...file } = written;
      await durable;
      const entry: IndexEntry = {
        ...header,
        ...file,
        transferSyntaxUid: uids.transferSyntaxUid,
        callingAe,
        calledAe,
        lateOpensRevision,
        receivedAt: deps.clock.now(),
      };
      const { outcome, keepsFile } = await indexed(entry);
      if (!keepsFile) await files.discard(written.file);
      files.settled(written.file);
      const { study, series } = header;
      return { outcome, studyInstanceUid: study.studyInstanceUid, seriesInstanceUid: series.seriesInstanceUid };
    },
  };

  async function indexed(entry: IndexEntry): Promise<IndexOutcome> {
    try {
      return await index.write(entry);
    } catch (caught) {
      // Whether the row was committed is not known where the connection broke. So the file stays; the check of its hour decides.
      const isRefusal = caught instanceof AppError && caught.code !== 'database.unavailable';
      if (isRefusal) await files.discard(entry.file);
      else files.settled(entry.file);
      throw caught;
    }
  }
}

/** Throws away the file of an instance that the index cannot hold. */
async function headerOf(
  files: ImageFiles,
  written: WrittenFile,
  uids: IncomingUids & { readonly studyInstanceUid: string | undefined },
): Promise<InstanceHeader> {
  try {
    const header = await readHeader(files, written, uids.transferSyntaxUid);
    const { studyInstanceUid } = header.study;
    if (studyInstanceUid !== (uids.studyInstanceUid ?? studyInstanceUid)) {
      const message = 'studyInstanceUid: the data set is of another study than it was sent to.';
      throw new AppError('input.invalid', message, { field: 'studyInstanceUid' });
    }
    for (const key of ['sopInstanceUid', 'sopClassUid'] as const) {
      if (header[key] === uids[key]) continue;
      throw new AppError('input.invalid', `${key}: the data set names another than the message that brought it.`, {
        field: key,
      });
    }
    return header;
  } catch (caught) {
    await written.durable.catch(() => undefined); // else it could be made after it was removed
    await files.discard(written.file);
    throw fromDicomError(caught);
  }
}

async function readHeader(files: ImageFiles, written: WrittenFile, transferSyntaxUid: string): Promise<InstanceHeader> {
  const { head, dataSetBytes, file, dataSetStart, durable } = written;
  const isWhole = head.byteLength === dataSetBytes;
  try {
    return readInstanceHeader(memorySource(head), { start: 0, isWhole, transferSyntaxUid });
  } catch (caught) {
    if (!(caught instanceof DicomError) || isWhole) throw caught;
  }
  await durable; // a long header is read from the file
  const source = openFileSource(files.pathOf(file));
  try {
    return readInstanceHeader(source, { start: dataSetStart, isWhole: true, transferSyntaxUid });
  } finally {
    source.close();
  }
}
