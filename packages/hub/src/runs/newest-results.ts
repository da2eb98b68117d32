/** The newest result of each kind of a run, all that the next round needs: read once in a pass, and kept up as it closes rounds. */
import type { RunId } from '@lantern/contract';
import type { HubDb } from '../tables.ts';
import type { RoundResult } from './round-result.ts';
import { newestResults } from './store.ts';

export type NewestResults = {
  readonly all: () => Promise<readonly RoundResult[]>;
  /** For a round that was closed in the same pass. */
  readonly add: (result: RoundResult) => void;
};

export function createNewestResults(db: HubDb, runId: RunId): NewestResults {
  let read: readonly RoundResult[] | undefined;
  const added: RoundResult[] = [];
  return {
    async all() {
      read ??= await newestResults(db, runId);
      const newest = new Map([...read, ...added].map((result) => [result.kind, result]));
      return [...newest.values()];
    },
    add: (result) => void added.push(result),
  };
}
