/** The tables that every process with people and peers has: spent nonces, accounts, tokens, the audit chain. */
import { fileURLToPath } from 'node:url';
import type { Database } from '../postgres/database.ts';
import { migrate } from '../postgres/migrations.ts';

/** Brings these tables up to date; run it before hub's or site's own migrations. Names the files it applied. */
export async function migrateService(db: Database): Promise<string[]> {
  return migrate(db, { name: 'service', dir: fileURLToPath(new URL('../../migrations', import.meta.url)) });
}
