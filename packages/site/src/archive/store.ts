/** Rows of the archive. */

import type { Database } from '@lantern/service';
import { sql } from 'kysely';
import type { InstanceHeader } from './instance-header.ts';

/** The mirror of `migrations/012-archive.sql`; written by `index_instances`, which `018-image-findings.sql` has. */
export type ArchiveTables = {
  archive_check: { only_row: boolean; checked_until: Date };
};

export type IndexEntry = InstanceHeader & {
  readonly transferSyntaxUid: string;
  readonly file: string;
  readonly dataSetStart: number;
  readonly dataSetBytes: number;
  readonly contentDigest: string;
  readonly callingAe: string;
  readonly calledAe: string;
  readonly receivedAt: Date;
  /** Whether an instance after the end of its arrival opens a new revision. */
  readonly lateOpensRevision: boolean;
};

export type IndexOutcome = {
  readonly outcome: 'stored' | 'duplicate' | 'conflict';
  /** Whether a row points to the file now. */
  readonly keepsFile: boolean;
  readonly arrivalId: number;
};

/** One statement and one commit; outcomes in the order of `entries`. */
export async function indexInstances(database: Database, entries: readonly IndexEntry[]): Promise<IndexOutcome[]> {
  const { rows } = await sql<IndexOutcome>`
    select outcome, keeps_file as "keepsFile", arrival as "arrivalId"
    from index_instances(${JSON.stringify(entries)}::jsonb) order by place`.execute(database.kysely<ArchiveTables>());
  return rows;
}

/** Those of `files` that a row points to. */
export async function knownFiles(database: Database, files: readonly string[]): Promise<ReadonlySet<string>> {
  const { rows } = await sql<{ file: string }>`
    select file from image_instance where file = any(${files}::text[])
    union all
    select file from image_conflict where file = any(${files}::text[])`.execute(database.kysely<ArchiveTables>());
  return new Set(rows.map(({ file }) => file));
}

export async function readCheckedUntil(database: Database): Promise<Date | undefined> {
  const row = await database
    .kysely<ArchiveTables>()
    .selectFrom('archive_check')
    .select('checked_until')
    .executeTakeFirst();
  return row?.checked_until;
}

export async function writeCheckedUntil(database: Database, checkedUntil: Date): Promise<void> {
  await database
    .kysely<ArchiveTables>()
    .insertInto('archive_check')
    .values({ only_row: true, checked_until: checkedUntil })
    .onConflict((conflict) => conflict.column('only_row').doUpdateSet({ checked_until: checkedUntil }))
    .execute();
}

export type StoredFile = {
  /** Of the row in its table. */
  readonly key: number;
  readonly sopInstanceUid: string;
  readonly file: string;
  readonly dataSetStart: number;
  readonly dataSetBytes: number;
  /** SHA-256, hex. */
  readonly contentDigest: string;
};

type StoredFilePage = {
  readonly table: 'image_instance' | 'image_conflict';
  readonly after: number;
  readonly count: number;
};

/** The rows of a table in the order of their keys; not conflicts whose file goes. */
export async function nextStoredFiles(database: Database, page: StoredFilePage): Promise<StoredFile[]> {
  const isInstance = page.table === 'image_instance';
  const key = sql.ref(isInstance ? 'instance_key' : 'conflict_id');
  const stays = isInstance ? sql`true` : sql`decision is distinct from 'discard'`;
  const { rows } = await sql<StoredFile>`
    select ${key} as key, sop_instance_uid as "sopInstanceUid", file, data_set_start as "dataSetStart",
      data_set_bytes as "dataSetBytes", encode(content_digest, 'hex') as "contentDigest"
    from ${sql.table(page.table)} where ${key} > ${page.after}::bigint and ${stays} order by ${key} limit ${page.count}`.execute(
    database.kysely<ArchiveTables>(),
  );
  return rows;
}

type StoredCounts = {
  readonly instanceCount: number;
  readonly conflictCount: number;
  /** Studies with an instance that says another patient. */
  readonly disagreeingStudyCount: number;
};

export async function countStored(database: Database): Promise<StoredCounts> {
  const { rows } = await sql<StoredCounts>`
    select (select count(*) from image_instance) as "instanceCount",
      (select count(*) from image_conflict where decision is distinct from 'discard') as "conflictCount",
      (select count(distinct study_key) from image_disagreement) as "disagreeingStudyCount"`.execute(
    database.kysely<ArchiveTables>(),
  );
  return rows[0] ?? { instanceCount: 0, conflictCount: 0, disagreeingStudyCount: 0 };
}
