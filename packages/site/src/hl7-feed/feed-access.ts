/** What people see of the feed and may ask of it: metadata, and that a failed message is mapped again. Never a content. */
import { AppError, FEED_MESSAGE_STATES, type FeedMessage, type FeedMessageState } from '@lantern/contract';
import { appendAudit, type Clock, type Database, type Tx } from '@lantern/service';
import {
  changeMessage,
  countByState,
  type FeedTables,
  failedSequences,
  listMessages,
  type MessageRow,
  readMessage,
} from './store.ts';

const RETRY_COUNT_MAX = 1000; // of one request; those behind them are asked for again
const PAGE_COUNT = 200;

export type FeedAccess = {
  counts(): Promise<Record<FeedMessageState, number>>;
  list(page: { readonly state?: string; readonly after?: number; readonly limit?: number }): Promise<FeedMessage[]>;
  /** Throws `not-found`. */
  read(sequence: number): Promise<FeedMessage>;
  /** Throws `not-found`, `state.transition-refused`. */
  retry(sequence: number, by: string): Promise<FeedMessage>;
  retryAll(by: string): Promise<number>;
};

type Deps = { readonly database: Database; readonly clock: Clock };

/** `onRetry` is called once messages wait again. */
export function createFeedAccess({ database, clock }: Deps, onRetry: () => void): FeedAccess {
  const db = database.kysely<FeedTables>();
  const retried = async (sequence: number, by: string): Promise<boolean> =>
    database.transaction(async (tx: Tx<FeedTables>) => {
      const isRetried = await changeMessage(tx, sequence, { event: 'retry', reasons: [], at: clock.now() });
      if (isRetried) {
        await appendAudit(tx, {
          at: clock.now(),
          actor: `user:${by}`,
          action: 'hl7-message.retry',
          object: `hl7-message:${sequence}`,
          outcome: 'success',
          details: {},
        });
      }
      return isRetried;
    });
  const read = async (sequence: number): Promise<FeedMessage> => {
    const row = await readMessage(db, sequence);
    if (row === undefined) throw new AppError('not-found', 'There is no HL7 message of this number.');
    return messageOf(row);
  };
  return {
    async counts() {
      const states = Object.keys(FEED_MESSAGE_STATES) as FeedMessageState[];
      const counted = new Map((await countByState(db)).map(({ state, count }) => [state, Number(count)]));
      return Object.fromEntries(states.map((state) => [state, counted.get(state) ?? 0])) as Record<
        FeedMessageState,
        number
      >;
    },
    async list({ state, after = 0, limit = PAGE_COUNT }) {
      const wanted = stateOf(state);
      const rows = await listMessages(db, { ...(wanted === undefined ? {} : { state: wanted }), after, limit });
      return rows.map(messageOf);
    },
    read,
    async retry(sequence, by) {
      const { state, isKept } = await read(sequence);
      if (!(await retried(sequence, by))) {
        const why = isKept ? `it is ${state}; only what failed can be mapped again` : 'its content is no longer kept';
        throw new AppError('state.transition-refused', `This HL7 message cannot be mapped again: ${why}.`);
      }
      onRetry();
      return read(sequence);
    },
    async retryAll(by) {
      let count = 0;
      for (const sequence of await failedSequences(db, RETRY_COUNT_MAX)) if (await retried(sequence, by)) count += 1;
      if (count > 0) onRetry();
      return count;
    },
  };
}

/** Throws `input.invalid`. */
function stateOf(text: string | undefined): FeedMessageState | undefined {
  if (text === undefined) return undefined;
  const states = Object.keys(FEED_MESSAGE_STATES) as FeedMessageState[];
  const found = states.find((state) => state === text);
  if (found === undefined)
    throw new AppError('input.invalid', `state: one of ${states.join(', ')}.`, { field: 'state' });
  return found;
}

function messageOf(row: MessageRow): FeedMessage {
  return {
    sequence: row.sequence,
    sendingApplication: row.sending_application,
    sendingFacility: row.sending_facility,
    controlId: row.control_id,
    messageCode: row.message_code,
    triggerEvent: row.trigger_event,
    version: row.version,
    connection: row.connection,
    receivedAt: row.received_at.toISOString(),
    contentDigest: row.content_digest.toString('hex'),
    byteCount: row.byte_count,
    isKept: row.is_kept,
    state: row.state,
    reasons: row.reasons,
    attemptCount: row.attempt_count,
    duplicateCount: row.duplicate_count,
    conflictCount: row.conflict_count,
    changedAt: row.changed_at.toISOString(),
  };
}
