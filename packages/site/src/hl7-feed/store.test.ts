import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { migrate, migrateService, openTestDatabase } from '@lantern/service';
import { insertMessages, type NewMessage } from './store.ts';

/** PostgreSQL plans a prepared statement so often with the values at hand before it may keep a plan (PREPARE, "Notes"). */
const CUSTOM_PLANS_FIRST = 5;

function message(index: number): NewMessage {
  const content = Buffer.from(`MSH|^~\\&|LAB|WEST|||2026||ORU^R01|${index}|P|2.5\r${'OBX\r'.repeat(index)}`);
  return {
    sendingApplication: 'LAB',
    sendingFacility: 'WEST',
    controlId: String(index),
    messageCode: 'ORU',
    triggerEvent: 'R01',
    version: '2.5',
    connection: 'lab',
    receivedAt: new Date(),
    content,
    contentDigest: createHash('sha256').update(content).digest(),
    patientKey: undefined,
    birthKey: undefined,
  };
}

describe('the rows of a feed', () => {
  it('are written by a statement that stays planned, however many come at once', async (t) => {
    const database = await openTestDatabase('feed-store');
    t.after(() => database.close());
    await migrateService(database);
    await migrate(database, { name: 'site', dir: fileURLToPath(new URL('../../migrations', import.meta.url)) });
    const commitCount = 20;
    for (let commit = 0; commit < commitCount; commit += 1) {
      const batch = Array.from({ length: 1 + (commit % 8) }, (_, index) => message(8 * commit + index));
      assert.deepEqual(
        await insertMessages(database, batch),
        batch.map(() => 'stored'),
      );
    }
    // Of the connection that all this went by, as it is the only one so far.
    const { rows } = await database.pool.query<{ custom: number; generic: number }>(
      `select custom_plans::int as custom, generic_plans::int as generic
       from pg_prepared_statements where statement like '%insert into hl7_message%'`,
    );
    assert.deepEqual(rows, [{ custom: CUSTOM_PLANS_FIRST, generic: commitCount - CUSTOM_PLANS_FIRST }]);
  });
});
