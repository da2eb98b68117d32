/** Listener and sender of MLLP against each other and against senders that do not behave, over real sockets on loopback. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { after, describe, it } from 'node:test';
import { Hl7Error } from '../hl7-error.ts';
import { encodeAcknowledgement, readAcknowledgement } from './acknowledgement.ts';
import { readHeader } from './header.ts';
import { parseMessage } from './message.ts';
import { createMllpSender, type MllpSenderOptions } from './mllp-client.ts';
import { encodeFrame, FrameDecoder } from './mllp-frames.ts';
import { type MllpServer, type MllpServerOptions, startMllpServer } from './mllp-server.ts';

const open: { close(): unknown }[] = [];
after(async () => {
  for (const one of open) await one.close();
});

const message = (controlId: string, rest = '') =>
  Buffer.from(`MSH|^~\\&|LAB|N|L|W|20260203||ADT^A08|${controlId}|P|2.5.1${rest}\rPID|1||${controlId}\r`);

/** Says AA to what can be read. */
function accept(content: Buffer, code: 'AA' | 'AE' = 'AA'): Buffer {
  const header = readHeader(parseMessage(content));
  const options = { at: new Date(0), controlId: '1' };
  return encodeAcknowledgement(header, { verdict: { kind: 'accepted' }, code }, options);
}

async function listening(options: Partial<MllpServerOptions> = {}): Promise<MllpServer & { received: string[] }> {
  const received: string[] = [];
  const server = await startMllpServer({
    port: 0,
    host: '127.0.0.1',
    receive: async (content) => {
      received.push(readHeader(parseMessage(content)).controlId);
      return [accept(content)];
    },
    ...options,
  });
  open.push(server);
  return Object.assign(server, { received });
}

function sender(port: number, options: Partial<MllpSenderOptions> = {}) {
  const backOffMs = { first: 2, max: 10 };
  const created = createMllpSender({ host: '127.0.0.1', port, uniform: () => 0.5, backOffMs, ...options });
  open.push(created);
  return created;
}

/** A plain socket and the control ids that it is told. */
async function plain(port: number): Promise<{ socket: Socket; next: () => Promise<string>; closed: Promise<unknown> }> {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => {});
  await once(socket, 'connect');
  open.push({ close: () => socket.destroy() });
  const decoder = new FrameDecoder(10_000);
  const told: string[] = [];
  let wake = () => {};
  socket.on('data', (chunk) => {
    for (const { content } of decoder.push(chunk)) told.push(readAcknowledgement(content)?.controlId ?? 'none');
    wake();
  });
  const next = async () => {
    while (told.length === 0) await new Promise<void>((resolve) => (wake = resolve));
    return told.shift() ?? '';
  };
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve())); // a reset is an end like others
  return { socket, next, closed };
}

describe('a listener of MLLP', () => {
  it('answers in the order of arrival, whatever takes longer', async () => {
    const waiting = new Map<string, () => void>();
    const server = await listening({
      receive: async (content) => {
        const { controlId } = readHeader(parseMessage(content));
        await new Promise<void>((resolve) => waiting.set(controlId, resolve));
        return [accept(content)];
      },
    });
    const { socket, next } = await plain(server.port);
    socket.write(Buffer.concat([encodeFrame(message('first')), encodeFrame(message('second'))]));
    while (waiting.size < 2) await new Promise((resolve) => setImmediate(resolve));
    waiting.get('second')?.();
    waiting.get('first')?.();
    assert.deepEqual([await next(), await next()], ['first', 'second']);
  });

  it('takes messages in single bytes beside others, and the end of a sender that waits for its answer', async () => {
    const server = await listening();
    const slow = await plain(server.port);
    const frame = encodeFrame(message('slow'));
    for (const byte of frame.subarray(0, 40)) slow.socket.write(Buffer.from([byte]));
    assert.equal((await sender(server.port).send(message('quick')))?.code, 'AA');
    slow.socket.end(frame.subarray(40));
    assert.equal(await slow.next(), 'slow');
    assert.deepEqual(server.received, ['quick', 'slow']);
  });

  it('gives up a sender that stops in the middle, and one that trickles for too long', async () => {
    const problems: unknown[] = [];
    const server = await listening({
      timeouts: { idleMs: 40, frameMs: 200 },
      onProblem: (error) => problems.push(error),
    });
    const stopped = await plain(server.port);
    stopped.socket.write(encodeFrame(message('cut')).subarray(0, 20));
    await stopped.closed;
    const trickling = await plain(server.port);
    trickling.socket.write('\x0b');
    const timer = setInterval(() => trickling.socket.write('A'), 10);
    await trickling.closed;
    clearInterval(timer);
    assert.deepEqual(
      problems.map((one) => one instanceof Hl7Error && one.code),
      ['timeout', 'timeout'],
    );
    assert.deepEqual(server.received, []);
  });

  it('leaves a connection open that is silent between messages', async () => {
    const server = await listening({ timeouts: { idleMs: 5, frameMs: 5, endBlockMs: 5 } });
    const { socket, next } = await plain(server.port);
    socket.write(encodeFrame(message('before')));
    await next();
    await new Promise((resolve) => setTimeout(resolve, 40)); // longer than any of its clocks
    socket.write(encodeFrame(message('after')));
    assert.equal(await next(), 'after');
  });

  it('takes an end block without its carriage return once nothing follows', async () => {
    const server = await listening({ timeouts: { endBlockMs: 10 } });
    const { socket, next } = await plain(server.port);
    socket.write(encodeFrame(message('bare')).subarray(0, -1));
    assert.equal(await next(), 'bare');
  });

  it('tells a sender of a broken frame, and gives it up after a hundred', async () => {
    const server = await listening({
      receiveBroken: ({ head }) => [Buffer.from(`MSH|^~\\&|||||||ACK|1|P|2.3\rMSA|AR|${head.byteLength}\r`)],
    });
    const { socket, next, closed } = await plain(server.port);
    socket.write('\x0bMSH|cut\x0b');
    assert.equal(await next(), '7');
    socket.write('\x0b'.repeat(200));
    await closed;
  });

  it('closes the connection of a message that could not be taken, without an answer', async () => {
    const server = await listening({ receive: () => Promise.reject(new Error('no room')), onProblem: () => {} });
    const { socket, closed } = await plain(server.port);
    socket.write(encodeFrame(message('1')));
    await closed;
  });

  it('takes no more connections than it may, and none that is not admitted', async () => {
    const server = await listening({ connectionCountMax: 1 });
    const first = await plain(server.port);
    await (await plain(server.port)).closed;
    first.socket.write(encodeFrame(message('1')));
    assert.equal(await first.next(), '1');
    const closed = await listening({ admit: () => false });
    await (await plain(closed.port)).closed;
  });

  it('reads no further than what may be under way', async () => {
    const blocked = Promise.withResolvers<void>();
    const started: string[] = [];
    const server = await listening({
      receive: async (content) => {
        started.push(readHeader(parseMessage(content)).controlId);
        await blocked.promise;
        return [accept(content)];
      },
    });
    const { socket, next } = await plain(server.port);
    const filler = `\rNTE|1||${'x'.repeat(4000)}`;
    for (let number = 0; number < 2000; number += 1) socket.write(encodeFrame(message(String(number), filler)));
    await (await plain(server.port)).socket.end(); // a turn of the network
    assert.ok(started.length < 200, `${started.length} messages were under way`);
    blocked.resolve();
    for (let number = 0; number < 2000; number += 1) assert.equal(await next(), String(number));
  });

  it('answers what is under way before it closes', async () => {
    const release = Promise.withResolvers<void>();
    const server = await listening({
      receive: async (content) => {
        await release.promise;
        return [accept(content)];
      },
    });
    const { socket, next } = await plain(server.port);
    socket.write(encodeFrame(message('last')));
    while (server.connectionCount === 0) await new Promise((resolve) => setImmediate(resolve));
    const closing = server.close();
    release.resolve();
    assert.ok(await Promise.race([next().then((id) => id === 'last'), closing.then(() => true)]));
    await closing;
  });
});

describe('a sender of MLLP', () => {
  it('sends over one connection and gives what it is told', async () => {
    const server = await listening();
    const one = sender(server.port);
    for (const id of ['a', 'b', 'c']) assert.equal((await one.send(message(id)))?.controlId, id);
    assert.equal(server.connectionCount, 1);
  });

  it('sends again after a lost connection and after silence, and takes no late answer for another', async () => {
    let connections = 0;
    const peer = createServer((socket) => {
      connections += 1;
      const decoder = new FrameDecoder(10_000);
      socket.on('error', () => {});
      socket.on('data', (chunk) => {
        for (const { content } of decoder.push(chunk)) {
          if (connections === 1) socket.destroy();
          if (connections === 3) {
            socket.write(encodeFrame(Buffer.from('MSH|^~\\&|||||||ACK|1|P|2.3\rMSA|AE|another\r')));
            socket.write(encodeFrame(accept(content)));
          }
        }
      });
    });
    peer.listen(0, '127.0.0.1');
    await once(peer, 'listening');
    open.push(peer);
    const address = peer.address();
    assert.ok(typeof address === 'object' && address !== null);
    const retries: string[] = [];
    const one = sender(address.port, { answerMs: 50, onRetry: ({ code }) => retries.push(code) });
    assert.equal((await one.send(message('again')))?.code, 'AA');
    assert.deepEqual(retries, ['network', 'timeout']);
    one.close();
  });

  it('gives up after as many attempts as it may, and at once when it is stopped', async () => {
    const server = await listening();
    await server.close();
    const retries: number[] = [];
    const one = sender(server.port, { attemptsMax: 3, onRetry: (_, attempt) => retries.push(attempt) });
    await assert.rejects(one.send(message('1')), (caught) => caught instanceof Hl7Error && caught.code === 'network');
    assert.deepEqual(retries, [1, 2]);
    const stop = new AbortController();
    const silent = await listening({ receive: () => new Promise(() => {}) });
    const stopped = sender(silent.port, { signal: stop.signal }).send(message('1'));
    stop.abort();
    await assert.rejects(stopped, (caught) => caught instanceof Hl7Error && caught.code === 'aborted');
    await silent.close(0);
  });

  it('waits for no answer where the message wants none, and gives a refusal back unrepeated', async () => {
    const server = await listening({
      receive: async (content) => (content.includes('|NE|') ? [] : [accept(content, 'AE')]),
    });
    const one = sender(server.port);
    assert.equal(await one.send(message('quiet', '|||NE|NE')), undefined);
    assert.equal((await one.send(message('loud')))?.code, 'AE');
  });

  it('refuses to send what is no message', async () => {
    await assert.rejects(
      sender(1).send(Buffer.from('PID|1')),
      (caught) => caught instanceof Hl7Error && caught.code === 'malformed',
    );
  });
});
