/** From an HL7 message on a socket to a resource that is found: the feed and the records of a site, wired as `main.ts` wires them. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { splitMessages } from '@lantern/hl7';
import { admission, startTestRecordsFeed, type TestFeed } from '../test/feed-harness.ts';

const COLLECTION = path.join(
  process.env['LANTERN_DATA_DIR'] ?? path.resolve(import.meta.dirname, '../../../../shared/data'),
  'hl7v2/messages',
);

describe('HL7 messages become records', () => {
  let feed: TestFeed;

  before(async () => {
    feed = await startTestRecordsFeed({
      name: 'feed-records',
      settings: { senders: [], openHosts: ['127.0.0.1'], processingIds: ['P', 'T', 'D'] },
    });
  });
  after(() => feed.close());

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

  it('and leave what others wrote of him, but for what a message says or deletes', async () => {
    const sender = feed.sender();
    const more = ['NK1|1|Doe^Ann|SPO^Spouse^HL70063'];
    await sender.send(admission({ controlId: '5', patient: 'P3', more }));
    await feed.sweep();
    const [known] = await count(`select id from fhir_resource where type = 'Patient' and body like '%"P3"%'`);
    const { id } = known as { id: string };
    const read = async (): Promise<Record<string, unknown>> => {
      const { rows } = await feed.database.pool.query(
        `select body from fhir_resource where type = 'Patient' and id = $1`,
        [id],
      );
      return JSON.parse(`{${rows[0].body.replace(/^,/, '')}`);
    };
    // As a client of the FHIR server wrote it meanwhile.
    await feed.database.pool.query(
      `update fhir_resource set body = ',"communication":[{"language":{"text":"Gaelic"}}],"maritalStatus":{"text":"married"}' || body
       where type = 'Patient' and id = $1`,
      [id],
    );
    const update = (controlId: string, born: string, rest: string) =>
      Buffer.from(
        `MSH|^~\\&|ADT|NORTH|LANTERN|SITE|20260204||ADT^A08^ADT_A01|${controlId}|P|2.5.1\rPID|1||P3^^^NORTH^MR||Doe^Jo||${born}|F||||||||${rest}\r`,
      );
    await sender.send(update('6', '19700102', ''));
    await feed.sweep();
    const kept = await read();
    assert.deepEqual(kept['communication'], [{ language: { text: 'Gaelic' } }]);
    assert.deepEqual([kept['maritalStatus'], kept['birthDate']], [{ text: 'married' }, '1970-01-02']);
    await sender.send(update('7', '""', '""'));
    await feed.sweep();
    const deleted = await read();
    assert.deepEqual(
      [deleted['maritalStatus'], deleted['birthDate'], deleted['gender']],
      [undefined, undefined, 'female'],
    );
    assert.deepEqual(deleted['communication'], [{ language: { text: 'Gaelic' } }]);
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
