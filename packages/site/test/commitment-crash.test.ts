/** A node that is killed, as by `kill -9`, once it has answered a request of storage commitment: its report still comes, and once. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import {
  type DicomServer,
  identifierContext,
  openAssociation,
  queryIdentifier,
  SOP_CLASSES,
  STATUS,
  STORAGE_COMMITMENT_INSTANCE,
  startDicomServer,
  storingContexts,
  textOf,
} from '@lantern/dicom';
import { type Database, openTestDatabase } from '@lantern/service';
import { type NodeChild, startNodeChild } from './image-node-child.ts';
import { OWN_AE, PEER_AE } from './imaging-harness.ts';
import { syntheticInstance } from './synthetic-images.ts';

const CYCLES = 5;

let database: Database;
let modality: DicomServer;
let dir: string;
let child: NodeChild | undefined;
const told: (string | undefined)[] = [];
let onTold = () => {};

before(async () => {
  database = await openTestDatabase('commitment-crash');
  dir = await mkdtemp(path.join(tmpdir(), 'lantern-commitment-'));
  modality = await startDicomServer({
    port: 0,
    host: '127.0.0.1',
    handlers: {
      async onReport({ information }) {
        told.push(information && textOf(information, 0x00081195));
        onTold();
        return { status: STATUS.success };
      },
    },
  });
});

after(async () => {
  await child?.kill();
  await modality?.close(0);
  await database?.close();
  await rm(dir, { recursive: true, force: true });
});

async function startNode(): Promise<NodeChild> {
  const settings = {
    ...{ dataDir: dir, databaseUrl: database.url, freeBytesMin: 0, logLevel: 'silent' },
    dicom: {
      port: 0,
      aeTitles: [{ aeTitle: OWN_AE }],
      peers: [{ aeTitle: PEER_AE, hosts: ['127.0.0.1'], port: modality.port }],
    },
  };
  child = await startNodeChild(settings);
  return child;
}

/** Stores an image and asks for its commitment, on one association that is left open. */
async function storeAndAsk(port: number, cycle: number): Promise<string> {
  const image = syntheticInstance({ study: cycle, series: 1, number: 1 });
  const contexts = [...storingContexts([image]), identifierContext(SOP_CLASSES.storageCommitmentPush)];
  const client = await openAssociation({ host: '127.0.0.1', port, calledAe: OWN_AE, callingAe: PEER_AE, contexts });
  assert.equal((await client.store(image)).status, STATUS.success);
  const transaction = `2.25.66.${cycle}`;
  const request = queryIdentifier([
    `TransactionUID=${transaction}`,
    `ReferencedSOPSequence.ReferencedSOPClassUID=${image.sopClass}`,
    `ReferencedSOPSequence.ReferencedSOPInstanceUID=${image.sopInstance}`,
  ]);
  const about = {
    sopClass: SOP_CLASSES.storageCommitmentPush,
    sopInstance: STORAGE_COMMITMENT_INSTANCE,
    actionTypeId: 1,
  };
  assert.equal((await client.action(request, about)).status, STATUS.success);
  return transaction;
}

async function untilReported(transaction: string): Promise<void> {
  while (!told.includes(transaction)) {
    await new Promise<void>((resolve) => {
      onTold = resolve;
    });
  }
}

describe('a node that is killed after it has answered a request of storage commitment', { timeout: 120_000 }, () => {
  it(`reports it once it runs again, over ${CYCLES} kills`, async () => {
    const asked: string[] = [];
    for (let cycle = 0; cycle < CYCLES; cycle += 1) {
      const node = await startNode();
      asked.push(await storeAndAsk(node.dicomPort, cycle));
      await node.kill();
    }
    assert.deepEqual(
      told.filter((one) => one === asked.at(-1)),
      [],
      'it was killed before it reported',
    );
    const node = await startNode();
    for (const transaction of asked) await untilReported(transaction);
    await node.kill();
    // A kill between the report and its record makes the peer hear it twice; never not at all.
    assert.deepEqual([...new Set(told)].toSorted(), asked.toSorted());
  });
});
