/**
 * Maps what was stored, in the order in which it was stored, and applies it: state and effect are one transaction, so that a message
 * is applied once, whenever the process dies.
 *
 *   received ──map──► mapped, mapped-with-warning, ignored
 *       │  └──────── failed ──retry by a person──► received
 *       └── the database is away, the disk full: everything waits and is tried again
 *
 * One message after another over the whole feed: so order holds for every patient, also over a merge of two. A message that fails
 * stops no other; when it is tried again later, it says so if younger ones of its patient were applied before.
 */
import { AppError, ERROR_TABLE, type FeedReason } from '@lantern/contract';
import { mapMessage, parseMessage, type RecordChange } from '@lantern/hl7';
import { type AnyTx, type Clock, type Database, faultPoint, type Logger, type Tx } from '@lantern/service';
import type { FeedSettings } from './feed-settings.ts';
import type { FeedSenders } from './senders.ts';
import { changeMessage, type FeedTables, nextWaiting, recordPatient, type WaitingMessage } from './store.ts';

/**
 * Who applies a bundle to the records of the site, inside the transaction that marks its message as mapped. Gives what a person should
 * know about it.
 */
export type ApplyBundle = (tx: AnyTx, bundle: unknown, source: BundleSource) => Promise<readonly FeedReason[]>;

export type BundleSource = {
  /** Of the message in the feed. */
  readonly sequence: number;
  readonly receivedAt: Date;
  /** What the message does to records beside bringing them. */
  readonly changes: readonly RecordChange[];
};

export type Processing = {
  /** New messages are there. */
  wake(): void;
  /** Resolves when nothing waits, or what waits has to be tried later. */
  sweep(signal: AbortSignal): Promise<void>;
  close(): Promise<void>;
};

export type ProcessingDeps = {
  readonly database: Database;
  readonly clock: Clock;
  readonly log: Logger;
  readonly senders: Pick<FeedSenders, 'named'>;
  readonly settings: Pick<FeedSettings, 'authorities'>;
  readonly applyBundle: ApplyBundle;
};

/** Reasons that a row keeps; a message has few kinds of trouble, at many places. */
const REASON_COUNT_MAX = 50;

export function createProcessing(deps: ProcessingDeps): Processing {
  const closing = new AbortController();
  let working: Promise<void> | undefined;
  let isWoken = false;

  const work = async () => {
    try {
      do {
        isWoken = false;
        while (!closing.signal.aborted && (await processNext(deps)));
      } while (isWoken && !closing.signal.aborted);
    } finally {
      working = undefined;
    }
  };
  return {
    wake() {
      isWoken = true;
      if (working !== undefined || closing.signal.aborted) return;
      working = work();
      working.catch((err: unknown) => deps.log.warn({ err }, 'HL7 messages wait to be mapped; it is tried again'));
    },
    sweep: async () => {
      if (closing.signal.aborted) return;
      working ??= work();
      await working;
    },
    async close() {
      closing.abort();
      await working?.catch(() => {}); // what is left waits for the next start
    },
  };
}

/** Gives whether there was one. Throws what makes every message wait. */
async function processNext(deps: ProcessingDeps): Promise<boolean> {
  const { database, clock } = deps;
  let taken: WaitingMessage | undefined;
  try {
    const found = await database.transaction(async (tx: Tx<FeedTables>) => {
      [taken] = await nextWaiting(tx, 1);
      if (taken === undefined) return false;
      await processOne(deps, tx, taken);
      faultPoint('feed.message.mapped');
      return true;
    });
    if (found) faultPoint('feed.message.committed');
    return found;
  } catch (caught) {
    if (taken === undefined || isTransient(caught)) throw caught;
    const { sequence } = taken;
    deps.log.error({ err: caught, sequence }, 'an HL7 message could not be applied');
    const change = { event: 'fail', reasons: [failureReason(caught)], at: clock.now() } as const;
    await database.transaction((tx: Tx<FeedTables>) => changeMessage(tx, sequence, change));
    return true;
  }
}

const REPEATED: FeedReason = {
  rule: 'another message came under its control id within the hour before',
  place: 'MSH-10',
};

function isTransient(caught: unknown): boolean {
  return caught instanceof AppError && ERROR_TABLE[caught.code].failureClass === 'transient';
}

/** Messages of an `AppError` hold no values; those of other errors may. */
function failureReason(caught: unknown): FeedReason {
  if (caught instanceof AppError) return { rule: `${caught.code}: ${caught.message}` };
  return { rule: 'internal: it could not be mapped; the log of the site says where' };
}

async function processOne(deps: ProcessingDeps, tx: Tx<FeedTables>, message: WaitingMessage): Promise<void> {
  const { sequence, content, connection } = message;
  const at = deps.clock.now();
  const [name = ''] = connection.split('/', 1);
  const sender = deps.senders.named(name);
  if (content === null) throw new AppError('internal', 'A message that waits has no content.');
  const { bundle, changes, account } = mapMessage(parseMessage(content), {
    timeZone: sender?.timeZone ?? 'Z',
    authorities: { ...deps.settings.authorities, ...sender?.authorities },
    identifierSystem: sender?.identifierSystem ?? `urn:lantern:hl7-feed:${encodeURIComponent(name)}`,
  });
  if (bundle === undefined) {
    await changeMessage(tx, sequence, { event: 'ignore', reasons: account.problems.slice(0, REASON_COUNT_MAX), at });
    return;
  }
  const history = await recordPatient(tx, message);
  const reasons: FeedReason[] = [...account.problems];
  if (history.birthDiffers)
    reasons.unshift({ rule: 'the number of its patient came before with another date of birth', place: 'PID-7' });
  if (message.repeats_control_id) reasons.unshift(REPEATED);
  if (history.laterIsMapped) reasons.unshift({ rule: 'younger messages of its patient were applied before it' });
  reasons.unshift(...(await deps.applyBundle(tx, bundle, { sequence, receivedAt: message.received_at, changes })));
  const event = reasons.length === 0 ? 'map' : 'warn';
  await changeMessage(tx, sequence, { event, reasons: reasons.slice(0, REASON_COUNT_MAX), at });
}
