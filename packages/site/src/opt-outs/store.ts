/** Rows of opt-outs. */
import type { OptOutListName } from '@lantern/contract';
import { type Kysely, sql } from 'kysely';

/** The mirror of `opt_out_list` and `opt_out_entry` in `migrations/016-research-images.sql`. */
export type OptOutTables = {
  opt_out_list: { list: OptOutListName; as_of: Date; loaded_by: string; loaded_at: Date };
  opt_out_entry: { list: OptOutListName; digest: Buffer };
};
export type OptOutDb = Kysely<OptOutTables>;

export type LoadedList = {
  readonly list: OptOutListName;
  readonly asOf: Date;
  readonly loadedBy: string;
  readonly loadedAt: Date;
  readonly entryCount: number;
};

export async function readLists(db: OptOutDb): Promise<LoadedList[]> {
  const { rows } = await sql<LoadedList>`
    select list, as_of as "asOf", loaded_by as "loadedBy", loaded_at as "loadedAt",
      (select count(*)::int from opt_out_entry where opt_out_entry.list = opt_out_list.list) as "entryCount"
    from opt_out_list order by list`.execute(db);
  return rows;
}

/** False, and nothing changed, where a list that is as new is there already. */
export async function replaceList(
  tx: OptOutDb,
  list: Omit<LoadedList, 'entryCount'> & { readonly digests: readonly Buffer[] },
): Promise<boolean> {
  const { numInsertedOrUpdatedRows } = await tx
    .insertInto('opt_out_list')
    .values({ list: list.list, as_of: list.asOf, loaded_by: list.loadedBy, loaded_at: list.loadedAt })
    .onConflict((conflict) =>
      conflict
        .column('list')
        .doUpdateSet({ as_of: list.asOf, loaded_by: list.loadedBy, loaded_at: list.loadedAt })
        .where('opt_out_list.as_of', '<=', list.asOf),
    )
    .executeTakeFirst();
  if ((numInsertedOrUpdatedRows ?? 0n) === 0n) return false;
  await tx.deleteFrom('opt_out_entry').where('list', '=', list.list).execute();
  await sql`insert into opt_out_entry (list, digest)
    select distinct ${list.list}::text, decode(hex, 'hex') from unnest(${list.digests.map((digest) => digest.toString('hex'))}::text[]) as hex`.execute(
    tx,
  );
  return true;
}

export async function anyListed(db: OptOutDb, digests: readonly Buffer[]): Promise<boolean> {
  if (digests.length === 0) return false;
  const row = await db
    .selectFrom('opt_out_entry')
    .select('list')
    .where('digest', 'in', [...digests])
    .limit(1)
    .executeTakeFirst();
  return row !== undefined;
}

/** Which of these digests are on a list, in hexadecimal. */
export async function listedAmong(db: OptOutDb, digests: readonly Buffer[]): Promise<Set<string>> {
  const texts = digests.map((digest) => digest.toString('hex'));
  const { rows } = await sql<{ hex: string }>`
    select distinct encode(digest, 'hex') as hex from opt_out_entry
    where digest in (select decode(hex, 'hex') from unnest(${texts}::text[]) as hex)`.execute(db);
  return new Set(rows.map(({ hex }) => hex));
}
