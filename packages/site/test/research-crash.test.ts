/**
 * An image node that is killed, as by `kill -9`, again and again while it makes research copies. In the end each image has one copy,
 * whole and as its row says, and nothing else lies about.
 *
 * A failure prints its seed.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { RESEARCH_IMAGES_API } from '@lantern/contract';
import { openAssociation, storingContexts } from '@lantern/dicom';
import { type Database, openTestDatabase } from '@lantern/service';
import { chance, type NodeChild, startNodeChild } from './image-node-child.ts';
import { OWN_AE, PEER_AE } from './imaging-harness.ts';
import { apiOf, makeTokens } from './site-harness.ts';
import { syntheticInstance } from './synthetic-images.ts';

const KILLS = 6;
const INSTANCES = 240;
const STUDIES = 4;
const COPIES_BETWEEN_KILLS = INSTANCES / (KILLS + 2);
const END_MS_MAX = 60_000;
const LIFE_MS_SPAN = 30;

const { seed, uniform } = chance();

let database: Database;
let dir: string;
let child: NodeChild | undefined;

before(async () => {
  database = await openTestDatabase('research-crash');
  dir = await mkdtemp(path.join(tmpdir(), 'lantern-research-crash-'));
});

after(async () => {
  await child?.kill();
  await database?.close();
  await rm(dir, { recursive: true, force: true });
});

async function startNode(): Promise<NodeChild> {
  const settings = {
    dataDir: dir,
    databaseUrl: database.url,
    freeBytesMin: 0,
    logLevel: 'silent',
    dicom: {
      port: 0,
      aeTitles: [{ aeTitle: OWN_AE, quietMs: 100 }],
      peers: [{ aeTitle: PEER_AE, hosts: ['127.0.0.1'] }],
    },
  };
  child = await startNodeChild(settings);
  return child;
}

async function rows(text: string) {
  return (await database.pool.query(text)).rows;
}

async function waitFor(holds: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + END_MS_MAX;
  while (!(await holds())) {
    assert.ok(performance.now() < deadline, `nothing went on, seed ${seed}`);
    await delay(2);
  }
}

describe('a node that is killed while it makes research copies', { timeout: 300_000 }, () => {
  it(`makes each copy once and whole, over ${KILLS} kills`, async () => {
    let node = await startNode();
    const tokens = await makeTokens(database);
    const { collectionId } = await apiOf(node.url, tokens['data-engineer']).call(
      RESEARCH_IMAGES_API.createImageCollection,
      {
        body: {
          name: 'crashing',
          profile: {},
          series: [{ modalities: ['CT'] }],
          studies: { kind: 'arriving', aeTitles: [OWN_AE] },
        },
      },
    );
    await apiOf(node.url, tokens.governance).call(RESEARCH_IMAGES_API.approveImageCollection, {
      params: { collectionId },
      body: { reason: 'to be killed' },
    });
    const images = Array.from({ length: INSTANCES }, (_, number) =>
      syntheticInstance({ study: number % STUDIES, series: 1, number }),
    );
    const to = { host: '127.0.0.1', port: node.dicomPort, calledAe: OWN_AE, callingAe: PEER_AE };
    const sender = await openAssociation({ ...to, contexts: storingContexts(images) });
    for (const image of images) await sender.store(image);
    await sender.release();
    const copied = async () => Number((await rows('select count(*) from research_instance'))[0]?.count);
    for (let kill = 1; kill <= KILLS; kill += 1) {
      await waitFor(async () => (await copied()) >= kill * COPIES_BETWEEN_KILLS);
      await delay(uniform() * LIFE_MS_SPAN);
      await node.kill();
      node = await startNode();
    }
    // A slow sender makes gaps that end a study early; what comes after them is a revision of its own, which has to end as well.
    await waitFor(async () => (await rows("select 1 from image_arrival where state = 'receiving'")).length === 0);
    await waitFor(async () => (await rows("select 1 from research_study where state = 'done'")).length === STUDIES);
    await node.kill();
    const kept = await rows("select file, encode(content_digest, 'hex') as sha256 from research_instance");
    assert.equal(kept.length, INSTANCES, `seed ${seed}`);
    const folder = path.join(dir, 'research-images', collectionId);
    for (const { file, sha256 } of kept) {
      const content = await readFile(path.join(folder, file));
      assert.equal(createHash('sha256').update(content).digest('hex'), sha256, `seed ${seed}`);
    }
    const onDisk = await readdir(path.join(dir, 'research-images'), { recursive: true });
    assert.equal(onDisk.filter((name) => name.endsWith('.dcm')).length, INSTANCES, `seed ${seed}`);
    assert.deepEqual(
      onDisk.filter((name) => name.startsWith('unfinished/')),
      [],
    );
    assert.equal((await rows('select 1 from research_series where volume is null')).length, 0);
  });
});
