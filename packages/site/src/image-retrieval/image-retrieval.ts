/**
 * Gives what the archive keeps: which instances a request means, their files as they are, and what is made of them. Every retrieval
 * is written to the audit log before its first byte leaves.
 */
import { createReadStream } from 'node:fs';
import { AppError } from '@lantern/contract';
import { canTranscode, type Instance } from '@lantern/dicom';
import { appendAudit, type Clock, type Database, type Logger, type Tx } from '@lantern/service';
import type { ImageFiles } from '../archive/image-files.ts';
import { EXPLICIT_LITTLE_ENDIAN, type PixelTask } from './pixel-work.ts';
import { createPixelWorkers } from './pixel-workers.ts';
import { findInstances } from './store.ts';
import type { InstanceKeys, StoredInstance } from './stored-instance.ts';

/** All of a patient with many long studies; what is more is asked for study by study. */
const INSTANCE_COUNT_MAX = 100_000;
/** Read at once; large enough to keep a fast link busy, small enough for a hundred readers. */
const READ_BYTES = 256 * 1024;

export type RetrievalRecord = {
  /** `user:...` or `dicom:...`. */
  readonly actor: string;
  /** How: 'C-GET', 'frames' and so on. */
  readonly form: string;
  readonly instances: readonly StoredInstance[];
  readonly details?: Readonly<Record<string, string | number>>;
};

export type ImageRetrieval = {
  /** At least one key must be there. Throws `input.too-large` where too many instances are meant. */
  find(keys: InstanceKeys): Promise<readonly StoredInstance[]>;
  /** The whole file of PS3.10, whose data set is as it was sent. */
  fileOf(instance: StoredInstance): AsyncIterable<Uint8Array>;
  /** What is made of an instance, in blocks. Throws as the DICOM package does, and `executor.failed`. */
  made(instance: StoredInstance, task: PixelTask): AsyncIterable<Uint8Array>;
  /** To be sent by C-STORE. */
  sendable(instance: StoredInstance): Instance;
  /** One line of the audit log for each study. */
  record(retrieval: RetrievalRecord): Promise<void>;
  close(): Promise<void>;
};

type RetrievalDeps = {
  readonly database: Database;
  readonly clock: Clock;
  readonly log: Logger;
  readonly files: Pick<ImageFiles, 'pathOf'>;
};

export function createImageRetrieval({ database, clock, log, files }: RetrievalDeps): ImageRetrieval {
  const workers = createPixelWorkers({ log });
  const made: ImageRetrieval['made'] = ({ file }, task) => workers.perform({ task, path: files.pathOf(file) });
  return {
    made,
    close: () => workers.close(),
    async find(keys) {
      if (Object.values(keys).every((values) => values === undefined)) return [];
      const found = await findInstances(database, keys, INSTANCE_COUNT_MAX + 1);
      if (found.length <= INSTANCE_COUNT_MAX) return found;
      throw new AppError('input.too-large', `More than ${INSTANCE_COUNT_MAX} instances are meant.`);
    },
    fileOf: ({ file }) => createReadStream(files.pathOf(file), { highWaterMark: READ_BYTES }),
    sendable(instance) {
      const { sopClassUid: sopClass, sopInstanceUid: sopInstance, transferSyntaxUid, dataSetStart } = instance;
      const path = files.pathOf(instance.file);
      const transcoded = (to: string): Instance | undefined =>
        canTranscode(transferSyntaxUid, to)
          ? { sopClass, sopInstance, transferSyntax: to, open: () => dataSetIn(instance, to) }
          : undefined;
      return {
        sopClass,
        sopInstance,
        transferSyntax: transferSyntaxUid,
        open: () => createReadStream(path, { start: dataSetStart, highWaterMark: READ_BYTES }),
        ...(canTranscode(transferSyntaxUid, EXPLICIT_LITTLE_ENDIAN) ? { transcoded } : {}),
      };
    },
    record: ({ actor, form, instances, details = {} }) =>
      database.transaction(async (tx: Tx) => {
        for (const [studyKey, ofStudy] of Map.groupBy(instances, (instance) => instance.studyKey)) {
          await appendAudit(tx, {
            at: clock.now(),
            actor,
            action: 'images.retrieve',
            object: `image-study:${studyKey}`,
            outcome: 'success',
            details: { form, instanceCount: ofStudy.length, ...details },
          });
        }
      }),
  };

  async function* dataSetIn(instance: StoredInstance, transferSyntaxUid: string): AsyncGenerator<Buffer> {
    for await (const { buffer, byteOffset, byteLength } of made(instance, { kind: 'data-set', transferSyntaxUid })) {
      yield Buffer.from(buffer, byteOffset, byteLength);
    }
  }
}
