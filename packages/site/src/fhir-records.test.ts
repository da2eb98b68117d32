/** From an HL7 message on a socket to a resource that is found: the feed and the records of a site, wired as `main.ts` wires them. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { splitMessages } from '@lantern/hl7';
import { createLogger, systemClock } from '@lantern/service';
import { admission, startTestFeed, type TestFeed } from '../test/feed-harness.ts';
import { createFhirRecords, type FhirRecords } from './fhir-records.ts';

const COLLECTION = path.join(
  process.env['LANTERN_DATA_DIR'] ?? path.resolve(import.meta.dirname, '../../../../shared/data'),
  'hl7v2/messages',
);

describe('HL7 messages become records', () => {
  let folder: string;
  let feed: TestFeed;
  let records: FhirRecords | undefined;

  before(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'lantern-feed-records-'));
    feed = await startTestFeed({
      name: 'feed-records',
      settings: { senders: [], openHosts: ['127.0.0.1'], processingIds: ['P', 'T', 'D'] },
      applyBundle: async (tx, bundle, source) => {
        records ??= await createFhirRecords({
          database: feed.database,
          clock: systemClock,
          log: createLogger({ name: 'feed-records', level: 'silent' }),
          dataDir: folder,
        });
        await records.applyMessage(tx, bundle, source);
      },
    });
  });
  after(async () => {
    await feed.close();
    await rm(folder, { recursive: true, force: true });
  });

  const count = async (sql: string): Promise<unknown[]> => (await feed.database.pool.query(sql)).rows;

  it('of one patient, however often messages speak of him', async () => {
    const sender = feed.sender();
    for (const controlId of ['1', '2', '3']) await sender.send(admission({ controlId, patient: 'P1' }));
    await sender.send(admission({ controlId: '4', patient: 'P2' }));
    await feed.sweep();
    assert.deepEqual(await count('select state, count(*)::int as n from hl7_message group by 1'), [
      { state: 'mapped', n: 4 },
    ]);
    assert.deepEqual(await count(`select count(*)::int as n from fhir_resource where type = 'Patient'`), [{ n: 2 }]);
  });

  it('and no message of the collection fails without saying which element and which rule', async (t) => {
    if (!existsSync(COLLECTION)) return t.skip('the collection is not at hand (LANTERN_DATA_DIR names its folder)');
    const sender = feed.sender();
    const names = readdirSync(COLLECTION).filter((name) => name.endsWith('.hl7'));
    for (const name of names) {
      for (const message of splitMessages(readFileSync(path.join(COLLECTION, name))).messages)
        await sender.send(message);
    }
    await feed.sweep();
    const rows = await count(
      `select sequence, message_code, trigger_event, state, reasons from hl7_message where state = 'failed'`,
    );
    assert.deepEqual(rows, []);
  });
});
