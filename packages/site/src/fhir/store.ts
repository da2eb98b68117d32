/**
 * Rows of resources and their versions.
 *
 * Writers of one resource take turns by the lock on its row; those who make a resource at the same moment, by the unique index, where
 * the later one is told to begin again (`repeat`). Locks are taken in the order of type and id, so that two bundles never wait for
 * each other.
 */
import { AppError } from '@lantern/contract';
import {
  type AnyTx,
  bigintArray,
  type Database,
  integerArray,
  textArray,
  timeArray,
  transactionOf,
} from '@lantern/service';
import { type RawBuilder, sql } from 'kysely';
import type { ResourceText, VersionHead } from './resource-text.ts';

export type StoredVersion = VersionHead & {
  readonly key: string;
  readonly method: 'create' | 'update' | 'delete';
  readonly text: ResourceText | undefined;
};

/** A name of a resource: type and id. */
export type ResourceName = { readonly type: string; readonly id: string };

type Row = {
  key: string;
  type: string;
  id: string;
  version: number;
  last_updated: Date;
  method: StoredVersion['method'];
  meta: string | null;
  body: string | null;
};

const COLUMNS = sql.raw(
  'r.version_key::text as key, r.type, r.id, r.version, r.last_updated, r.method, r.meta, r.body',
);

function storedVersion({ last_updated, meta, body, ...row }: Row): StoredVersion {
  return { ...row, lastUpdated: last_updated, text: body === null ? undefined : { meta: meta ?? undefined, body } };
}

export function nameText({ type, id }: ResourceName): string {
  return `${type}/${id}`;
}

/** The current versions of `names`, locked until the transaction ends. */
export async function lockCurrent(tx: AnyTx, names: readonly ResourceName[]): Promise<Map<string, StoredVersion>> {
  const { rows } = await sql<Row>`
    select ${COLUMNS} from fhir_resource r
    where (r.type, r.id) in (select * from ${namesOf(names)})
    order by r.type, r.id for update`.execute(transactionOf(tx));
  return new Map(rows.map((row) => [nameText(row), storedVersion(row)]));
}

/** So many new keys, ascending. */
export async function newVersionKeys(tx: AnyTx, count: number): Promise<string[]> {
  const { rows } = await sql<{ key: string }>`
    select nextval('fhir_version_key')::text as key from generate_series(1, ${count}::int)`.execute(transactionOf(tx));
  return rows.map(({ key }) => key);
}

/** Thrown where somebody else made a resource of the same name since it was looked for. */
export class RepeatWrite extends Error {
  override readonly name = 'RepeatWrite';
}

/** As columns `type` and `id`. */
function namesOf(names: readonly ResourceName[]): RawBuilder<unknown> {
  return sql`unnest(${textArray(names.map(({ type }) => type))}::text[], ${textArray(names.map(({ id }) => id))}::text[])`;
}

function columnsOf(versions: readonly StoredVersion[]): RawBuilder<unknown> {
  return sql`unnest(${bigintArray(versions.map(({ key }) => BigInt(key)))}::bigint[],
    ${textArray(versions.map(({ type }) => type))}::text[], ${textArray(versions.map(({ id }) => id))}::text[],
    ${integerArray(versions.map(({ version }) => version))}::int[],
    ${timeArray(versions.map(({ lastUpdated }) => lastUpdated.getTime()))}::timestamptz[],
    ${textArray(versions.map(({ method }) => method))}::text[],
    ${textArray(versions.map(({ text }) => text?.meta ?? null))}::text[],
    ${textArray(versions.map(({ text }) => text?.body ?? null))}::text[])`;
}

/** Resources that were not there before, in the order of type and id. Throws `RepeatWrite`. */
export async function insertVersions(tx: AnyTx, versions: readonly StoredVersion[]): Promise<void> {
  const { numAffectedRows } = await sql`
    insert into fhir_resource (version_key, type, id, version, last_updated, method, meta, body)
    select * from ${columnsOf(versions)} on conflict (type, id) do nothing`.execute(transactionOf(tx));
  if (Number(numAffectedRows) < versions.length) throw new RepeatWrite();
}

/** New versions of resources that are locked; what is current until now becomes history. */
export async function replaceVersions(tx: AnyTx, versions: readonly StoredVersion[]): Promise<void> {
  const names = sql`select * from ${namesOf(versions)}`;
  await sql`insert into fhir_history select * from fhir_resource where (type, id) in (${names})`.execute(
    transactionOf(tx),
  );
  await sql`
    update fhir_resource r
    set version_key = n.key, version = n.version, last_updated = n.at, method = n.method, meta = n.meta, body = n.body
    from ${columnsOf(versions)} as n (key, type, id, version, at, method, meta, body)
    where r.type = n.type and r.id = n.id`.execute(transactionOf(tx));
}

export async function readCurrent(
  database: Database,
  names: readonly ResourceName[],
): Promise<Map<string, StoredVersion>> {
  const { rows } = await sql<Row>`
    select ${COLUMNS} from fhir_resource r
    where (r.type, r.id) in (select * from ${namesOf(names)})`.execute(database.kysely());
  return new Map(rows.map((row) => [nameText(row), storedVersion(row)]));
}

export async function readVersion(
  database: Database,
  { type, id, version }: ResourceName & { version: number },
): Promise<StoredVersion | undefined> {
  const { rows } = await sql<Row>`
    select ${COLUMNS} from fhir_resource r where type = ${type} and id = ${id} and version = ${version}
    union all
    select ${COLUMNS} from fhir_history r where type = ${type} and id = ${id} and version = ${version}`.execute(
    database.kysely(),
  );
  return rows[0] === undefined ? undefined : storedVersion(rows[0]);
}

export type HistoryPage = {
  readonly type: string;
  readonly id?: string;
  readonly since?: Date;
  /** Only versions with a smaller key. */
  readonly before?: string;
  readonly count: number;
};

/** Newest first. */
export async function readHistory(database: Database, page: HistoryPage): Promise<StoredVersion[]> {
  const { type, id, since, before, count } = page;
  const conditions = sql`type = ${type}
    ${id === undefined ? sql`` : sql`and id = ${id}`}
    ${since === undefined ? sql`` : sql`and last_updated >= ${since}`}
    ${before === undefined ? sql`` : sql`and version_key < ${before}::bigint`}`;
  const rows = await database.ask<Row>(sql<Row>`
    select * from (
      (select ${COLUMNS}, version_key from fhir_resource r where ${conditions} order by version_key desc limit ${count})
      union all
      (select ${COLUMNS}, version_key from fhir_history r where ${conditions} order by version_key desc limit ${count})
    ) both_tables order by version_key desc limit ${count}`);
  return rows.map(storedVersion);
}

/** Rows of a search that `search-sql.ts` printed. */
export async function searchRows(
  on: { readonly database: Database } | { readonly tx: AnyTx },
  statement: { readonly from: RawBuilder<unknown>; readonly extra: RawBuilder<unknown> },
): Promise<(StoredVersion & { readonly sortKey: string | null })[]> {
  const query = sql<Row & { sort_key: string | null }>`
    select ${COLUMNS}, ${statement.extra} as sort_key ${statement.from}`;
  const rows = 'tx' in on ? (await query.execute(transactionOf(on.tx))).rows : await on.database.ask(query);
  return rows.map(({ sort_key, ...row }) => ({ ...storedVersion(row), sortKey: sort_key }));
}

export async function countRows(database: Database, from: RawBuilder<unknown>): Promise<number> {
  const [row] = await database.ask<{ count: number }>(sql<{ count: number }>`select count(*)::int as count ${from}`);
  if (row === undefined) throw new AppError('internal', 'A count gave no row.');
  return row.count;
}

/** Resources that hold one of these terms of `fhir_reference`, in the order of their keys. */
export async function readReferring(
  database: Database,
  terms: readonly string[],
  page: { readonly after?: string; readonly count: number; readonly types?: readonly string[] | undefined },
): Promise<StoredVersion[]> {
  const rows = await database.ask<Row>(sql<Row>`
    select ${COLUMNS} from fhir_resource r
    where r.version_key in (select version_key from fhir_reference where term = any(${terms}::text[])) and r.body is not null
      and r.version_key > ${page.after ?? '0'}::bigint ${page.types === undefined ? sql`` : sql`and r.type = any(${page.types}::text[])`}
    order by r.version_key limit ${page.count}`);
  return rows.map(storedVersion);
}

/** The current versions that refer to `target` anywhere a search looks, locked until the transaction ends. */
export async function lockReferring(tx: AnyTx, target: string, count: number): Promise<StoredVersion[]> {
  const { rows } = await sql<Row>`
    select ${COLUMNS} from fhir_resource r
    where r.body is not null and r.version_key in (
      select version_key from fhir_reference where term in (select place_id || '|' || ${target}::text from fhir_place))
    order by r.type, r.id limit ${count} for update`.execute(transactionOf(tx));
  return rows.map(storedVersion);
}

export type ExportPage = {
  readonly types: readonly string[] | undefined;
  readonly after: string;
  readonly until: string;
  readonly since: Date | null;
  readonly count: number;
};

/** The next resources in the order of their keys, for an export. */
export async function nextResources(database: Database, page: ExportPage): Promise<StoredVersion[]> {
  const rows = await database.ask<Row>(sql<Row>`
    select ${COLUMNS} from fhir_resource r
    where r.version_key > ${page.after}::bigint and r.version_key <= ${page.until}::bigint and r.body is not null
      ${page.types === undefined ? sql`` : sql`and r.type = any(${page.types}::text[])`}
      ${page.since === null ? sql`` : sql`and r.last_updated >= ${page.since}`}
    order by r.version_key limit ${page.count}`);
  return rows.map(storedVersion);
}

/** The key of the newest version. */
export async function newestKey(database: Database): Promise<string> {
  const { rows } = await sql<{ key: string }>`
    select coalesce(max(version_key), 0)::text as key from fhir_resource`.execute(database.kysely());
  return rows[0]?.key ?? '0';
}

/** After many new rows, so that the planner knows how common each value is. */
export async function analyzeTables(database: Database): Promise<void> {
  const tables = 'fhir_resource, fhir_token, fhir_reference, fhir_string, fhir_date, fhir_quantity';
  await sql.raw(`analyze ${tables}`).execute(database.kysely());
}
