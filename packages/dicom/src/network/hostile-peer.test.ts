import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { connect, createServer, type Socket } from 'node:net';
import { describe, type TestContext, test } from 'node:test';
import { fuzz } from '../../test/fuzzing.ts';
import { DicomError, type DicomErrorCode } from '../dicom-error.ts';
import { EXPLICIT_LITTLE_ENDIAN } from '../transfer-syntax.ts';
import { DICOM_APPLICATION_CONTEXT } from './associate-pdu.ts';
import { type Command, encodeCommand } from './command-set.ts';
import type { Instance } from './handlers.ts';
import { openAssociation } from './open-association.ts';
import { type AssociateRequest, dataHeader, encodePdu } from './pdu.ts';
import { identifierContext, storingContexts } from './proposal.ts';
import { type DicomServer, type DicomServerOptions, startDicomServer } from './server.ts';
import { SOP_CLASSES } from './sop-classes.ts';
import { STATUS } from './status.ts';

const CT = '1.2.840.10008.5.1.4.1.1.2';
const ECHO: Command = { name: 'C-ECHO-RQ', MessageID: 1, AffectedSOPClassUID: SOP_CLASSES.verification };
const ABORT_BY_USER = '07000000000400000000';

async function serverFor(t: TestContext, options: Partial<DicomServerOptions> = {}) {
  const problems: unknown[] = [];
  const server = await startDicomServer({
    port: 0,
    host: '127.0.0.1',
    handlers: {},
    onProblem: (error) => problems.push(error),
    ...options,
    timeouts: { closeMs: 50, ...options.timeouts },
  });
  t.after(() => server.close(0));
  return { server, problems };
}

const REQUEST_PDU: AssociateRequest = {
  type: 'associate-request',
  calledAe: 'LANTERN',
  callingAe: 'ODD',
  applicationContext: DICOM_APPLICATION_CONTEXT,
  contexts: [
    { id: 1, abstractSyntax: SOP_CLASSES.verification, transferSyntaxes: [EXPLICIT_LITTLE_ENDIAN] },
    { id: 3, abstractSyntax: CT, transferSyntaxes: [EXPLICIT_LITTLE_ENDIAN] },
    { id: 5, abstractSyntax: SOP_CLASSES.studyRootFind, transferSyntaxes: [EXPLICIT_LITTLE_ENDIAN] },
  ],
  user: { pduBytesMax: 0, implementationClassUid: '1.2.3', roles: [], others: [] },
};
const REQUEST = encodePdu(REQUEST_PDU);

function fragment(contextId: number, content: Buffer, part: { isCommand?: boolean; isLast?: boolean } = {}): Buffer {
  const { isCommand = false, isLast = true } = part;
  return Buffer.concat([dataHeader({ contextId, isCommand, isLast, fragmentBytes: content.byteLength }), content]);
}

const command = (contextId: number, what: Command, hasDataSet = false) =>
  fragment(contextId, encodeCommand(what, hasDataSet), { isCommand: true });

/** A peer of bytes: what it received, and when the connection was closed. */
function rawPeer(t: TestContext, port: number, ...parts: readonly Buffer[]) {
  const peer = passingPeer(port, ...parts);
  t.after(() => peer.socket.destroy());
  return peer;
}

/** As `rawPeer`, for thousands of them: the test does not remember it. */
function passingPeer(port: number, ...parts: readonly Buffer[]) {
  const socket = connect({ host: '127.0.0.1', port });
  const received: Buffer[] = [];
  socket.on('data', (chunk) => received.push(chunk));
  socket.on('error', () => {}); // a reset is one of the ways in which it is closed
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
  // Nobody sends before the association is accepted, which comes in one piece; but some do what nobody does.
  const [first = Buffer.alloc(0), ...others] = parts;
  socket.write(first);
  if (first === REQUEST) socket.once('data', () => others.forEach((part) => void socket.write(part)));
  return { socket, closed, received: () => Buffer.concat(received) };
}

async function assertAnswers(server: DicomServer): Promise<void> {
  const client = await openAssociation({
    host: '127.0.0.1',
    port: server.port,
    calledAe: 'LANTERN',
    callingAe: 'GOOD',
    contexts: [identifierContext(SOP_CLASSES.verification)],
  });
  assert.equal((await client.echo()).status, STATUS.success);
  await client.release();
}

const fails = (code: DicomErrorCode) => (thrown: unknown) => thrown instanceof DicomError && thrown.code === code;
const lastPdu = (bytes: Buffer) => bytes.subarray(-10).toString('hex');

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
}

describe('a peer that breaks the protocol', () => {
  const store: Command = { name: 'C-STORE-RQ', MessageID: 1, AffectedSOPClassUID: CT, AffectedSOPInstanceUID: '1.2' };
  const cases: readonly [string, string, readonly Buffer[]][] = [
    ['sends no DICOM at all', ABORT_BY_USER, [Buffer.from('GET / HTTP/1.1\r\n\r\n')]],
    ['sends data before it is associated', ABORT_BY_USER, [command(1, ECHO)]],
    ['associates twice', '07000000000400000202', [REQUEST, REQUEST]],
    ['sends data before it is accepted', '07000000000400000202', [Buffer.concat([REQUEST, command(1, ECHO)])]],
    ['sends a PDU of no known type', '07000000000400000201', [REQUEST, Buffer.from('99000000000400000000', 'hex')]],
    ['uses a context that it did not propose', '07000000000400000205', [REQUEST, command(9, ECHO)]],
    ['sends a data set without a command', '07000000000400000205', [REQUEST, fragment(1, Buffer.alloc(8))]],
    [
      'sends a command within a data set',
      '07000000000400000205',
      [REQUEST, command(3, store, true), command(3, store, true)],
    ],
    [
      'changes the context within a message',
      '07000000000400000205',
      [REQUEST, command(3, store, true), fragment(1, Buffer.alloc(8))],
    ],
    [
      'sends a command without end',
      '07000000000400000205',
      [
        REQUEST,
        ...Array.from({ length: 3 }, () => fragment(1, Buffer.alloc(30_000), { isCommand: true, isLast: false })),
      ],
    ],
    [
      'sends a command of no known kind',
      '07000000000400000205',
      [REQUEST, fragment(1, Buffer.alloc(8), { isCommand: true })],
    ],
  ];
  for (const [title, answer, parts] of cases) {
    test(`and ${title} is sent an abort that says why, and costs the others nothing`, async (t) => {
      const { server } = await serverFor(t, {
        handlers: {
          async onStore({ dataSet }) {
            await dataSet.drop();
            return { status: STATUS.success };
          },
        },
      });
      const peer = rawPeer(t, server.port, ...parts);
      await until(() => peer.received().byteLength >= 10 && lastPdu(peer.received()) === answer);
      peer.socket.end();
      await peer.closed;
      await assertAnswers(server);
    });
  }

  test('and stores an instance of another SOP class than the context is for is told so', async (t) => {
    const { server } = await serverFor(t, { handlers: { onStore: async () => ({ status: STATUS.success }) } });
    const other: Command = { ...store, AffectedSOPClassUID: '1.2.840.10008.5.1.4.1.1.4' };
    const peer = rawPeer(t, server.port, REQUEST, command(3, other, true), fragment(3, Buffer.alloc(8)));
    await until(() => peer.received().includes(Buffer.from('00000009020000002201', 'hex'))); // (0000,0900) = 0122H
  });

  test('and wants another application context, or tiny PDUs, is rejected for good', async (t) => {
    const { server } = await serverFor(t);
    const rejections: [Partial<AssociateRequest>, string][] = [
      [{ applicationContext: '1.2.3' }, '03000000000400010102'],
      [{ user: { ...REQUEST_PDU.user, pduBytesMax: 100 } }, '03000000000400010101'],
    ];
    for (const [change, answer] of rejections) {
      const peer = rawPeer(t, server.port, encodePdu({ ...REQUEST_PDU, ...change }));
      await peer.closed;
      assert.equal(peer.received().toString('hex'), answer);
    }
  });

  test('and never closes after it was aborted is disconnected', async (t) => {
    const { server } = await serverFor(t, { timeouts: { closeMs: 50 } });
    const peer = rawPeer(t, server.port, Buffer.from('GET / HTTP/1.1\r\n\r\n'));
    await peer.closed;
    await until(() => server.connectionCount === 0);
  });

  test('and sends many requests at once is aborted, where each has its own answer if they are few', async (t) => {
    const gate = Promise.withResolvers<void>();
    const { server, problems } = await serverFor(t, {
      handlers: {
        async onEcho() {
          await gate.promise;
          return { status: STATUS.success };
        },
      },
    });
    const few = rawPeer(t, server.port, REQUEST, ...Array.from({ length: 9 }, () => command(1, ECHO)));
    const many = rawPeer(t, server.port, REQUEST, ...Array.from({ length: 30 }, () => command(1, ECHO)));
    await until(() => problems.length > 0);
    assert.ok(fails('limit')(problems[0]));
    gate.resolve();
    const answerBytes = 78 + 12;
    await until(() => few.received().byteLength > 9 * answerBytes);
    many.socket.end();
    await many.closed;
  });

  test('and sends an endless identifier is told that it is too long', async (t) => {
    const find: Command = { name: 'C-FIND-RQ', MessageID: 1, AffectedSOPClassUID: SOP_CLASSES.studyRootFind };
    const { server } = await serverFor(t, {
      handlers: {
        async *onFind() {
          yield { status: STATUS.success };
        },
      },
    });
    const piece = fragment(5, Buffer.alloc(100_000), { isLast: false });
    const pieces = Array.from({ length: 50 }, () => piece);
    const peer = rawPeer(t, server.port, REQUEST, command(5, find, true), ...pieces, fragment(5, Buffer.alloc(2)));
    const status = Buffer.from('00000009020000001302', 'hex'); // (0000,0900) = 0213H, resource limitation
    await until(() => peer.received().includes(status));
  });
});

describe('a peer that is slow or gone', () => {
  test('and says nothing is disconnected, without harm to others', async (t) => {
    const { server } = await serverFor(t, { timeouts: { associateMs: 100 } });
    const peers = Array.from({ length: 50 }, () => rawPeer(t, server.port));
    await assertAnswers(server);
    await Promise.all(peers.map(({ closed }) => closed));
    await until(() => server.connectionCount === 0);
  });

  test('and trickles bytes without ever ending a PDU is aborted', async (t) => {
    const { server, problems } = await serverFor(t, {
      handlers: {
        async onStore({ dataSet }) {
          for await (const _ of dataSet);
          return { status: STATUS.success };
        },
      },
      timeouts: { idleMs: 200, closeMs: 50 },
    });
    const store: Command = { name: 'C-STORE-RQ', MessageID: 1, AffectedSOPClassUID: CT, AffectedSOPInstanceUID: '1.2' };
    const peer = rawPeer(
      t,
      server.port,
      REQUEST,
      command(3, store, true),
      fragment(3, Buffer.alloc(100_000)).subarray(0, 99_000),
    );
    const trickle = setInterval(() => peer.socket.write(Buffer.alloc(1)), 20);
    t.after(() => clearInterval(trickle));
    await peer.closed;
    assert.ok(problems.some(fails('timeout')), String(problems));
  });

  test('and keeps its association for longer than it may without asking is aborted', async (t) => {
    const { server, problems } = await serverFor(t, { timeouts: { requestMs: 100, closeMs: 50 } });
    await rawPeer(t, server.port, REQUEST).closed;
    assert.ok(fails('timeout')(problems[0]));
  });

  test('and does not read the answers is aborted, while others are served', async (t) => {
    const { server, problems } = await serverFor(t, {
      handlers: {
        async *onFind() {
          for (;;) yield { identifier: Buffer.alloc(100_000) };
        },
      },
      timeouts: { idleMs: 300, closeMs: 50 },
    });
    const find: Command = { name: 'C-FIND-RQ', MessageID: 1, AffectedSOPClassUID: SOP_CLASSES.studyRootFind };
    const peer = rawPeer(t, server.port, REQUEST, command(5, find, true), fragment(5, Buffer.alloc(0)));
    peer.socket.once('data', () => peer.socket.pause());
    await assertAnswers(server);
    await until(() => problems.length > 0);
    assert.ok(fails('timeout')(problems[0]), String(problems));
    await until(() => server.connectionCount === 0);
  });

  test('and is lost within a data set is told to the handler as an error', async (t) => {
    const seen = Promise.withResolvers<unknown>();
    const { server } = await serverFor(t, {
      handlers: {
        async onStore({ dataSet, signal }) {
          try {
            for await (const _ of dataSet);
          } catch (error) {
            seen.resolve({ error, aborted: signal.aborted });
          }
          return { status: STATUS.success };
        },
      },
    });
    const store: Command = { name: 'C-STORE-RQ', MessageID: 1, AffectedSOPClassUID: CT, AffectedSOPInstanceUID: '1.2' };
    const part = fragment(3, Buffer.alloc(1000), { isLast: false });
    const peer = rawPeer(t, server.port, REQUEST, command(3, store, true), part);
    await until(() => peer.received().byteLength > 0);
    peer.socket.resetAndDestroy();
    const { error, aborted } = (await seen.promise) as { error: unknown; aborted: boolean };
    assert.ok(fails('network')(error), String(error));
    assert.ok(aborted);
    await until(() => server.connectionCount === 0);
  });
});

describe('a hundred associations at once', () => {
  test('store side by side in bounded memory', async (t) => {
    let received = 0;
    const { server } = await serverFor(t, {
      handlers: {
        async onStore({ dataSet }) {
          for await (const piece of dataSet) received += piece.byteLength;
          return { status: STATUS.success };
        },
      },
    });
    const content = randomBytes(1_000_000);
    const one: Instance = {
      sopClass: CT,
      sopInstance: '1.2.3',
      transferSyntax: EXPLICIT_LITTLE_ENDIAN,
      async *open() {
        yield content;
      },
    };
    const clients = await Promise.all(
      Array.from({ length: 100 }, () =>
        openAssociation({
          host: '127.0.0.1',
          port: server.port,
          calledAe: 'LANTERN',
          callingAe: 'MANY',
          contexts: storingContexts([one]),
        }),
      ),
    );
    assert.equal(server.connectionCount, 100);
    for (let round = 0; round < 3; round += 1) {
      const outcomes = await Promise.all(clients.map((client) => client.store(one)));
      assert.ok(outcomes.every(({ status }) => status === STATUS.success));
    }
    await Promise.all(clients.map((client) => client.release()));
    assert.equal(received, 300 * content.byteLength);
    const { rss } = process.memoryUsage();
    assert.ok(rss < 512 * 1024 * 1024, `${rss} bytes, both sides in one process`);
  });
});

describe('closing the server', () => {
  test('lets the request in work end, and then takes no more', async (t) => {
    const entered = Promise.withResolvers<void>();
    const gate = Promise.withResolvers<void>();
    const { server } = await serverFor(t, {
      handlers: {
        async onEcho() {
          entered.resolve();
          await gate.promise;
          return { status: STATUS.success };
        },
      },
    });
    const client = await openAssociation({
      host: '127.0.0.1',
      port: server.port,
      calledAe: 'LANTERN',
      callingAe: 'GOOD',
      contexts: [identifierContext(SOP_CLASSES.verification)],
    });
    const echoed = client.echo();
    await entered.promise;
    const closing = server.close();
    setImmediate(gate.resolve);
    assert.equal((await echoed).status, STATUS.success);
    await closing;
    await assert.rejects(client.echo(), fails('aborted'));
    await assert.rejects(assertAnswers(server), fails('network'));
  });
});

describe('a server that is odd', () => {
  const options = { host: '127.0.0.1', calledAe: 'ODD', callingAe: 'LANTERN' };
  const contexts = [identifierContext(SOP_CLASSES.verification)];

  async function oddServer(t: TestContext, onConnection: (socket: Socket) => void): Promise<number> {
    const server = createServer((socket) => {
      t.after(() => socket.destroy());
      socket.on('error', () => {}); // the client gives up, which is what is tested
      onConnection(socket);
    });
    t.after(() => server.close());
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    assert.ok(typeof address === 'object' && address !== null);
    return address.port;
  }

  test('and never answers is given up', async (t) => {
    const port = await oddServer(t, (socket) => socket.resume());
    const opening = openAssociation({ ...options, port, contexts, timeouts: { associateMs: 100, closeMs: 50 } });
    await assert.rejects(opening, fails('timeout'));
  });

  test('and closes, or answers with something else, is an error', async (t) => {
    const closes = await oddServer(t, (socket) => socket.end());
    await assert.rejects(openAssociation({ ...options, port: closes, contexts }), fails('network'));
    const speaksHttp = await oddServer(t, (socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'));
    await assert.rejects(openAssociation({ ...options, port: speaksHttp, contexts }), fails('malformed'));
    await assert.rejects(openAssociation({ ...options, port: 1, contexts }), fails('network'));
  });

  test('and accepts only tiny PDUs is refused', async (t) => {
    const { calledAe, callingAe, applicationContext, user } = REQUEST_PDU;
    const results = [{ id: 1, result: 0, transferSyntax: EXPLICIT_LITTLE_ENDIAN }];
    const titles = { calledAe, callingAe, applicationContext };
    const tiny = { ...user, pduBytesMax: 100 };
    const port = await oddServer(t, (socket) => {
      socket.resume();
      socket.write(encodePdu({ type: 'associate-accept', ...titles, results, user: tiny }));
    });
    const opening = openAssociation({ ...options, port, contexts, timeouts: { closeMs: 50 } });
    await assert.rejects(opening, fails('refused'));
  });

  test('is left at once when the caller aborts', async (t) => {
    const stop = new AbortController();
    const port = await oddServer(t, (socket) => {
      socket.resume();
      stop.abort();
    });
    await assert.rejects(openAssociation({ ...options, port, contexts, signal: stop.signal }), fails('aborted'));
  });
});

/**
 * A hundred thousand connections a minute leave freed memory behind that the C library keeps: heap and buffers are the same after
 * each five thousand of them, the process is not.
 */
const GROWTH_BYTES_MAX = 1024 * 1024 * 1024;

describe('hostile bytes over sockets', () => {
  test('leave no connection behind and a server that still answers', async (t) => {
    const { server } = await serverFor(t, {
      handlers: {
        async onStore({ dataSet }) {
          for await (const _ of dataSet);
          return { status: STATUS.success };
        },
        async *onFind() {
          yield { identifier: Buffer.alloc(8) };
        },
      },
      timeouts: { associateMs: 500, idleMs: 500, requestMs: 500, closeMs: 50 },
    });
    const store: Command = { name: 'C-STORE-RQ', MessageID: 1, AffectedSOPClassUID: CT, AffectedSOPInstanceUID: '1.2' };
    const find: Command = { name: 'C-FIND-RQ', MessageID: 2, AffectedSOPClassUID: SOP_CLASSES.studyRootFind };
    const talk = Buffer.concat([
      command(1, ECHO),
      command(3, store, true),
      fragment(3, Buffer.alloc(3000, 1), { isLast: false }),
      fragment(3, Buffer.alloc(100, 2)),
      command(5, find, true),
      fragment(5, Buffer.from('1000200049530200', 'hex')),
      encodePdu({ type: 'release-request' }),
    ]);
    await fuzz(
      t,
      async (chance) => {
        const batch = Array.from({ length: 20 }, () => {
          const bytes = Buffer.from(chance(4) === 0 ? Buffer.concat([REQUEST, talk]) : talk);
          for (let change = 1 + chance(3); change > 0; change -= 1) bytes[chance(bytes.byteLength)] = chance(256);
          const peer = passingPeer(server.port, REQUEST, bytes);
          peer.socket.once('data', () => peer.socket.end());
          return peer.closed;
        });
        await Promise.all(batch);
      },
      GROWTH_BYTES_MAX,
    );
    await until(() => server.connectionCount === 0);
    await assertAnswers(server);
  });
});
