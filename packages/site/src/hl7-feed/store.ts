/** Rows of the feed: messages as they came, and what came under a name that was taken. */
import {
  type EventOf,
  FEED_MESSAGE_STATES,
  type FeedMessageState,
  type FeedReason,
  nextState,
  statesAllowing,
} from '@lantern/contract';
import type { Database } from '@lantern/service';
import { type Kysely, sql } from 'kysely';

/** The mirror of `migrations/019-hl7-feed.sql`. */
export type FeedTables = {
  hl7_message: {
    /** Below 2^53 for longer than anybody sends. */
    sequence: number;
    sending_application: string;
    sending_facility: string;
    control_id: string;
    message_code: string;
    trigger_event: string;
    version: string;
    connection: string;
    received_at: Date;
    content: Buffer | null;
    content_digest: Buffer;
    byte_count: number;
    patient_key: Buffer | null;
    birth_key: Buffer | null;
    state: FeedMessageState;
    reasons: FeedReason[];
    attempt_count: number;
    duplicate_count: number;
    changed_at: Date;
  };
  hl7_conflict: {
    sequence: number;
    content_digest: Buffer;
    byte_count: number;
    first_at: Date;
    last_at: Date;
    times: number;
  };
};
export type FeedDb = Kysely<FeedTables>;

export type NewMessage = {
  readonly sendingApplication: string;
  readonly sendingFacility: string;
  readonly controlId: string;
  readonly messageCode: string;
  readonly triggerEvent: string;
  readonly version: string;
  readonly connection: string;
  readonly receivedAt: Date;
  readonly content: Buffer;
  readonly contentDigest: Buffer;
  readonly patientKey: Buffer | undefined;
  readonly birthKey: Buffer | undefined;
};

export type IntakeOutcome = 'stored' | 'duplicate' | 'conflict';

/**
 * One statement and one commit, in the order of `entries`, of which no two have one name. `undefined` where another process took a
 * name at the same moment: then it is to be asked again.
 */
export async function insertMessages(
  database: Database,
  entries: readonly NewMessage[],
): Promise<(IntakeOutcome | undefined)[]> {
  const column = <T>(of: (entry: NewMessage) => T): T[] => entries.map(of);
  const texts = sql.join([
    sql`${column((entry) => entry.sendingApplication)}::text[]`,
    sql`${column((entry) => entry.sendingFacility)}::text[]`,
    sql`${column((entry) => entry.controlId)}::text[]`,
    sql`${column((entry) => entry.messageCode)}::text[]`,
    sql`${column((entry) => entry.triggerEvent)}::text[]`,
    sql`${column((entry) => entry.version)}::text[]`,
    sql`${column((entry) => entry.connection)}::text[]`,
  ]);
  const { rows } = await sql<{ place: number; outcome: IntakeOutcome | null }>`
    with entry as materialized (
      select place, sending_application, sending_facility, control_id, message_code, trigger_event, version, connection,
        received_at, substring(${Buffer.concat(column((entry) => entry.content))}::bytea from first_byte for byte_count) as content,
        decode(digest, 'hex') as content_digest, byte_count, decode(patient, 'hex') as patient_key, decode(birth, 'hex') as birth_key
      from unnest(${texts}, ${column((entry) => entry.receivedAt.toISOString())}::timestamptz[],
        ${starts(entries)}::int[], ${column((entry) => entry.content.byteLength)}::int[],
        ${column((entry) => entry.contentDigest.toString('hex'))}::text[],
        ${column((entry) => entry.patientKey?.toString('hex') ?? null)}::text[],
        ${column((entry) => entry.birthKey?.toString('hex') ?? null)}::text[])
        with ordinality as given(sending_application, sending_facility, control_id, message_code, trigger_event, version, connection,
          received_at, first_byte, byte_count, digest, patient, birth, place)
    ), known as (
      select entry.place, message.sequence, message.content_digest = entry.content_digest as is_same
      from entry join hl7_message message using (sending_application, sending_facility, control_id)
    ), added as (
      insert into hl7_message (sending_application, sending_facility, control_id, message_code, trigger_event, version, connection,
        received_at, content, content_digest, byte_count, patient_key, birth_key, changed_at)
      select sending_application, sending_facility, control_id, message_code, trigger_event, version, connection,
        received_at, content, content_digest, byte_count, patient_key, birth_key, received_at
      from entry where place not in (select place from known) order by place
      on conflict on constraint hl7_message_named do nothing
      returning sending_application, sending_facility, control_id
    ), repeated as (
      update hl7_message message set duplicate_count = duplicate_count + 1
      from known where known.sequence = message.sequence and known.is_same
    ), refused as (
      insert into hl7_conflict (sequence, content_digest, byte_count, first_at, last_at)
      select known.sequence, content_digest, byte_count, received_at, received_at
      from known join entry using (place) where not known.is_same
      on conflict (sequence, content_digest) do update set times = hl7_conflict.times + 1, last_at = excluded.last_at
    )
    select entry.place::int as place,
      case when added.control_id is not null then 'stored' when known.is_same then 'duplicate'
        when not known.is_same then 'conflict' end as outcome
    from entry left join known using (place)
      left join added using (sending_application, sending_facility, control_id)
    order by entry.place`.execute(database.kysely<FeedTables>());
  return rows.map(({ outcome }) => outcome ?? undefined);
}

/** Where each content begins in all of them; SQL counts bytes from 1. */
function starts(entries: readonly NewMessage[]): number[] {
  let at = 1;
  return entries.map(({ content }) => {
    const start = at;
    at += content.byteLength;
    return start;
  });
}

export type WaitingMessage = Pick<
  FeedTables['hl7_message'],
  'sequence' | 'content' | 'patient_key' | 'birth_key' | 'attempt_count' | 'received_at' | 'sending_application'
> & { readonly connection: string };

/**
 * The oldest ones that wait, locked until the end of the transaction. Another process that asks meanwhile waits, so that order is kept
 * whoever works.
 */
export function nextWaiting(tx: FeedDb, count: number): Promise<WaitingMessage[]> {
  return tx
    .selectFrom('hl7_message')
    .select([
      'sequence',
      'content',
      'patient_key',
      'birth_key',
      'attempt_count',
      'received_at',
      'sending_application',
      'connection',
    ])
    .where('state', '=', 'received')
    .orderBy('sequence')
    .limit(count)
    .forUpdate()
    .execute();
}

/** What other messages of its patient say about the time at which this one is mapped. */
export async function patientHistory(
  tx: FeedDb,
  { sequence, patient_key, birth_key }: Pick<WaitingMessage, 'sequence' | 'patient_key' | 'birth_key'>,
): Promise<{ laterIsMapped: boolean; birthDiffers: boolean }> {
  if (patient_key === null) return { laterIsMapped: false, birthDiffers: false };
  const { rows } = await sql<{ laterIsMapped: boolean; birthDiffers: boolean }>`
    select exists (select from hl7_message where patient_key = ${patient_key} and sequence > ${sequence}::bigint
        and state in ('mapped', 'mapped-with-warning')) as "laterIsMapped",
      exists (select from hl7_message where patient_key = ${patient_key} and sequence < ${sequence}::bigint
        and birth_key <> ${birth_key}::bytea) as "birthDiffers"`.execute(tx);
  return rows[0] ?? { laterIsMapped: false, birthDiffers: false };
}

type Change = {
  readonly event: EventOf<typeof FEED_MESSAGE_STATES>;
  readonly reasons: readonly FeedReason[];
  readonly at: Date;
};

/** Gives whether its state allowed it. */
export async function changeMessage(tx: FeedDb, sequence: number, { event, reasons, at }: Change): Promise<boolean> {
  const [from] = statesAllowing(FEED_MESSAGE_STATES, event);
  const state = from === undefined ? undefined : nextState(FEED_MESSAGE_STATES, from, event);
  if (state === undefined) return false;
  const { rows } = await sql`
    update hl7_message set state = ${state}, reasons = ${JSON.stringify(reasons)}::jsonb, changed_at = ${at}::timestamptz,
      attempt_count = attempt_count + ${event === 'retry' ? 0 : 1}::int
    where sequence = ${sequence}::bigint and state = any(${statesAllowing(FEED_MESSAGE_STATES, event)}::text[])
      and (${event !== 'retry'}::boolean or content is not null)
    returning sequence`.execute(tx);
  return rows.length > 0;
}

export type MessageRow = Omit<FeedTables['hl7_message'], 'content' | 'patient_key' | 'birth_key'> & {
  readonly is_kept: boolean;
  readonly conflict_count: number;
};

type Page = { readonly state?: FeedMessageState; readonly after: number; readonly limit: number };

/** In the order of arrival. Never the content, nor whose it is. */
export async function listMessages(db: FeedDb, page: Page): Promise<MessageRow[]> {
  return messageQuery(db)
    .where('sequence', '>', page.after)
    .$if(page.state !== undefined, (query) => query.where('state', '=', page.state ?? 'received'))
    .orderBy('sequence')
    .limit(page.limit)
    .execute();
}

export async function readMessage(db: FeedDb, sequence: number): Promise<MessageRow | undefined> {
  return messageQuery(db).where('sequence', '=', sequence).executeTakeFirst();
}

function messageQuery(db: FeedDb) {
  return db
    .selectFrom('hl7_message')
    .select([
      'sequence',
      'sending_application',
      'sending_facility',
      'control_id',
      'message_code',
      'trigger_event',
      'version',
      'connection',
      'received_at',
      'content_digest',
      'byte_count',
      'state',
      'reasons',
      'attempt_count',
      'duplicate_count',
      'changed_at',
    ])
    .select(sql<boolean>`content is not null`.as('is_kept'))
    .select(
      sql<number>`(select coalesce(sum(times), 0)::int from hl7_conflict where hl7_conflict.sequence = hl7_message.sequence)`.as(
        'conflict_count',
      ),
    );
}

export async function failedSequences(db: FeedDb, limit: number): Promise<number[]> {
  const rows = await db
    .selectFrom('hl7_message')
    .select('sequence')
    .where('state', '=', 'failed')
    .where('content', 'is not', null)
    .orderBy('sequence')
    .limit(limit)
    .execute();
  return rows.map(({ sequence }) => sequence);
}

export async function countByState(db: FeedDb): Promise<{ state: FeedMessageState; count: number }[]> {
  return db
    .selectFrom('hl7_message')
    .select(['state', ({ fn }) => fn.countAll<number>().as('count')])
    .groupBy('state')
    .execute();
}

/** Forgets contents that were mapped or ignored before `before`; their names stay, so that a duplicate is known for ever. */
export async function dropContents(db: FeedDb, before: Date, limit: number): Promise<number> {
  const { rows } = await sql`
    update hl7_message set content = null where sequence in (
      select sequence from hl7_message where content is not null and received_at < ${before}::timestamptz
        and state in ('mapped', 'mapped-with-warning', 'ignored') limit ${limit}::int)
    returning sequence`.execute(db);
  return rows.length;
}
