/**
 * Ends a process in order. What was opened last is closed first, each within a limit, so that one stuck part cannot keep the
 * others from writing what they hold. Closing twice is closing once.
 */
import type { Logger } from './log.ts';

const CLOSE_WAIT_MS_MAX = 20_000; // a clean stop of PostgreSQL writes a checkpoint; everything else is quicker

export type Shutdown = {
  /** Registers what ends a part; called in reverse order of registration. */
  onClose(name: string, close: () => Promise<void> | void): void;
  /** Closes everything. Resolves when all is closed or has used up its time; failures are logged, not thrown. */
  close(): Promise<void>;
  /** Closes at the first SIGINT or SIGTERM; a second one ends the process at once. */
  onSignals(): void;
};

export function createShutdown(log: Logger, options: { waitMsMax?: number } = {}): Shutdown {
  const waitMsMax = options.waitMsMax ?? CLOSE_WAIT_MS_MAX;
  const parts: { name: string; close: () => Promise<void> | void }[] = [];
  let closing: Promise<void> | undefined;

  const closeAll = async (): Promise<void> => {
    for (let part = parts.pop(); part !== undefined; part = parts.pop()) {
      await closeOne(part, { log, waitMsMax });
    }
  };
  const close = (): Promise<void> => {
    closing ??= closeAll();
    return closing;
  };
  return {
    onClose(name, closePart) {
      parts.push({ name, close: closePart });
    },
    close,
    onSignals() {
      let signals = 0;
      const stop = (): void => {
        signals += 1;
        if (signals > 1) process.exit(1);
        close().then(
          () => process.exit(0),
          () => process.exit(1),
        );
      };
      process.on('SIGINT', stop);
      process.on('SIGTERM', stop);
    },
  };
}

async function closeOne(
  part: { name: string; close: () => Promise<void> | void },
  options: { log: Logger; waitMsMax: number },
): Promise<void> {
  const { promise: late, resolve } = Promise.withResolvers<'late'>();
  const timer = setTimeout(() => resolve('late'), options.waitMsMax);
  try {
    const outcome = await Promise.race([Promise.resolve(part.close()), late]);
    if (outcome === 'late')
      options.log.error({ part: part.name, waitMsMax: options.waitMsMax }, 'part did not close in time');
  } catch (error) {
    options.log.error({ part: part.name, err: error }, 'part failed to close');
  } finally {
    clearTimeout(timer);
  }
}
