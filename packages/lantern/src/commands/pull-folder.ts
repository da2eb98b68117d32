/** A folder of pulled studies: study/series/instance.dcm, by their UIDs. What is there is whole: files get their name last. */
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { open, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { type FoundInstance, instanceOfFile, isUid, metaFor, type StoreRequest } from '@lantern/dicom';
import { makeNamedFolder } from '@lantern/service';

export type PullFolder = {
  has(studyInstanceUid: string, instance: FoundInstance): boolean;
  /** Durable when it resolves. False where the data set is of another instance than the message says: then nothing is kept. */
  write(studyInstanceUid: string, instance: FoundInstance, request: StoreRequest): Promise<boolean>;
};

export function createPullFolder(dir: string): PullFolder {
  const fileOf = (studyInstanceUid: string, { seriesInstanceUid, sopInstanceUid }: FoundInstance) =>
    path.join(dir, ...[studyInstanceUid, seriesInstanceUid].map(nameOf), `${nameOf(sopInstanceUid)}.dcm`);
  return {
    has: (studyInstanceUid, instance) => existsSync(fileOf(studyInstanceUid, instance)),
    async write(studyInstanceUid, instance, request) {
      const file = fileOf(studyInstanceUid, instance);
      await makeNamedFolder(path.dirname(file));
      const part = `${file}.${randomBytes(4).toString('hex')}.part`;
      const handle = await open(part, 'wx');
      try {
        for await (const piece of contentOf(request)) await handle.writeFile(piece);
        await handle.sync();
        const isIt = instanceOfFile(part).sopInstance === request.sopInstance;
        if (isIt) await rename(part, file);
        return isIt;
      } finally {
        await handle.close();
        await rm(part, { force: true }); // where it did not become the file
      }
    },
  };
}

async function* contentOf({
  sopClass,
  sopInstance,
  transferSyntax,
  dataSet,
}: StoreRequest): AsyncGenerator<Uint8Array> {
  yield metaFor({ sopClassUid: sopClass, sopInstanceUid: sopInstance, transferSyntaxUid: transferSyntax });
  yield* dataSet;
}

/** What a peer calls a UID need not be one, and must not be a path. */
function nameOf(uid: string): string {
  return isUid(uid) ? uid : 'no-uid';
}
