import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { systemClock } from '@lantern/service';
import { startTestImaging, type TestImaging, takeIn } from '../../test/imaging-harness.ts';
import { type SyntheticImage, syntheticInstance } from '../../test/synthetic-images.ts';
import { verifyArchive } from './verify.ts';

const START_MS = Date.UTC(2026, 10, 2, 9, 30);
const HOUR_MS = 3_600_000;
let nowMs = START_MS;
let node: TestImaging;

before(async () => {
  node = await startTestImaging({ name: 'archive', clock: { ...systemClock, now: () => new Date(nowMs) } });
});

after(async () => {
  await node?.close();
});

type Pieces = (content: Buffer) => AsyncIterable<Uint8Array>;

function receive(image: SyntheticImage, pieces?: Pieces) {
  return takeIn(node.imaging, syntheticInstance(image), pieces === undefined ? {} : { pieces });
}

function filesOnDisk(): string[] {
  const names = readdirSync(node.imaging.archive.files.dir, { recursive: true, encoding: 'utf8' });
  return names.filter((name) => name.endsWith('.dcm')).sort();
}

/** As a process leaves it that died between file and row. */
function leaveOrphan(hour: string, name: string): void {
  const folder = node.imaging.archive.files.pathOf(hour);
  mkdirSync(folder, { recursive: true });
  writeFileSync(path.join(folder, name), 'left behind');
}

describe('receiving', () => {
  it('leaves nothing behind when the data set breaks off', async () => {
    const broken: Pieces = async function* (content) {
      yield content.subarray(0, 100);
      throw new TypeError('The association was cut.');
    };
    const count = filesOnDisk().length;
    await assert.rejects(receive({ study: 1, series: 1, number: 1 }, broken), TypeError);
    assert.equal(filesOnDisk().length, count);
    assert.equal(node.imaging.archive.files.oldestInWork(), undefined);
  });

  it('keeps a header that is longer than what is held in memory', async () => {
    const comments = ['AdditionalPatientHistory', 'PatientComments', 'AcquisitionComments', 'ImageComments'];
    const others = Object.fromEntries(comments.map((keyword) => [keyword, 'long '.repeat(2000)]));
    const image = { study: 2, series: 1, number: 1, others };
    assert.equal((await receive(image)).outcome, 'stored');
    const { rows } = await node.database.pool.query(
      `select image_rows from image_instance where sop_instance_uid = '2.25.1.2.1.1'`,
    );
    assert.equal(rows[0].image_rows, 8);
  });

  it('keeps the bytes that came, also where their memory is used again at once', async () => {
    const passing: Pieces = async function* (content) {
      const memory = Buffer.from(content);
      yield memory;
      memory.fill(0xaa); // the next instance of another sender
    };
    assert.equal((await receive({ study: 8, series: 1, number: 1 }, passing)).outcome, 'stored');
    const { database, imaging } = node;
    assert.deepEqual((await verifyArchive({ database, files: imaging.archive.files, hashes: true })).problems, []);
  });

  it('drops NUL, which no index holds, instead of refusing the image', async () => {
    const withNul: Pieces = async function* (content) {
      yield Buffer.from(content.toString('latin1').replace('A_B ', 'A\0B '), 'latin1');
    };
    const image = { study: 3, series: 1, number: 1, others: { PatientID: 'A_B' } };
    assert.equal((await receive(image, withNul)).outcome, 'stored');
    const { rows } = await node.database.pool.query(
      `select patient_id, attributes from image_study where study_instance_uid = '2.25.1.3'`,
    );
    assert.equal(rows[0].patient_id, 'AB');
    assert.deepEqual(rows[0].attributes['00100020'].Value, ['AB']);
  });

  it('tells two who bring the same at once that it is stored and that it is a duplicate', async () => {
    const image = { study: 4, series: 1, number: 1 };
    const outcomes = (await Promise.all([receive(image), receive(image), receive(image)])).map(
      ({ outcome }) => outcome,
    );
    assert.deepEqual(outcomes.sort(), ['duplicate', 'duplicate', 'stored']);
  });

  it('does not let one that the index refuses spoil the others of its batch', async () => {
    await node.database.pool.query(`alter table image_series add constraint no_xx check (modality <> 'XX')`);
    const good = Array.from({ length: 6 }, (_, number) => receive({ study: 5, series: 1, number }));
    const bad = receive({ study: 5, series: 2, number: 1, others: { Modality: 'XX' } });
    await assert.rejects(bad, { code: 'input.invalid' });
    assert.ok((await Promise.all(good)).every(({ outcome }) => outcome === 'stored'));
    await node.database.pool.query('alter table image_series drop constraint no_xx');
  });
});

describe('the check', () => {
  it('removes files that no row knows, of every hour since the last check', async () => {
    leaveOrphan('20261101/23', 'a.dcm');
    leaveOrphan('20261102/09', 'b.dcm');
    const count = filesOnDisk().length;
    assert.equal(await node.imaging.archive.check(), 2);
    assert.equal(filesOnDisk().length, count - 2);
    nowMs += 2 * HOUR_MS;
    await node.imaging.archive.check();
    leaveOrphan('20261102/09', 'older.dcm'); // nobody writes there any more
    leaveOrphan('20261102/11', 'newer.dcm');
    assert.equal(await node.imaging.archive.check(), 1);
    assert.ok(filesOnDisk().some((name) => name.endsWith('older.dcm')));
  });

  it('leaves a file alone that is still arriving, also when its hour is long past', async () => {
    const goOn = Promise.withResolvers<void>();
    const slow: Pieces = async function* (content) {
      yield content.subarray(0, 50);
      await goOn.promise;
      yield content.subarray(50);
    };
    const arriving = receive({ study: 6, series: 1, number: 1 }, slow);
    while (node.imaging.archive.files.oldestInWork() === undefined)
      await new Promise((resolve) => setImmediate(resolve));
    const startedIn = '20261102/11';
    for (let hour = 0; hour < 4; hour += 1) {
      nowMs += HOUR_MS;
      await node.imaging.archive.check();
    }
    goOn.resolve();
    assert.equal((await arriving).outcome, 'stored');
    leaveOrphan(startedIn, 'beside.dcm'); // as the slow one itself would be, had the process died
    assert.equal(await node.imaging.archive.check(), 1);
  });
});
