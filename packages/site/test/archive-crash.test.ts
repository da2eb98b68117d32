/**
 * An archive that is killed, as by `kill -9`, again and again while four senders store, some of them what they or others have sent
 * before. Whatever was acknowledged has to be there once, with its content, and nothing else may lie about.
 *
 * Fifty cycles; LANTERN_CRASH_CYCLES=1000 npm test -- archive-crash is the long form. A failure prints its seed.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { openAssociation, STATUS, storingContexts } from '@lantern/dicom';
import { type Database, openTestDatabase, systemClock } from '@lantern/service';
import { createImageFiles } from '../src/archive/image-files.ts';
import { verifyArchive } from '../src/archive/verify.ts';
import { chance, type NodeChild, startNodeChild } from './image-node-child.ts';
import { OWN_AE, PEER_AE } from './imaging-harness.ts';
import { syntheticInstance } from './synthetic-images.ts';

const CYCLES = Number(process.env['LANTERN_CRASH_CYCLES'] ?? 50);
const TIMEOUT_MS = CYCLES * 30_000;
const SENDERS = 4;
/** Of an association that is cut in any case. */
const PER_SENDER = 200;
/** Of kills that come at any time from the start on; the others come that long after the first answer at most, however slow it is. */
const EARLY_SHARE = 0.25;
const LIFE_MS_SPAN = 250;
const PIXEL_BYTES = 60_000;

const { seed, uniform } = chance();

let database: Database;
let dir: string;
let child: NodeChild | undefined;
/** SHA-256 of each data set: the contents of a thousand cycles would not fit into memory. */
const acknowledged = new Map<string, Buffer>();

before(async () => {
  database = await openTestDatabase('archive-crash');
  dir = await mkdtemp(path.join(tmpdir(), 'lantern-crash-'));
});

after(async () => {
  await child?.kill();
  await database?.close();
  await rm(dir, { recursive: true, force: true });
});

function sha256(bytes: Buffer): Buffer {
  return createHash('sha256').update(bytes).digest();
}

async function startNode(): Promise<NodeChild> {
  const settings = {
    dataDir: dir,
    databaseUrl: database.url,
    freeBytesMin: 0,
    logLevel: 'silent',
    dicom: { port: 0, aeTitles: [{ aeTitle: OWN_AE }], peers: [{ aeTitle: PEER_AE, hosts: ['127.0.0.1'] }] },
  };
  child = await startNodeChild(settings);
  return child;
}

/** Stores until the association breaks. Some images are those of the cycle before, or of another sender. */
async function sendUntilCut(
  port: number,
  { cycle, sender, onAnswer }: { cycle: number; sender: number; onAnswer: () => void },
): Promise<void> {
  const images = Array.from({ length: PER_SENDER }, (_, number) => {
    const series = number % 7 === 3 ? 0 : sender;
    const study = number % 11 === 5 ? Math.max(0, cycle - 1) : cycle;
    return syntheticInstance({ study, series, number, pixelBytes: PIXEL_BYTES });
  });
  try {
    const to = { host: '127.0.0.1', port, calledAe: OWN_AE, callingAe: PEER_AE };
    const client = await openAssociation({ ...to, contexts: storingContexts(images) });
    for (const image of images) {
      const { status } = await client.store(image);
      assert.equal(status, STATUS.success, `seed ${seed}`);
      acknowledged.set(image.sopInstance, sha256(image.content));
      onAnswer();
    }
    await client.abort();
  } catch (caught) {
    if (caught instanceof assert.AssertionError) throw caught; // else the node was killed, as it should be
  }
}

describe('an archive that is killed while it receives', { timeout: TIMEOUT_MS }, () => {
  // Of its own, as the limit of the run for a single test comes before that of its suite.
  const limit = { timeout: TIMEOUT_MS };
  it(`loses nothing that it acknowledged and keeps nothing twice, over ${CYCLES} kills`, limit, async () => {
    let cut = 0;
    for (let cycle = 0; cycle < CYCLES; cycle += 1) {
      const node = await startNode();
      const before = acknowledged.size;
      const answered = Promise.withResolvers<void>();
      const onAnswer = () => answered.resolve();
      const sending = Promise.all(
        Array.from({ length: SENDERS }, (_, sender) => sendUntilCut(node.dicomPort, { cycle, sender, onAnswer })),
      );
      if (uniform() > EARLY_SHARE) await Promise.race([answered.promise, sending]);
      await delay(uniform() * LIFE_MS_SPAN);
      await node.kill();
      await sending;
      if (acknowledged.size > before) cut += 1;
    }
    assert.ok(cut > CYCLES / 2, `only ${cut} kills came while it received, seed ${seed}`);
    const node = await startNode(); // removes what the last kill left
    await node.kill();
    await assertWhole();
  });
});

async function assertWhole(): Promise<void> {
  const files = createImageFiles({ dir: path.join(dir, 'images'), clock: systemClock });
  const { problems, instanceCount, conflictCount } = await verifyArchive({ database, files, hashes: true });
  assert.deepEqual(problems, [], `seed ${seed}`);
  assert.equal(conflictCount, 0);
  const { rows } = await database.pool.query('select sop_instance_uid, file, data_set_start from image_instance');
  const stored = new Map(rows.map((row) => [row.sop_instance_uid, row]));
  assert.equal(stored.size, instanceCount, `an instance is indexed twice, seed ${seed}`);
  for (const [uid, digest] of acknowledged) {
    const row = stored.get(uid);
    assert.ok(row !== undefined, `an acknowledged instance is lost, seed ${seed}`);
    const file = await readFile(files.pathOf(row.file));
    assert.ok(
      sha256(file.subarray(row.data_set_start)).equals(digest),
      `an acknowledged instance has changed, seed ${seed}`,
    );
  }
  const onDisk = (await readdir(files.dir, { recursive: true })).filter((name) => name.endsWith('.dcm'));
  assert.equal(onDisk.length, instanceCount, `seed ${seed}`);
  process.stdout.write(`${acknowledged.size} instances acknowledged, ${instanceCount} kept, seed ${seed}\n`);
}
