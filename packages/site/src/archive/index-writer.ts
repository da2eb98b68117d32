/**
 * Writes index rows in batches: while one transaction commits, what arrives on all associations waits and goes into the next, so
 * that a hundred associations cost few more syncs of the database's log than one.
 *
 * A batch that fails is tried again one by one: an instance that the index cannot hold is refused alone.
 */
import { AppError } from '@lantern/contract';
import type { Database } from '@lantern/service';
import { type IndexEntry, type IndexOutcome, indexInstances } from './store.ts';

/** Bounds the statement: an entry has some three kilobytes. */
const BATCH_COUNT_MAX = 200;

export type IndexWriter = {
  /** Resolves when the row is committed. Throws `input.invalid` where the index cannot hold it, `database.unavailable`. */
  write(entry: IndexEntry): Promise<IndexOutcome>;
  /** Waits for what was given. */
  close(): Promise<void>;
};

type Waiting = { readonly entry: IndexEntry } & PromiseWithResolvers<IndexOutcome>;

export function createIndexWriter(database: Database): IndexWriter {
  const waiting: Waiting[] = [];
  let working: Promise<void> | undefined;
  const work = async () => {
    while (waiting.length > 0) await writeBatch(database, waiting.splice(0, BATCH_COUNT_MAX));
    working = undefined;
  };
  return {
    write(entry) {
      const deferred = Promise.withResolvers<IndexOutcome>();
      waiting.push({ entry, ...deferred });
      working ??= work();
      return deferred.promise;
    },
    async close() {
      await working;
    },
  };
}

async function writeBatch(database: Database, batch: readonly Waiting[]): Promise<void> {
  try {
    const outcomes = await indexInstances(
      database,
      batch.map(({ entry }) => entry),
    );
    for (const [place, { resolve, reject }] of batch.entries()) {
      const outcome = outcomes[place];
      if (outcome === undefined) reject(new AppError('internal', 'The index gave no outcome for an instance.'));
      else resolve(outcome);
    }
  } catch (caught) {
    if (isOfServer(caught)) return rejectAll(batch, caught);
    if (batch.length === 1) return rejectAll(batch, refusal(caught));
    for (const one of batch) await writeBatch(database, [one]);
  }
}

function rejectAll(batch: readonly Waiting[], fault: unknown): void {
  for (const { reject } of batch) reject(fault);
}

/** SQLSTATE classes 22 (data exception) and 23 (constraint violation) speak of the entry; whatever else comes back as it was. */
function refusal(cause: unknown): unknown {
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : '';
  if (!/^2[23]/.test(code)) return cause;
  return new AppError('input.invalid', 'The index cannot hold what the header says.', { cause });
}

/** Trouble that every entry would meet. */
function isOfServer(caught: unknown): boolean {
  return caught instanceof AppError;
}
