/** Secret keys of pseudonyms and opt-outs. */
import { type Kysely, sql } from 'kysely';

/** The mirror of `research_key` in `migrations/016-research-images.sql`. */
export type ResearchKeyTables = { research_key: { scope: string; key: Buffer; made_at: Date } };

/** The key of a scope, which is `fresh` where there was none: whoever is first decides for all. */
export async function keyOf(
  db: Kysely<ResearchKeyTables>,
  scope: string,
  fresh: { readonly key: Buffer; readonly madeAt: Date },
): Promise<Buffer | undefined> {
  await sql`insert into research_key (scope, key, made_at) values (${scope}, ${fresh.key}, ${fresh.madeAt})
    on conflict (scope) do nothing`.execute(db);
  const row = await db.selectFrom('research_key').select('key').where('scope', '=', scope).executeTakeFirst();
  return row?.key;
}
