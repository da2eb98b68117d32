/**
 * Remembers which nonces were spent, so that a signed request is accepted once, also after a restart and by every replica
 * of a hub: the row is committed before the request is served.
 *
 * Bound: only a holder of an enrolled key can add rows, and rows are swept once no fresh signature can carry their nonce.
 * A signature created up to `skew` ahead of our clock stays fresh until `created + skew`, so a row whose `created` lies
 * twice the skew back can never be needed again.
 */
import { type Kysely, sql } from 'kysely';
import type { Clock } from '../clock.ts';
import type { Database } from '../postgres/database.ts';
import { SIGNATURE_SKEW_MS_MAX } from './signature-limits.ts';

export type SpentNonce = { readonly keyId: string; readonly nonce: string; readonly createdMs: number };

export type NonceStore = {
  /** Spends a nonce of a key; `false`: it was spent before. Durable when it resolves. */
  readonly spend: (nonce: SpentNonce) => Promise<boolean>;
};

const SWEEP_EVERY_MS = 60_000; // keeps the table at minutes of requests; more often would cost more than it frees

async function sweep(db: Kysely<unknown>, nowMs: number, skewMsMax: number): Promise<void> {
  await sql`DELETE FROM request_nonce WHERE created_at < ${new Date(nowMs - 2 * skewMsMax)}`.execute(db);
}

/** Needs the tables of `migrateService`. `skewMsMax` must be that of the verifier. */
export function createNonceStore(options: {
  readonly db: Database;
  readonly clock: Clock;
  readonly skewMsMax?: number;
}): NonceStore {
  const { clock, skewMsMax = SIGNATURE_SKEW_MS_MAX } = options;
  const db = options.db.kysely<unknown>();
  let sweptMs = Number.NEGATIVE_INFINITY;
  return {
    async spend({ keyId, nonce, createdMs }) {
      const inserted = await sql<{ nonce: string }>`
        INSERT INTO request_nonce (key_id, nonce, created_at) VALUES (${keyId}, ${nonce}, ${new Date(createdMs)})
        ON CONFLICT DO NOTHING RETURNING nonce`.execute(db);
      if (clock.monotonicMs() - sweptMs >= SWEEP_EVERY_MS) {
        sweptMs = clock.monotonicMs();
        await sweep(db, clock.now().getTime(), skewMsMax);
      }
      return inserted.rows.length === 1;
    },
  };
}
