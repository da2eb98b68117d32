import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { describe, type TestContext, test } from 'node:test';
import { type Element, textOf } from '../data-set.ts';
import { DicomError, type DicomErrorCode } from '../dicom-error.ts';
import { textAsItStands } from '../element-values.ts';
import { EXPLICIT_LITTLE_ENDIAN, IMPLICIT_LITTLE_ENDIAN } from '../transfer-syntax.ts';
import type { DimseClient } from './client.ts';
import type { Instance, Match, StoreRequest } from './handlers.ts';
import { encodeIdentifier, identifierOf } from './identifier.ts';
import { type AssociationOptions, openAssociation } from './open-association.ts';
import { fetchingContext, identifierContext, storingContexts } from './proposal.ts';
import { type DicomServerOptions, startDicomServer } from './server.ts';
import { SOP_CLASSES, STORAGE_COMMITMENT_INSTANCE } from './sop-classes.ts';
import { STATUS } from './status.ts';

const CT = '1.2.840.10008.5.1.4.1.1.2';
const JPEG_LOSSLESS = '1.2.840.10008.1.2.4.70';
const VERIFICATION = [identifierContext(SOP_CLASSES.verification)];

async function serverFor(t: TestContext, options: Partial<DicomServerOptions> = {}) {
  const problems: unknown[] = [];
  const server = await startDicomServer({
    port: 0,
    host: '127.0.0.1',
    handlers: {},
    onProblem: (error) => problems.push(error),
    ...options,
  });
  t.after(() => server.close(0));
  return { server, problems };
}

async function clientOf(t: TestContext, port: number, options: Partial<AssociationOptions> = {}): Promise<DimseClient> {
  const client = await openAssociation({
    host: '127.0.0.1',
    port,
    calledAe: 'LANTERN',
    callingAe: 'SCANNER',
    contexts: VERIFICATION,
    ...options,
  });
  t.after(() => client.abort());
  return client;
}

function instance(index: number, content: Buffer, transferSyntax = EXPLICIT_LITTLE_ENDIAN): Instance {
  return {
    sopClass: CT,
    sopInstance: `1.2.3.${index}`,
    transferSyntax,
    async *open() {
      for (let at = 0; at < content.byteLength; at += 33_333) yield content.subarray(at, at + 33_333);
    },
  };
}

const patientIdentifier = (id: string) => identifierOf([textAsItStands(0x00100020, [id], 'LO')]);
const encodedPatient = (id: string, transferSyntax: string) => encodeIdentifier(patientIdentifier(id), transferSyntax);

const fails = (code: DicomErrorCode) => (thrown: unknown) => thrown instanceof DicomError && thrown.code === code;

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
}

describe('verification', () => {
  test('is answered, again and again on one association', async (t) => {
    const { server } = await serverFor(t);
    const client = await clientOf(t, server.port);
    for (let round = 0; round < 3; round += 1) assert.deepEqual(await client.echo(), { status: STATUS.success });
    await client.release();
    assert.deepEqual(await client.ended, { kind: 'released' });
    await until(() => server.connectionCount === 0);
  });

  test('knows who asks', async (t) => {
    const seen: string[] = [];
    const { server } = await serverFor(t, {
      handlers: {
        async onEcho({ peer }) {
          seen.push(peer.callingAe, peer.calledAe, peer.address, peer.implementationVersion ?? '');
          return { status: STATUS.resourceLimitation, comment: 'not now' };
        },
      },
    });
    const client = await clientOf(t, server.port);
    assert.deepEqual(await client.echo(), { status: STATUS.resourceLimitation, comment: 'not now' });
    assert.deepEqual(seen, ['SCANNER', 'LANTERN', '127.0.0.1', 'LANTERN_0_1']);
  });
});

describe('admission', () => {
  test('is refused with the reason that the peer can act on', async (t) => {
    const { server } = await serverFor(t, {
      admit: async ({ callingAe }) => (callingAe === 'SCANNER' ? 'accepted' : 'calling-ae'),
    });
    await assert.rejects(clientOf(t, server.port, { callingAe: 'STRANGER' }), (error) => {
      assert.ok(error instanceof DicomError && error.code === 'refused');
      assert.match(error.message, /calling AE title not recognized \(permanent\)/);
      return true;
    });
    await clientOf(t, server.port);
  });

  test('beyond the most associations is refused for the time being, and granted when one has ended', async (t) => {
    const { server } = await serverFor(t, { associationCountMax: 2 });
    const first = await clientOf(t, server.port);
    await clientOf(t, server.port);
    await assert.rejects(clientOf(t, server.port), /local limit exceeded \(transient\)/);
    await first.release();
    await until(() => server.connectionCount === 1);
    assert.equal((await (await clientOf(t, server.port)).echo()).status, STATUS.success);
  });

  test('of a service without a handler is refused by context, not as a whole', async (t) => {
    const { server } = await serverFor(t);
    const client = await clientOf(t, server.port, {
      contexts: [...VERIFICATION, identifierContext(SOP_CLASSES.studyRootFind)],
    });
    assert.deepEqual(
      client.contexts.map(({ abstractSyntax }) => abstractSyntax),
      [SOP_CLASSES.verification],
    );
    const query = client.find(patientIdentifier('1'), { sopClass: SOP_CLASSES.studyRootFind });
    await assert.rejects(query.next(), fails('refused'));
  });
});

/** Stores what arrives as a digest of its bytes. */
function digesting(seen: Map<string, { digest: string; request: StoreRequest }>) {
  return async (request: StoreRequest) => {
    const hash = createHash('sha256');
    for await (const piece of request.dataSet) hash.update(piece);
    seen.set(request.sopInstance, { digest: hash.digest('hex'), request });
    return { status: STATUS.success };
  };
}

const digestOf = (content: Buffer) => createHash('sha256').update(content).digest('hex');

describe('storage', () => {
  test('brings every byte, in the syntax that each instance has', async (t) => {
    const seen = new Map<string, { digest: string; request: StoreRequest }>();
    const { server } = await serverFor(t, { handlers: { onStore: digesting(seen) } });
    const contents = [0, 2, 131_060, 131_062, 700_000].map((bytes) => randomBytes(bytes));
    const instances = contents.map((content, index) =>
      instance(index, content, index === 1 ? JPEG_LOSSLESS : EXPLICIT_LITTLE_ENDIAN),
    );
    const client = await clientOf(t, server.port, { contexts: storingContexts(instances) });
    for (const [index, one] of instances.entries()) {
      const sent: number[] = [];
      assert.deepEqual(await client.store(one, { onProgress: (bytes) => sent.push(bytes) }), { status: 0 });
      assert.equal(sent.at(-1), contents[index]?.byteLength);
    }
    for (const [index, content] of contents.entries()) {
      const { digest, request } = seen.get(`1.2.3.${index}`) ?? assert.fail();
      assert.equal(digest, digestOf(content), `instance ${index}`);
      assert.equal(request.transferSyntax, instances[index]?.transferSyntax);
      assert.equal(request.sopClass, CT);
    }
  });

  test('takes the first syntax that a sender proposes, and none that nobody knows', async (t) => {
    const { server } = await serverFor(t, { handlers: { onStore: digesting(new Map()) } });
    const client = await clientOf(t, server.port, {
      contexts: [
        { abstractSyntax: CT, transferSyntaxes: ['1.2.3.4', JPEG_LOSSLESS, IMPLICIT_LITTLE_ENDIAN] },
        { abstractSyntax: CT, transferSyntaxes: ['1.2.3.4'] },
        { abstractSyntax: '1.2.3.4.5', transferSyntaxes: [IMPLICIT_LITTLE_ENDIAN] },
      ],
    });
    assert.deepEqual(
      client.contexts.map(({ id, transferSyntax }) => [id, transferSyntax]),
      [[1, JPEG_LOSSLESS]],
    );
  });

  test('of makers own objects, and of classes newer than our tables, is accepted where the setting says so', async (t) => {
    const { server } = await serverFor(t, { handlers: { onStore: digesting(new Map()) }, acceptsPrivate: true });
    // The last is a service that we do not offer, and none of storage.
    const contexts = ['1.2.3.4.5', '1.2.840.10008.5.1.4.1.1.999.7', '1.2.840.10008.5.1.4.999'].map(
      (abstractSyntax) => ({
        abstractSyntax,
        transferSyntaxes: ['1.2.3.4'],
      }),
    );
    const client = await clientOf(t, server.port, { contexts });
    assert.deepEqual(
      client.contexts.map(({ id, transferSyntax }) => [id, transferSyntax]),
      [
        [1, '1.2.3.4'],
        [3, '1.2.3.4'],
      ],
    );
  });

  test('that fails in the handler is a failure to the peer, and the association goes on', async (t) => {
    let calls = 0;
    const { server, problems } = await serverFor(t, {
      handlers: {
        async onStore({ dataSet }) {
          calls += 1;
          if (calls === 1) throw new Error('no space left');
          if (calls === 2) return { status: STATUS.outOfResources }; // without having read it
          await dataSet.drop();
          return { status: STATUS.success };
        },
      },
    });
    const one = instance(1, randomBytes(2_000_000));
    const client = await clientOf(t, server.port, { contexts: storingContexts([one]) });
    assert.equal((await client.store(one)).status, STATUS.processingFailure);
    assert.equal((await client.store(one)).status, STATUS.outOfResources);
    assert.equal((await client.store(one)).status, STATUS.success);
    assert.match(String(problems), /no space left/);
  });

  test('of an instance whose UID is none is refused, and the association goes on', async (t) => {
    const { server } = await serverFor(t, { handlers: { onStore: digesting(new Map()) } });
    const one = instance(1, randomBytes(100));
    const client = await clientOf(t, server.port, { contexts: storingContexts([one]) });
    const refused = await client.store({ ...one, sopInstance: '../../etc/passwd' });
    assert.equal(refused.status, STATUS.invalidObjectInstance);
    assert.equal((await client.store({ ...one, sopInstance: '1..2' })).status, STATUS.invalidObjectInstance);
    assert.equal((await client.store(one)).status, STATUS.success);
  });

  test('of a file that cannot be read is an error of ours before the first byte, and an abort after it', async (t) => {
    const { server } = await serverFor(t, { handlers: { onStore: digesting(new Map()) } });
    const one = instance(1, randomBytes(100));
    const client = await clientOf(t, server.port, { contexts: storingContexts([one]) });
    const broken = (goodBytes: number): Instance => ({
      ...one,
      async *open() {
        if (goodBytes > 0) yield Buffer.alloc(goodBytes);
        throw new Error('gone');
      },
    });
    await assert.rejects(client.store(broken(0)), /gone/);
    assert.equal((await client.store(one)).status, STATUS.success);
    await assert.rejects(client.store(broken(1_000_000)), fails('aborted'));
    await assert.rejects(client.store(one), fails('aborted'));
  });

  test('goes only over contexts in which we are the one who stores', async (t) => {
    const { server } = await serverFor(t, {
      handlers: { onStore: digesting(new Map()), onGet: async () => ({ kind: 'found', instances: [] }) },
    });
    const client = await clientOf(t, server.port, { contexts: [fetchingContext(CT, [EXPLICIT_LITTLE_ENDIAN])] });
    assert.equal((await client.store(instance(1, randomBytes(10)))).status, STATUS.sopClassNotSupported);
  });

  test('lets a consumer take its time, longer than a peer may', async (t) => {
    const { server } = await serverFor(t, {
      handlers: {
        async onStore({ dataSet }) {
          for await (const _ of dataSet) {
            await new Promise((resolve) => setTimeout(resolve, 2000)); // twice what the peer is given
            break;
          }
          return { status: STATUS.success };
        },
      },
      timeouts: { idleMs: 1000 }, // peer and server are one process here: a machine under load may keep both from it for a while
    });
    const one = instance(1, randomBytes(20_000_000));
    const client = await clientOf(t, server.port, { contexts: storingContexts([one]) });
    assert.equal((await client.store(one)).status, STATUS.success);
  });

  test('that a slow consumer holds back ends at once when the server closes', async (t) => {
    const entered = Promise.withResolvers<void>();
    const { server } = await serverFor(t, {
      handlers: {
        async onStore({ signal }) {
          entered.resolve();
          await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
          return { status: STATUS.success };
        },
      },
      timeouts: { closeMs: 3_600_000 }, // the peer has closed, which has to be seen
    });
    const one = instance(1, randomBytes(20_000_000));
    const client = await clientOf(t, server.port, { contexts: storingContexts([one]) });
    const stored = assert.rejects(client.store(one), fails('aborted'));
    await entered.promise;
    await new Promise((resolve) => setTimeout(resolve, 50)); // until the buffers are full
    await server.close(0);
    await stored;
  });

  test('holds a fast sender back while the consumer is slow', async (t) => {
    const gate = Promise.withResolvers<void>();
    let received = 0;
    const { server } = await serverFor(t, {
      handlers: {
        async onStore({ dataSet }) {
          await gate.promise;
          for await (const piece of dataSet) received += piece.byteLength;
          return { status: STATUS.success };
        },
      },
    });
    const total = 64 * 1024 * 1024;
    const chunk = Buffer.alloc(256 * 1024, 1);
    const one: Instance = {
      ...instance(1, chunk),
      async *open() {
        for (let at = 0; at < total; at += chunk.byteLength) yield chunk;
      },
    };
    const client = await clientOf(t, server.port, { contexts: storingContexts([one]) });
    let sent = 0;
    const stored = client.store(one, {
      onProgress(bytes) {
        sent = bytes;
      },
    });
    let last = -1;
    while (sent === 0 || last !== sent) {
      last = sent;
      await new Promise((resolve) => setTimeout(resolve, 100)); // nothing tells that nothing happens any more
    }
    assert.ok(sent < total / 2, `${sent} bytes were sent to a consumer that took none`);
    gate.resolve();
    assert.equal((await stored).status, STATUS.success);
    assert.equal(received, total);
  });
});

describe('a query', () => {
  const contexts = [identifierContext(SOP_CLASSES.studyRootFind)];
  const sopClass = SOP_CLASSES.studyRootFind;

  test('gives the matches one by one', async (t) => {
    const { server } = await serverFor(t, {
      handlers: {
        async *onFind({ identifier, transferSyntax }): AsyncGenerator<Match> {
          const id = textOf(identifier, 0x00100020);
          for (let index = 0; index < 100; index += 1) {
            yield { identifier: encodedPatient(`${id}-${index}`, transferSyntax) };
          }
        },
      },
    });
    const client = await clientOf(t, server.port, { contexts });
    const found: (string | undefined)[] = [];
    for await (const match of client.find(patientIdentifier('P1'), { sopClass })) {
      found.push(textOf(match, 0x00100020));
    }
    assert.deepEqual(
      found,
      Array.from({ length: 100 }, (_, index) => `P1-${index}`),
    );
  });

  test('that fails says so', async (t) => {
    const { server } = await serverFor(t, {
      handlers: {
        async *onFind(): AsyncGenerator<Match> {
          yield { status: STATUS.outOfResources, comment: 'too many matches' };
        },
      },
    });
    const client = await clientOf(t, server.port, { contexts });
    await assert.rejects(client.find(patientIdentifier('P1'), { sopClass }).next(), /A700H: too many matches/);
  });

  test('with an identifier that is none is refused, and one whose handler gives up when cancelled ends as cancelled', async (t) => {
    const { server, problems } = await serverFor(t, {
      handlers: {
        async *onFind({ signal }): AsyncGenerator<Match> {
          await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
          signal.throwIfAborted();
        },
      },
    });
    const client = await clientOf(t, server.port, { contexts: [...contexts, ...VERIFICATION] });
    const noItem: Element = {
      tag: 0x00081140,
      vr: 'SQ',
      value: { kind: 'bytes', bytes: Buffer.from('10002000', 'hex') },
    };
    const broken = identifierOf([() => noItem]);
    await assert.rejects(client.find(broken, { sopClass }).next(), /C000H/);
    assert.ok(fails('truncated')(problems[0]));
    const signal = AbortSignal.timeout(20);
    assert.equal((await client.find(patientIdentifier('P1'), { sopClass, signal }).next()).done, true);
    assert.equal((await client.echo()).status, STATUS.success);
    assert.equal(problems.length, 1);
  });

  test('without end stops when it is cancelled, and when its consumer has enough', async (t) => {
    let stopped = 0;
    const { server } = await serverFor(t, {
      handlers: {
        async *onFind({ signal, transferSyntax }): AsyncGenerator<Match> {
          try {
            // Long ones, so that few fill the buffers of the kernel, which a cancellation does not empty.
            const identifier = encodedPatient('x'.repeat(60_000), transferSyntax);
            while (!signal.aborted) yield { identifier };
          } finally {
            stopped += 1;
          }
        },
      },
    });
    const client = await clientOf(t, server.port, { contexts: [...contexts, ...VERIFICATION] });
    const stop = new AbortController();
    let count = 0;
    for await (const _ of client.find(patientIdentifier('P1'), { sopClass, signal: stop.signal })) {
      count += 1;
      if (count === 10) stop.abort();
    }
    assert.equal(stopped, 1);
    for await (const _ of client.find(patientIdentifier('P1'), { sopClass })) break;
    assert.equal((await client.echo()).status, STATUS.success);
    assert.equal(stopped, 2);
  });
});

describe('retrieval', () => {
  const contents = [1, 2, 3].map((index) => randomBytes(200_000 + index * 2));
  const instances = contents.map((content, index) => instance(index, content));
  const unreadable: Instance = {
    ...instance(9, Buffer.alloc(0)),
    open() {
      throw new Error('gone');
    },
  };

  test('by C-GET comes over the same association', async (t) => {
    const seen = new Map<string, { digest: string; request: StoreRequest }>();
    const { server } = await serverFor(t, { handlers: { onGet: async () => ({ kind: 'found', instances }) } });
    const client = await clientOf(t, server.port, {
      contexts: [identifierContext(SOP_CLASSES.studyRootGet), fetchingContext(CT, [EXPLICIT_LITTLE_ENDIAN])],
      handlers: { onStore: digesting(seen) },
    });
    const steps: number[] = [];
    const result = await client.get(patientIdentifier('P1'), {
      sopClass: SOP_CLASSES.studyRootGet,
      onProgress: ({ remaining }) => steps.push(remaining),
    });
    assert.deepEqual(result, { status: 0, remaining: 0, completed: 3, failed: 0, warnings: 0 });
    assert.deepEqual(steps, [2, 1, 0]);
    for (const [index, content] of contents.entries()) {
      assert.equal(seen.get(`1.2.3.${index}`)?.digest, digestOf(content));
    }
  });

  test('by C-GET tells what could not be sent, and stops when it is cancelled', async (t) => {
    const { server } = await serverFor(t, {
      handlers: {
        onGet: async () =>
          ({ kind: 'found', instances: [unreadable, ...instances, { ...instances[0], sopClass: '1.2' }] }) as never,
      },
    });
    const stop = new AbortController();
    const client = await clientOf(t, server.port, {
      contexts: [identifierContext(SOP_CLASSES.studyRootGet), fetchingContext(CT, [EXPLICIT_LITTLE_ENDIAN])],
      handlers: { onStore: digesting(new Map()) },
    });
    const sopClass = SOP_CLASSES.studyRootGet;
    const partly = await client.get(patientIdentifier('P1'), { sopClass });
    assert.deepEqual(partly, {
      comment: 'An instance could not be sent',
      status: STATUS.subOperationsFailed,
      remaining: 0,
      completed: 3,
      failed: 2,
      warnings: 0,
    });
    const cancelled = await client.get(patientIdentifier('P1'), {
      sopClass,
      signal: stop.signal,
      onProgress: ({ completed }) => (completed === 1 ? stop.abort() : undefined),
    });
    assert.equal(cancelled.status, STATUS.cancelled);
    assert.ok(cancelled.remaining > 0);
  });

  test('by C-GET of instances that are all stored with a warning is no failure', async (t) => {
    const { server } = await serverFor(t, { handlers: { onGet: async () => ({ kind: 'found', instances }) } });
    const client = await clientOf(t, server.port, {
      contexts: [identifierContext(SOP_CLASSES.studyRootGet), fetchingContext(CT, [EXPLICIT_LITTLE_ENDIAN])],
      handlers: { onStore: async () => ({ status: 0xb007 }) }, // PS3.4 B.2.3: data set does not match SOP class
    });
    const result = await client.get(patientIdentifier('P1'), { sopClass: SOP_CLASSES.studyRootGet });
    assert.deepEqual(result, {
      status: STATUS.subOperationsFailed,
      remaining: 0,
      completed: 0,
      failed: 0,
      warnings: 3,
    });
  });

  test('makes nobody the receiver where nothing can be fetched', async (t) => {
    const { server } = await serverFor(t, { handlers: { onStore: digesting(new Map()) } });
    const contexts = [{ ...fetchingContext(CT, [EXPLICIT_LITTLE_ENDIAN]), roles: { scu: true, scp: true } }];
    const [context] = (await clientOf(t, server.port, { contexts })).contexts;
    assert.deepEqual([context?.requestorIsScu, context?.requestorIsScp], [true, false]);
  });

  test('by C-MOVE goes to the destination, which learns who asked', async (t) => {
    const seen = new Map<string, { digest: string; request: StoreRequest }>();
    const { server: archive } = await serverFor(t, { handlers: { onStore: digesting(seen) } });
    const { server } = await serverFor(t, {
      handlers: {
        async onMove({ destination }) {
          if (destination !== 'ARCHIVE') return { kind: 'refused', status: STATUS.moveDestinationUnknown };
          const to = { host: '127.0.0.1', port: archive.port, calledAe: 'ARCHIVE', callingAe: 'LANTERN' };
          return { kind: 'found', instances: [...instances, unreadable], destination: to };
        },
      },
    });
    const client = await clientOf(t, server.port, { contexts: [identifierContext(SOP_CLASSES.studyRootMove)] });
    const sopClass = SOP_CLASSES.studyRootMove;
    const unknown = await client.move(patientIdentifier('P1'), { sopClass, destination: 'NOWHERE' });
    assert.equal(unknown.status, STATUS.moveDestinationUnknown);
    const result = await client.move(patientIdentifier('P1'), { sopClass, destination: 'ARCHIVE' });
    assert.deepEqual(result, {
      comment: 'An instance could not be sent',
      status: STATUS.subOperationsFailed,
      remaining: 0,
      completed: 3,
      failed: 1,
      warnings: 0,
    });
    assert.deepEqual(
      [...seen.values()].map(({ request }) => request.moveOriginator?.aeTitle),
      ['SCANNER', 'SCANNER', 'SCANNER'],
    );
  });

  test('by C-MOVE to a destination that is not reached fails', async (t) => {
    const { server, problems } = await serverFor(t, {
      handlers: {
        onMove: async () => ({
          kind: 'found',
          instances,
          destination: { host: '127.0.0.1', port: 1, calledAe: 'ARCHIVE', callingAe: 'LANTERN' },
        }),
      },
    });
    const client = await clientOf(t, server.port, { contexts: [identifierContext(SOP_CLASSES.studyRootMove)] });
    const sopClass = SOP_CLASSES.studyRootMove;
    const result = await client.move(patientIdentifier('P1'), { sopClass, destination: 'ARCHIVE' });
    assert.equal(result.status, STATUS.cannotPerformSubOperations);
    assert.ok(fails('network')(problems[0]));
  });
});

describe('storage commitment', () => {
  test('is asked for, and reported on the same association after it was answered', async (t) => {
    const steps: string[] = [];
    const reported = Promise.withResolvers<void>();
    const { server } = await serverFor(t, {
      handlers: {
        async onAction({ actionTypeId, sopInstance, information, report }) {
          steps.push(`action ${actionTypeId} ${sopInstance} ${information && textOf(information, 0x00100020)}`);
          const event = { eventTypeId: 2, information: patientIdentifier('failed') };
          void report(event).then(({ status }) => {
            steps.push(`report answered ${status}`);
            reported.resolve();
          });
          return { status: STATUS.success };
        },
      },
    });
    const client = await clientOf(t, server.port, {
      contexts: [identifierContext(SOP_CLASSES.storageCommitmentPush)],
      handlers: {
        async onReport({ eventTypeId, information }) {
          steps.push(`report ${eventTypeId} ${information && textOf(information, 0x00100020)}`);
          return { status: STATUS.success };
        },
      },
    });
    const outcome = await client.action(patientIdentifier('asked'), {
      sopClass: SOP_CLASSES.storageCommitmentPush,
      sopInstance: STORAGE_COMMITMENT_INSTANCE,
      actionTypeId: 1,
    });
    assert.equal(outcome.status, STATUS.success);
    await reported.promise;
    assert.deepEqual(steps, ['action 1 1.2.840.10008.1.20.1.1 asked', 'report 2 failed', 'report answered 0']);
  });

  test('is reported on an association of its own, whose requestor is then the SCP', async (t) => {
    const events: number[] = [];
    const { server } = await serverFor(t, {
      handlers: {
        async onReport({ eventTypeId }) {
          events.push(eventTypeId);
          return { status: STATUS.success };
        },
      },
    });
    const commitment = identifierContext(SOP_CLASSES.storageCommitmentPush);
    const client = await clientOf(t, server.port, { contexts: [{ ...commitment, roles: { scu: false, scp: true } }] });
    assert.deepEqual([client.contexts[0]?.requestorIsScu, client.contexts[0]?.requestorIsScp], [false, true]);
    const outcome = await client.report(patientIdentifier('P1'), {
      sopClass: SOP_CLASSES.storageCommitmentPush,
      sopInstance: STORAGE_COMMITMENT_INSTANCE,
      eventTypeId: 1,
    });
    assert.equal(outcome.status, STATUS.success);
    assert.deepEqual(events, [1]);
  });
});
