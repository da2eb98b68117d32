import assert from 'node:assert/strict';
import { rmSync, truncateSync } from 'node:fs';
import { after, before, describe, it, type TestContext } from 'node:test';
import {
  type DataSet,
  type DicomServer,
  type Instance,
  identifierContext,
  identifierOf,
  itemsOf,
  numberOf,
  openAssociation,
  SOP_CLASSES,
  STATUS,
  STORAGE_COMMITMENT_INSTANCE,
  sequenceElement,
  startDicomServer,
  storingContexts,
  textElement,
  textOf,
} from '@lantern/dicom';
import { readAudit } from '@lantern/service';
import { OWN_AE, PEER_AE, startTestImaging, type TestImaging } from '../../test/imaging-harness.ts';
import { syntheticInstance } from '../../test/synthetic-images.ts';

const FORGETFUL_AE = 'NO-PORT';
const STRANGE_AE = 'READER';
const WAIT_MS = 10_000;

/** What a modality is told, in the order in which it comes. */
type Told = { readonly eventTypeId: number; readonly information: DataSet; readonly calledAe: string };
const told: Told[] = [];
let onTold = () => {};
let modality: DicomServer;
let node: TestImaging;
let lastTransaction = 0;

function newTransaction(): string {
  lastTransaction += 1;
  return `2.25.77.${lastTransaction}`;
}

async function onReport(
  told_: Told[],
  request: { eventTypeId: number; information: DataSet | undefined; calledAe: string },
) {
  assert.ok(request.information !== undefined);
  told_.push({ ...request, information: request.information });
  onTold();
  return { status: STATUS.success };
}

before(async () => {
  modality = await startModality(0);
  node = await startTestImaging({
    name: 'storage-commitment',
    settings: {
      peers: [
        { aeTitle: PEER_AE, hosts: ['127.0.0.1'], port: modality.port },
        { aeTitle: FORGETFUL_AE, hosts: ['127.0.0.1'] },
        { aeTitle: STRANGE_AE, hosts: ['127.0.0.1'], mayStore: false, mayQuery: true },
      ],
    },
  });
});

after(async () => {
  await node?.close();
  await modality?.close(0);
});

function startModality(port: number): Promise<DicomServer> {
  return startDicomServer({
    port,
    host: '127.0.0.1',
    handlers: {
      onReport: ({ eventTypeId, information, peer }) =>
        onReport(told, { eventTypeId, information, calledAe: peer.callingAe }),
    },
  });
}

/** Until `count` reports have come over new associations. */
async function reports(count: number): Promise<readonly Told[]> {
  while (told.length < count) await nextReport();
  return told.splice(0);
}

function nextReport(): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error('No report came.')), WAIT_MS);
    onTold = () => {
      clearTimeout(timer);
      resolve();
    };
  });
}

function call(options: {
  callingAe?: string;
  onReport?: Told[];
  contexts?: Parameters<typeof openAssociation>[0]['contexts'];
}) {
  const { callingAe = PEER_AE, contexts, onReport: into } = options;
  return openAssociation({
    host: '127.0.0.1',
    port: node.port,
    calledAe: OWN_AE,
    callingAe,
    contexts: contexts ?? [identifierContext(SOP_CLASSES.storageCommitmentPush)],
    handlers: {
      onReport: async ({ eventTypeId, information }) => {
        if (into === undefined) return { status: STATUS.processingFailure };
        return onReport(into, { eventTypeId, information, calledAe: OWN_AE });
      },
    },
  });
}

async function store(...instances: readonly Instance[]): Promise<void> {
  const client = await call({ contexts: storingContexts(instances) });
  for (const instance of instances) assert.equal((await client.store(instance)).status, STATUS.success);
  await client.release();
}

type Reference = Pick<Instance, 'sopClass' | 'sopInstance'>;

function requestFor(transaction: string, references: readonly Reference[]): DataSet {
  const items = references.map(({ sopClass, sopInstance }) => [
    textElement('ReferencedSOPClassUID', sopClass),
    textElement('ReferencedSOPInstanceUID', sopInstance),
  ]);
  return identifierOf([textElement('TransactionUID', transaction), sequenceElement('ReferencedSOPSequence', items)]);
}

const ABOUT = {
  sopClass: SOP_CLASSES.storageCommitmentPush,
  sopInstance: STORAGE_COMMITMENT_INSTANCE,
  actionTypeId: 1,
};

/** Asks and releases at once, as most modalities do. Gives the status of the answer. */
async function ask(transaction: string, references: readonly Reference[], callingAe = PEER_AE): Promise<number> {
  const client = await call({ callingAe });
  const { status } = await client.action(requestFor(transaction, references), ABOUT);
  await client.release();
  return status;
}

function contentOf({ eventTypeId, information }: Pick<Told, 'eventTypeId' | 'information'>) {
  const uidsIn = (tag: number) => itemsOf(information, tag).map((item) => textOf(item, 0x00081155));
  const failed = itemsOf(information, 0x00081198);
  return {
    eventTypeId,
    transaction: textOf(information, 0x00081195),
    kept: uidsIn(0x00081199),
    failed: failed.map((item) => [textOf(item, 0x00081155), numberOf(item, 0x00081197)]),
  };
}

async function stateOf(transaction: string) {
  const { rows } = await node.database.pool.query(
    'select state, committed_count, failed_count from commitment_request where transaction_uid = $1',
    [transaction],
  );
  return rows;
}

async function fileOf(sopInstance: string): Promise<string> {
  const { rows } = await node.database.pool.query('select file from image_instance where sop_instance_uid = $1', [
    sopInstance,
  ]);
  return node.imaging.archive.files.pathOf(rows[0].file);
}

/** Until the request has ended; what ends it comes after the report. */
async function ended(transaction: string, state: string): Promise<unknown> {
  const deadlineMs = performance.now() + WAIT_MS;
  for (;;) {
    const [row] = await stateOf(transaction);
    if (row?.state === state) return row;
    assert.ok(performance.now() < deadlineMs, `it is ${row?.state}, not ${state}`);
    await new Promise((resolve) => setTimeout(resolve, 20)); // no notification tells when a row changes
  }
}

const image = (study: number, number: number, patientName?: string) =>
  syntheticInstance({ study, series: 1, number, ...(patientName === undefined ? {} : { patientName }) });

describe('a request of storage commitment', () => {
  it('is answered at once, and reported on a new association where the first was released', async () => {
    const instances = [image(1, 1), image(1, 2), image(1, 3)];
    await store(...instances);
    const transaction = newTransaction();
    assert.equal(await ask(transaction, instances), STATUS.success);
    const [first, ...others] = await reports(1);
    assert.ok(first !== undefined && others.length === 0);
    assert.equal(first.calledAe, OWN_AE, 'it comes from the title that was asked');
    assert.deepEqual(contentOf(first), {
      eventTypeId: 1,
      transaction,
      kept: instances.map(({ sopInstance }) => sopInstance),
      failed: [],
    });
    assert.deepEqual(await ended(transaction, 'reported'), {
      state: 'reported',
      committed_count: 3,
      failed_count: 0,
    });
    const records = await readAudit(node.database, { after: 0, limit: 100 });
    const lines = records.filter(({ action }) => action.startsWith('storage-commitment.'));
    assert.deepEqual(
      lines.map(({ actor, action, outcome, details }) => [actor, action, outcome, details]),
      [
        [`dicom:${PEER_AE}`, 'storage-commitment.request', 'success', { instanceCount: 3 }],
        ['site', 'storage-commitment.report', 'success', { to: PEER_AE, committedCount: 3, failedCount: 0 }],
      ],
    );
  });

  it('is reported on its own association where that still stands', async () => {
    const instance = image(2, 1);
    await store(instance);
    const here: Told[] = [];
    const client = await call({ onReport: here });
    const transaction = newTransaction();
    const came = nextReport();
    assert.equal((await client.action(requestFor(transaction, [instance]), ABOUT)).status, STATUS.success);
    await came;
    await ended(transaction, 'reported');
    assert.deepEqual(here.map(contentOf), [{ eventTypeId: 1, transaction, kept: [instance.sopInstance], failed: [] }]);
    assert.deepEqual(told, []);
    await client.release();
  });

  it('is reported on a new association where the peer refuses it on the first', async () => {
    const instance = image(2, 2);
    await store(instance);
    const client = await call({});
    assert.equal((await client.action(requestFor(newTransaction(), [instance]), ABOUT)).status, STATUS.success);
    assert.equal((await reports(1)).length, 1);
    await client.release();
  });

  it('names what is not kept with the reason, and what is', async () => {
    const [kept, otherClass, gone, short, conflicting] = [1, 2, 3, 4, 5].map((number) =>
      image(3, number, 'First^Person'),
    );
    assert.ok(kept && otherClass && gone && short && conflicting);
    await store(kept, otherClass, gone, short, conflicting);
    rmSync(await fileOf(gone.sopInstance));
    truncateSync(await fileOf(short.sopInstance), 700);
    const other = image(3, 5, 'Other^Person');
    const client = await call({ contexts: storingContexts([other]) });
    assert.equal((await client.store(other)).status, STATUS.duplicateSopInstance);
    await client.release();

    const unknown = { ...kept, sopInstance: '2.25.404' };
    const asClass = { ...otherClass, sopClass: '1.2.840.10008.5.1.4.1.1.4' };
    const transaction = newTransaction();
    await ask(transaction, [unknown, kept, asClass, gone, short, conflicting]);
    const [report] = await reports(1);
    assert.deepEqual(report && contentOf(report), {
      eventTypeId: 2,
      transaction,
      kept: [kept.sopInstance],
      failed: [
        [unknown.sopInstance, 0x0112],
        [asClass.sopInstance, 0x0119],
        [gone.sopInstance, 0x0110],
        [short.sopInstance, 0x0110],
        [conflicting.sopInstance, 0x0110],
      ],
    });
  });

  it('that comes again is the same transaction, and is told again; other instances under its UID are refused', async () => {
    const instances = [image(4, 1), image(4, 2)];
    await store(...instances);
    const transaction = newTransaction();
    await ask(transaction, instances);
    await ask(transaction, instances); // before the report of the first
    await ended(transaction, 'reported');
    assert.equal((await reports(1)).length, 1);
    assert.equal(await ask(transaction, instances.slice(0, 1)), STATUS.invalidArgument);
    assert.equal(await ask(transaction, instances), STATUS.success);
    assert.equal((await reports(1)).length, 1);
    assert.equal((await stateOf(transaction)).length, 1);
  });

  it('that nobody can be told of ends unreported, until it is asked for again', async () => {
    const instance = image(5, 1);
    await store(instance);
    const transaction = newTransaction();
    assert.equal(await ask(transaction, [instance], FORGETFUL_AE), STATUS.success);
    await ended(transaction, 'unreported');
    const here: Told[] = [];
    const client = await call({ callingAe: FORGETFUL_AE, onReport: here });
    await client.action(requestFor(transaction, [instance]), ABOUT);
    await ended(transaction, 'reported');
    assert.equal(here.length, 1);
    await client.release();
  });

  it('that breaks the standard, or comes from who may not store, is refused', async () => {
    const instance = image(6, 1);
    const client = await call({});
    const transaction = newTransaction();
    const request = requestFor(transaction, [instance]);
    const statusOf = async (information: DataSet, about = ABOUT) => (await client.action(information, about)).status;
    assert.equal(await statusOf(request, { ...ABOUT, actionTypeId: 2 }), STATUS.noSuchActionType);
    assert.equal(await statusOf(request, { ...ABOUT, sopInstance: '1.2.3' }), STATUS.noSuchObjectInstance);
    assert.equal(await statusOf(requestFor('', [instance])), STATUS.missingAttribute);
    assert.equal(await statusOf(requestFor(transaction, [])), STATUS.missingAttribute);
    assert.equal(await statusOf(requestFor(transaction, [{ ...instance, sopInstance: '' }])), STATUS.invalidArgument);
    await client.release();
    assert.equal(await ask(transaction, [instance], STRANGE_AE), STATUS.notAuthorized);
    assert.deepEqual(await stateOf(transaction), []);
  });
});

describe('the report of a storage commitment', () => {
  it('comes once, also when the site ends between request and report', async () => {
    const instance = image(7, 1);
    await store(instance);
    const transaction = newTransaction();
    assert.equal(await ask(transaction, [instance]), STATUS.success);
    await node.stop();
    assert.deepEqual(told, []);
    await node.restart();
    assert.equal((await reports(1)).length, 1);
    await ended(transaction, 'reported');
    assert.deepEqual(told, []);
  });

  it('is tried until the peer listens again', async (t: TestContext) => {
    const instance = image(8, 1);
    await store(instance);
    const { port } = modality;
    await modality.close(0);
    const transaction = newTransaction();
    await ask(transaction, [instance]);
    await failedOnce(t);
    modality = await startModality(port);
    assert.deepEqual(
      (await reports(1)).map(contentOf).map(({ eventTypeId }) => eventTypeId),
      [1],
    );
    await ended(transaction, 'reported');
  });
});

async function failedOnce(t: TestContext): Promise<void> {
  const attempts = async () => {
    const { rows } = await node.database.pool.query(
      'select max(attempts)::int as attempts from graphile_worker._private_jobs',
    );
    return Number(rows[0]?.attempts ?? 0);
  };
  const deadlineMs = performance.now() + WAIT_MS;
  while ((await attempts()) < 2) {
    assert.ok(performance.now() < deadlineMs, 'the report is not tried');
    await new Promise((resolve) => setTimeout(resolve, 20)); // no notification tells of a failed attempt
  }
  t.diagnostic('two attempts have begun');
}
