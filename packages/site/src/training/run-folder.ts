/**
 * Everything a run needs at this site lies in one folder named by the run's id: rows, weights on their way down, updates on
 * their way up, SCAFFOLD's control variates. It can be made again from the dataset and the hub, except the answers not yet
 * delivered and the control variates; and it is removed as a whole.
 */
import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import path from 'node:path';
import type { RunId } from '@lantern/contract';
import { type BlobStore, makePrivateFolder, openBlobStore } from '@lantern/service';

export type RunFolders = {
  /** The folder, made if missing. */
  dirOf(runId: RunId): Promise<string>;
  /** Files on their way between hub and site, named by their content; removed when they have arrived. */
  filesOf(runId: RunId): Promise<BlobStore>;
  /**
   * Control variates, which stay. A store of their own: SCAFFOLD's first variate equals the update of it that is sent, and
   * removing the one must not remove the other.
   */
  controlsOf(runId: RunId): Promise<BlobStore>;
  remove(runId: RunId): Promise<void>;
};

export function createRunFolders(dataDir: string): RunFolders {
  const stores = new Map<string, Promise<BlobStore>>();
  const pathOf = (runId: RunId) => path.join(dataDir, 'work', 'runs', runId);
  const storeIn = (dir: string) => {
    const store = stores.get(dir) ?? openBlobStore({ dir });
    stores.set(dir, store);
    return store;
  };
  return {
    async dirOf(runId) {
      const dir = pathOf(runId);
      if (!existsSync(dir)) await makePrivateFolder(dir);
      return dir;
    },
    filesOf: (runId) => storeIn(path.join(pathOf(runId), 'files')),
    controlsOf: (runId) => storeIn(path.join(pathOf(runId), 'controls')),
    async remove(runId) {
      for (const dir of stores.keys()) if (path.dirname(dir) === pathOf(runId)) stores.delete(dir);
      await rm(pathOf(runId), { recursive: true, force: true });
    },
  };
}
