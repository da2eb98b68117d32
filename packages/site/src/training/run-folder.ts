/**
 * Everything a run needs at this site lies in one folder, `<dataDir>/work/runs/<run id>`: rows, weights on their way down,
 * updates on their way up, SCAFFOLD's control variates. It can be made again from the dataset and the hub, except the answers not yet
 * delivered and the control variates; and it is removed as a whole.
 */
import { mkdir, rm } from 'node:fs/promises';
import path from 'node:path';
import type { RunId } from '@lantern/contract';
import { type BlobStore, openBlobStore } from '@lantern/service';

export type RunFolders = {
  /** The folder, made if missing. */
  dirOf(runId: RunId): Promise<string>;
  /** Files of the run that are named by their content. */
  filesOf(runId: RunId): Promise<BlobStore>;
  remove(runId: RunId): Promise<void>;
};

export function createRunFolders(dataDir: string): RunFolders {
  const stores = new Map<RunId, Promise<BlobStore>>();
  const pathOf = (runId: RunId) => path.join(dataDir, 'work', 'runs', runId);
  return {
    async dirOf(runId) {
      const dir = pathOf(runId);
      await mkdir(dir, { recursive: true });
      return dir;
    },
    filesOf(runId) {
      const store = stores.get(runId) ?? openBlobStore({ dir: path.join(pathOf(runId), 'files') });
      stores.set(runId, store);
      return store;
    },
    async remove(runId) {
      stores.delete(runId);
      await rm(pathOf(runId), { recursive: true, force: true });
    },
  };
}
