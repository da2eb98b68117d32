/** Rows of the feed: messages as they came. */
import {
  AppError,
  type EventOf,
  FEED_MESSAGE_STATES,
  type FeedMessageState,
  type FeedReason,
  nextState,
  statesAllowing,
} from '@lantern/contract';
import type { Database } from '@lantern/service';
import { CompiledQuery, type Kysely, sql } from 'kysely';

/** The mirror of `migrations/022-hl7-feed.sql` and `024-hl7-control-ids.sql`. */
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
    /** Another message had its control id shortly before. */
    repeats_control_id: boolean;
    changed_at: Date;
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

export type IntakeOutcome = 'stored' | 'duplicate';

/** A sender that sends again under the id of a message does it soon; one that counts anew comes to it later. */
const CONTROL_ID_WINDOW = '1 hour';

/**
 * One text, so that it is compiled once here and planned once there: at eight messages a commit, that is most of the work. It stays
 * planned because the planner takes any list of records for equally long; of an array it knows the length each time, and plans anew.
 * Contents and digests come as one value each, of which the server takes the pieces.
 */
const INSERT = `
  insert into hl7_message (sending_application, sending_facility, control_id, message_code, trigger_event, version, connection,
    received_at, content, content_digest, byte_count, patient_key, birth_key, changed_at, repeats_control_id)
  select sending_application, sending_facility, control_id, message_code, trigger_event, version, connection, received_at,
    substring($2::bytea from first_byte for byte_count), substring($3::bytea from (place - 1) * 32 + 1 for 32), byte_count,
    decode(patient, 'hex'), decode(birth, 'hex'), received_at, exists (
      select from hl7_message known where known.sending_application = given.sending_application
        and known.sending_facility = given.sending_facility and known.control_id = given.control_id
        and known.received_at > given.received_at - interval '${CONTROL_ID_WINDOW}')
  from json_to_recordset($1::json) as given(sending_application text, sending_facility text, control_id text, message_code text,
    trigger_event text, version text, connection text, received_at timestamptz, first_byte int, byte_count int, patient text,
    birth text, place int)
  order by place
  on conflict on constraint hl7_message_named do nothing
  returning sending_application, sending_facility, control_id`;

/** In the order of `entries`, of which no two have one control id; what is new is committed together. */
export async function insertMessages(database: Database, entries: readonly NewMessage[]): Promise<IntakeOutcome[]> {
  const added = await insertNew(database, entries);
  const outcomes: IntakeOutcome[] = [];
  for (const entry of entries) {
    outcomes.push(added.has(nameOf(entry)) ? 'stored' : await countDuplicate(database, entry));
  }
  return outcomes;
}

export function nameOf(entry: Pick<NewMessage, 'sendingApplication' | 'sendingFacility' | 'controlId'>): string {
  return JSON.stringify([entry.sendingApplication, entry.sendingFacility, entry.controlId]);
}

async function insertNew(database: Database, entries: readonly NewMessage[]): Promise<ReadonlySet<string>> {
  const values = [
    JSON.stringify(rowsOf(entries)),
    Buffer.concat(entries.map(({ content }) => content)),
    Buffer.concat(entries.map(({ contentDigest }) => contentDigest)),
  ];
  type Name = Pick<FeedTables['hl7_message'], 'sending_application' | 'sending_facility' | 'control_id'>;
  const { rows } = await database.kysely<FeedTables>().executeQuery<Name>(CompiledQuery.raw(INSERT, values));
  return new Set(rows.map((row) => JSON.stringify([row.sending_application, row.sending_facility, row.control_id])));
}

/** As `INSERT` reads them; `first_byte` is where a content begins in all of them, and SQL counts from 1. */
function rowsOf(entries: readonly NewMessage[]): object[] {
  let at = 1;
  return entries.map((entry, index) => {
    const row = {
      sending_application: entry.sendingApplication,
      sending_facility: entry.sendingFacility,
      control_id: entry.controlId,
      message_code: entry.messageCode,
      trigger_event: entry.triggerEvent,
      version: entry.version,
      connection: entry.connection,
      received_at: entry.receivedAt,
      first_byte: at,
      byte_count: entry.content.byteLength,
      patient: entry.patientKey?.toString('hex'),
      birth: entry.birthKey?.toString('hex'),
      place: index + 1,
    };
    at += row.byte_count;
    return row;
  });
}

/** Counts a message that is here already: what stands there is committed, and never changes. */
async function countDuplicate(database: Database, entry: NewMessage): Promise<IntakeOutcome> {
  const { sendingApplication, sendingFacility, controlId, contentDigest } = entry;
  const { rows } = await sql`
    update hl7_message set duplicate_count = duplicate_count + 1
    where sending_application = ${sendingApplication} and sending_facility = ${sendingFacility} and control_id = ${controlId}
      and content_digest = ${contentDigest}::bytea
    returning sequence`.execute(database.kysely<FeedTables>());
  if (rows.length !== 1) throw new AppError('internal', 'A message whose name is taken is not there.');
  return 'duplicate';
}

export type WaitingMessage = Pick<
  FeedTables['hl7_message'],
  'sequence' | 'content' | 'patient_key' | 'birth_key' | 'attempt_count' | 'received_at' | 'repeats_control_id'
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
      'repeats_control_id',
      'connection',
    ])
    .where('state', '=', 'received')
    .orderBy('sequence')
    .limit(count)
    .forUpdate()
    .execute();
}

type PatientHistory = { readonly laterIsMapped: boolean; readonly birthDiffers: boolean };

/** What messages that were mapped before say of the patient of this one; from now on it is one of them. */
export async function recordPatient(
  tx: FeedDb,
  { sequence, patient_key, birth_key }: Pick<WaitingMessage, 'sequence' | 'patient_key' | 'birth_key'>,
): Promise<PatientHistory> {
  if (patient_key === null) return { laterIsMapped: false, birthDiffers: false };
  const { rows } = await sql<PatientHistory>`
    with before as (select birth_key, last_mapped from hl7_patient where patient_key = ${patient_key}), now as (
      insert into hl7_patient as patient (patient_key, birth_key, last_mapped)
      values (${patient_key}, ${birth_key}, ${sequence}::bigint)
      on conflict (patient_key) do update set last_mapped = greatest(patient.last_mapped, excluded.last_mapped),
        birth_key = coalesce(patient.birth_key, excluded.birth_key)
    )
    select last_mapped > ${sequence}::bigint as "laterIsMapped", coalesce(birth_key <> ${birth_key}::bytea, false) as "birthDiffers"
    from before`.execute(tx);
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

export type MessageRow = Omit<
  FeedTables['hl7_message'],
  'content' | 'patient_key' | 'birth_key' | 'repeats_control_id'
> & {
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
      sql<number>`(select count(*)::int - 1 from hl7_message other where other.sending_application = hl7_message.sending_application
        and other.sending_facility = hl7_message.sending_facility and other.control_id = hl7_message.control_id)`.as(
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
