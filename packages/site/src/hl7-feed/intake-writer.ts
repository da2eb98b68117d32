/**
 * Stores messages in batches: while one transaction commits, what arrives on all connections waits and goes into the next, so that
 * eight senders that each wait for their answer cost one sync of the database's log.
 *
 * Batches follow one another, each in the order of arrival: so sequence numbers grow along every connection. Two messages of one
 * control id never share a batch, since the second is judged by the first.
 */
import { AppError } from '@lantern/contract';
import type { Database } from '@lantern/service';
import { type IntakeOutcome, insertMessages, type NewMessage, nameOf } from './store.ts';

/** Bounds the statement. */
const BATCH_COUNT_MAX = 256;
/** More than one message only up to here; a single one may be longer. */
const BATCH_BYTES_MAX = 8 * 1024 * 1024;

/**
 * Senders that were answered together send their next messages together, but not in the same instant: the next commit waits for as many
 * as were answered by the last one and wait already, this long at most. So all that are busy come to share one commit, whose cost is
 * nearly the same for one as for eight. Who falls silent is waited for once, as he is then neither among the one nor the other.
 */
const GATHER_MS_MAX = 2;

export type IntakeWriter = {
  /** Resolves when it is committed. Throws `storage.full`, `database.unavailable`, `input.invalid` for what no row can hold. */
  write(message: NewMessage): Promise<IntakeOutcome>;
  /** Waits for what was given. */
  close(): Promise<void>;
};

type Waiting = { readonly message: NewMessage; readonly name: string } & PromiseWithResolvers<IntakeOutcome>;

export function createIntakeWriter(database: Database): IntakeWriter {
  const waiting: Waiting[] = [];
  let working: Promise<void> | undefined;
  let onGathered = () => {};
  let wantedCount = 0;
  const gather = (count: number): Promise<void> => {
    if (waiting.length >= count) return Promise.resolve();
    wantedCount = count;
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, GATHER_MS_MAX);
      onGathered = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  };
  const work = async () => {
    for (let count = batchCount(waiting); count > 0; count = batchCount(waiting)) {
      await writeBatch(database, waiting.splice(0, count));
      const busyCount = Math.min(count + waiting.length, BATCH_COUNT_MAX);
      if (busyCount > 1) await gather(busyCount);
    }
    working = undefined;
  };
  return {
    write(message) {
      const deferred = Promise.withResolvers<IntakeOutcome>();
      waiting.push({ message, name: nameOf(message), ...deferred });
      working ??= nextTurn().then(work);
      if (waiting.length >= wantedCount) onGathered();
      return deferred.promise;
    },
    async close() {
      await working;
    },
  };
}

/** What the sockets brought in this turn belongs into the first batch. */
function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** As many of the first ones as have different names, within the bounds; at least one. */
function batchCount(waiting: readonly Waiting[]): number {
  const names = new Set<string>();
  let byteCount = 0;
  for (const { name, message } of waiting) {
    byteCount += message.content.byteLength;
    const isFull = names.size >= BATCH_COUNT_MAX || (names.size > 0 && byteCount > BATCH_BYTES_MAX);
    if (isFull || names.has(name)) break;
    names.add(name);
  }
  return names.size;
}

async function writeBatch(database: Database, batch: readonly Waiting[]): Promise<void> {
  try {
    const outcomes = await insertMessages(
      database,
      batch.map(({ message }) => message),
    );
    for (const [place, { resolve, reject }] of batch.entries()) {
      const outcome = outcomes[place];
      if (outcome === undefined) reject(new AppError('internal', 'The feed gave no outcome for a message.'));
      else resolve(outcome);
    }
  } catch (caught) {
    if (caught instanceof AppError) return rejectAll(batch, caught); // trouble that every message would meet
    if (batch.length === 1) return rejectAll(batch, refusal(caught));
    for (const one of batch) await writeBatch(database, [one]);
  }
}

function rejectAll(batch: readonly Waiting[], fault: unknown): void {
  for (const { reject } of batch) reject(fault);
}

/** SQLSTATE classes 22 (data exception) and 54 (limit) speak of the message: a NUL in its header, or a header too long for an index. */
function refusal(cause: unknown): unknown {
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : '';
  if (!/^(?:22|54)/.test(code)) return cause;
  return new AppError('input.invalid', 'No row can hold what MSH says.', { cause });
}
