/** Rows of the quarantine. */
import type {
  ImageCollectionId,
  PixelStatement,
  QuarantineId,
  QuarantineState,
  SignedEnvelope,
} from '@lantern/contract';
import { type ColumnType, type Kysely, type Selectable, sql } from 'kysely';

/** The mirror of `image_quarantine` in `migrations/016-research-images.sql` and `020-research-failures-and-signatures.sql`. */
export type QuarantineTables = {
  image_quarantine: {
    quarantine_id: QuarantineId;
    collection_id: ImageCollectionId;
    study_key: string;
    series_key: string;
    instance_key: string;
    content_digest: Buffer;
    state: QuarantineState;
    reasons: string[];
    report_digest: Buffer | null;
    held_at: Date;
    decided_by: string | null;
    decided_at: Date | null;
    statement: ColumnType<PixelStatement | null, string | null, string | null>;
    /** What a person signed when it was released; not yet verified. */
    release: ColumnType<SignedEnvelope | null, string | null, string | null>;
  };
};
export type QuarantineDb = Kysely<QuarantineTables>;
export type QuarantineRow = Selectable<QuarantineTables['image_quarantine']>;

/** The driver gives keys as numbers; ours are texts, as everywhere. */
function withTextKeys(row: QuarantineRow): QuarantineRow {
  return {
    ...row,
    study_key: String(row.study_key),
    series_key: String(row.series_key),
    instance_key: String(row.instance_key),
  };
}

/** As they are written. */
function withTexts({ statement, release }: Pick<QuarantineRow, 'statement' | 'release'>) {
  return {
    statement: statement === null ? null : JSON.stringify(statement),
    release: release === null ? null : JSON.stringify(release),
  };
}

/** What was decided on contents, in any collection: a refusal before a release, the newest first. */
export type ContentDecision = {
  readonly contentDigest: string;
  readonly state: 'released' | 'refused';
  readonly statement: PixelStatement | null;
  readonly release: SignedEnvelope | null;
  readonly reasons: string[];
  readonly decidedBy: string;
  readonly decidedAt: Date;
};

export async function decisionsOn(db: QuarantineDb, contentDigests: readonly string[]): Promise<ContentDecision[]> {
  const { rows } = await sql<ContentDecision>`
    select distinct on (content_digest) encode(content_digest, 'hex') as "contentDigest", state, statement, release, reasons,
      decided_by as "decidedBy", decided_at as "decidedAt"
    from image_quarantine
    where state <> 'held' and content_digest in (select decode(hex, 'hex') from unnest(${contentDigests}::text[]) as hex)
    order by content_digest, state = 'refused' desc, decided_at desc`.execute(db);
  return rows;
}

/** Contents of refusals that the audit chain knows. Reads the whole chain: once per process. */
export async function readAuditedRefusals(db: QuarantineDb): Promise<string[]> {
  const { rows } = await sql<{ content: string }>`
    select details::json ->> 'content' as content from audit_record where action = 'image-quarantine.refuse'`.execute(
    db,
  );
  return rows.map(({ content }) => content);
}

/** Instances of a study that are held or refused. */
export async function heldBackOf(
  db: QuarantineDb,
  where: { readonly collectionId: ImageCollectionId; readonly studyKey: string },
): Promise<QuarantineRow[]> {
  const rows = await db
    .selectFrom('image_quarantine')
    .selectAll()
    .where('collection_id', '=', where.collectionId)
    .where('study_key', '=', where.studyKey)
    .orderBy('quarantine_id')
    .execute();
  return rows.map(withTextKeys);
}

/**
 * Of an instance that has a row, reasons and state become those given: where it is held, or its decision is the one that the caller
 * knew. A newer one stands, and a job that heeds it follows.
 */
export async function upsertQuarantined(tx: QuarantineDb, row: QuarantineRow, knownAt: Date | null): Promise<void> {
  const { quarantine_id: _own, ...changed } = row;
  const values = { ...changed, ...withTexts(row) };
  await tx
    .insertInto('image_quarantine')
    .values({ ...values, quarantine_id: row.quarantine_id })
    .onConflict((conflict) =>
      conflict
        .columns(['collection_id', 'instance_key'])
        .doUpdateSet(values)
        .where(sql<boolean>`image_quarantine.decided_at is null or image_quarantine.decided_at = ${knownAt}`),
    )
    .execute();
}

/** Says of an instance that passed on a decision made elsewhere that it did; one that was held here has its row. */
export async function addDecided(tx: QuarantineDb, row: QuarantineRow): Promise<void> {
  await tx
    .insertInto('image_quarantine')
    .values({ ...row, ...withTexts(row) })
    .onConflict((conflict) => conflict.columns(['collection_id', 'instance_key']).doNothing())
    .execute();
}

export async function findQuarantined(
  db: QuarantineDb,
  quarantineId: QuarantineId,
): Promise<QuarantineRow | undefined> {
  const row = await db
    .selectFrom('image_quarantine')
    .selectAll()
    .where('quarantine_id', '=', quarantineId)
    .executeTakeFirst();
  return row === undefined ? undefined : withTextKeys(row);
}

/** All rows with the same content, locked in one order. */
export async function lockContent(tx: QuarantineDb, contentDigest: Buffer): Promise<QuarantineRow[]> {
  const rows = await tx
    .selectFrom('image_quarantine')
    .selectAll()
    .where('content_digest', '=', contentDigest)
    .orderBy('quarantine_id')
    .forUpdate()
    .execute();
  return rows.map(withTextKeys);
}

export async function countContent(db: QuarantineDb, contentDigest: Buffer): Promise<number> {
  const { count } = await db
    .selectFrom('image_quarantine')
    .select(({ fn }) => fn.countAll<string>().as('count'))
    .where('content_digest', '=', contentDigest)
    .executeTakeFirstOrThrow();
  return Number(count);
}

export async function setDecision(
  tx: QuarantineDb,
  quarantineIds: readonly QuarantineId[],
  change: {
    readonly state: QuarantineState;
    readonly by: string;
    readonly at: Date;
    readonly statement: PixelStatement | null;
    readonly release: SignedEnvelope | null;
  },
): Promise<void> {
  await tx
    .updateTable('image_quarantine')
    .set({
      state: change.state,
      decided_by: change.by,
      decided_at: change.at,
      ...withTexts(change),
    })
    .where('quarantine_id', 'in', [...quarantineIds])
    .execute();
}

/** Of collections that were not withdrawn. */
export async function listQuarantined(
  db: QuarantineDb,
  page: { readonly state: QuarantineState | undefined; readonly after: string; readonly limit: number },
): Promise<QuarantineRow[]> {
  const query = db
    .selectFrom('image_quarantine')
    .selectAll()
    .where(sql<boolean>`quarantine_id > ${page.after}`)
    .where(sql<boolean>`not exists (select from image_collection as ended
      where ended.collection_id = image_quarantine.collection_id and ended.state = 'withdrawn')`)
    .orderBy('quarantine_id')
    .limit(page.limit);
  const rows = await (page.state === undefined ? query : query.where('state', '=', page.state)).execute();
  return rows.map(withTextKeys);
}
