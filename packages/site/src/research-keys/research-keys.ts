/**
 * The secret keys of this site's research copies. Pseudonyms, UIDs and shifted dates of one project are made with one key, so that
 * its copies belong together and those of two projects do not. A key is drawn here when it is first needed and never leaves the
 * database: losing it means that later copies cannot be joined to earlier ones, giving it away undoes every pseudonym.
 */
import { randomBytes } from 'node:crypto';
import { AppError } from '@lantern/contract';
import type { Clock, Database } from '@lantern/service';
import { keyOf, type ResearchKeyTables } from './store.ts';

const KEY_BYTES = 32;

/** `project:proj_…`, `collection:name` of one without a project, `opt-outs`, `hl7-feed`, or `datasets`. */
type KeyScope = `project:${string}` | `collection:${string}` | 'opt-outs' | 'hl7-feed' | 'datasets';

export type ResearchKeys = { keyOf(scope: KeyScope): Promise<Buffer> };

export function createResearchKeys({ database, clock }: { database: Database; clock: Clock }): ResearchKeys {
  const known = new Map<KeyScope, Buffer>();
  return {
    async keyOf(scope) {
      const kept = known.get(scope);
      if (kept !== undefined) return kept;
      const fresh = { key: randomBytes(KEY_BYTES), madeAt: clock.now() };
      const key = await keyOf(database.kysely<ResearchKeyTables>(), scope, fresh);
      if (key === undefined) throw new AppError('internal', 'A key that was just made is not there.');
      known.set(scope, key);
      return key;
    },
  };
}
