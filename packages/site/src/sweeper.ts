/**
 * Work that time alone asks for: approvals that end, runs that nobody continues, versions that the hub retired. Each sweep waits
 * for the one before it, and is told by its signal when the site closes.
 */
import type { Logger } from '@lantern/service';

export type Sweep = {
  readonly name: string;
  readonly everyMs: number;
  readonly run: (signal: AbortSignal) => Promise<void>;
};

export function startSweeper(sweeps: readonly Sweep[], log: Logger): { close(): Promise<void> } {
  const closing = new AbortController();
  const running = new Map<string, Promise<void>>();
  const timers = sweeps.map(({ name, everyMs, run }) => {
    const once = async () => {
      if (running.has(name)) return;
      const work = run(closing.signal)
        .catch((err: unknown) => {
          if (!closing.signal.aborted) log.warn({ err, name }, 'a sweep failed; the next one tries again');
        })
        .finally(() => running.delete(name));
      running.set(name, work);
      await work;
    };
    void once();
    return setInterval(() => void once(), everyMs);
  });
  return {
    async close() {
      for (const timer of timers) clearInterval(timer);
      closing.abort();
      await Promise.all(running.values());
    },
  };
}
