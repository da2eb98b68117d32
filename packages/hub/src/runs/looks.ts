/**
 * Looks at runs in this process, at once, for what was just committed: at most one at a time per run, and once more when
 * something was committed meanwhile. A look that fails is left to a job of the queue, which tries for as long as it takes.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { AppError, type RunId } from '@lantern/contract';
import type { HubContext } from '../hub-context.ts';
import { enqueueAdvance } from '../jobs.ts';
import type { HubTx } from '../tables.ts';

const ASK_AGAIN_MS = 1000; // a database that was away is back within seconds

export type Looks = {
  look(runId: RunId): void;
  /** Aborts and awaits what `look` began. */
  close(): Promise<void>;
};

export function createLooks(
  deps: Pick<HubContext, 'transaction' | 'log'> & {
    readonly advance: (runId: RunId, signal: AbortSignal) => Promise<void>;
  },
): Looks {
  const { signal, abort } = abortable();
  const busy = new Map<RunId, { again: boolean; ended: Promise<void> }>();

  async function lookUntilQuiet(runId: RunId, look: { again: boolean }): Promise<void> {
    do {
      look.again = false;
      try {
        await deps.advance(runId, signal);
      } catch (err) {
        if (!signal.aborted) deps.log.warn({ err, runId }, 'a run is looked at again by a job');
        await askForJob(runId);
      }
    } while (look.again && !signal.aborted);
    busy.delete(runId);
  }

  async function askForJob(runId: RunId): Promise<void> {
    while (!signal.aborted) {
      try {
        return await deps.transaction((tx: HubTx) => enqueueAdvance(tx, runId));
      } catch (err) {
        deps.log.warn({ err, runId }, 'no job could be asked for yet');
        await pause(ASK_AGAIN_MS, undefined, { signal }).catch(() => undefined); // stopped: the loop ends
      }
    }
  }

  return {
    look(runId) {
      const look = busy.get(runId);
      if (look !== undefined) look.again = true;
      if (look !== undefined || signal.aborted) return;
      const begun = { again: false, ended: Promise.resolve() };
      busy.set(runId, begun);
      begun.ended = lookUntilQuiet(runId, begun);
    },
    async close() {
      abort();
      await Promise.all([...busy.values()].map((look) => look.ended));
    },
  };
}

function abortable(): { readonly signal: AbortSignal; readonly abort: () => void } {
  const controller = new AbortController();
  return {
    signal: controller.signal,
    abort: () => controller.abort(new AppError('stopped', 'The hub is shutting down.')),
  };
}
