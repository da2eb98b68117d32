import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { Agent, request as rawRequest } from 'node:http';
import { after, before, describe, test } from 'node:test';
import {
  errorOf,
  PATIENT,
  REUSED_PIECE_BYTES,
  REUSED_PIECES,
  startServer,
  testRoutes,
} from '../../test/example-server.ts';
import type { HttpServer } from './server.ts';

describe('bytes through the HTTP server', () => {
  const logLines: string[] = [];
  let server: HttpServer;
  let url: string;

  before(async () => {
    ({ server, url } = await startServer(testRoutes({ enter: () => undefined, reasons: [] }), logLines));
  });
  after(() => server.close());

  test('bytes come whole with their length, and by range', async () => {
    const digest = 'e'.repeat(64);
    const whole = await fetch(`${url}/api/v1/blobs/${digest}`);
    assert.equal(whole.headers.get('content-length'), '20');
    assert.equal(await whole.text(), '0123456789abcdefghij');
    const part = await fetch(`${url}/api/v1/blobs/${digest}`, { headers: { range: 'bytes=17-' } });
    assert.equal(part.status, 206);
    assert.equal(part.headers.get('content-range'), 'bytes 17-19/20');
    assert.equal(await part.text(), 'hij');
    const beyond = await fetch(`${url}/api/v1/blobs/${digest}`, { headers: { range: 'bytes=20-' } });
    assert.deepEqual((await errorOf(beyond)).code, 'input.range-invalid');
  });

  test('a piece of an answer is not asked for before the last one has left its memory', async () => {
    const response = await fetch(`${url}/reused`);
    let position = 0;
    for await (const chunk of response.body ?? []) {
      for (const byte of chunk) {
        const expected = 1 + Math.floor(position / REUSED_PIECE_BYTES);
        if (byte !== expected) assert.fail(`byte ${position} is ${byte}, not ${expected}`);
        position += 1;
      }
    }
    assert.equal(position, REUSED_PIECES * REUSED_PIECE_BYTES);
  });

  test('a byte answer that fails at once is an ordinary error; one that fails later, or is too short, never looks whole', async () => {
    const atOnce = await fetch(`${url}/broken/at-once`);
    assert.equal(atOnce.headers.get('content-type'), 'application/json; charset=utf-8');
    assert.match(await atOnce.text(), /storage.corrupt/);
    for (const when of ['later', 'short']) {
      const response = await fetch(`${url}/broken/${when}`);
      assert.equal(response.status, 200);
      await assert.rejects(response.arrayBuffer());
    }
    assert.equal(logLines.filter((line) => line.includes('an answer broke off')).length, 2);
    assert.ok(!logLines.join().includes(PATIENT));
  });

  test('a streamed body reaches the handler in pieces, unbuffered and unchanged', async () => {
    const bytes = Buffer.alloc(3_000_000, 'lantern light ');
    const headers = { 'content-type': 'application/octet-stream' };
    const response = await fetch(`${url}/api/v1/uploads`, { method: 'PATCH', headers, body: bytes });
    const answer = Object(await response.json());
    assert.equal(answer.sizeBytes, 3_000_000);
    assert.equal(answer.digest, createHash('sha256').update(bytes).digest('hex'));
    assert.ok(answer.chunks > 5, `${answer.chunks} chunks`);
  });

  test('a stream above its limit is refused, whether it says its length or not', async () => {
    const headers = { 'content-type': 'application/octet-stream' };
    const known = await fetch(`${url}/api/v1/uploads`, {
      method: 'PATCH',
      headers,
      body: Buffer.alloc(8_400_000, 'a'),
    });
    assert.equal((await errorOf(known)).code, 'input.too-large');
    const chunked = await new Promise<number>((resolve, reject) => {
      const request = rawRequest(`${url}/api/v1/uploads`, { method: 'PATCH', headers }, (response) => {
        response.resume();
        resolve(response.statusCode ?? 0);
      });
      request.on('error', reject);
      request.end(Buffer.alloc(8_400_000, 'b'));
    });
    assert.equal(chunked, 413);
  });

  test('a handler that refuses in the middle of a stream can still say why', async () => {
    const headers = { 'content-type': 'application/octet-stream' };
    const response = await fetch(`${url}/api/v1/uploads`, {
      method: 'PATCH',
      headers,
      body: Buffer.alloc(2_000_000, '!'),
    });
    assert.equal((await errorOf(response)).message, 'No exclamation marks.');
  });

  test('after a body that was refused half-way the connection still serves the next request', async () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const send = (method: string, path: string, body?: Buffer) =>
      new Promise<{ status: number; reused: boolean }>((resolve, reject) => {
        const headers = body === undefined ? {} : { 'content-type': 'application/octet-stream' };
        const request = rawRequest(url + path, { method, agent, headers }, (response) => {
          response.resume();
          response.on('end', () => resolve({ status: response.statusCode ?? 0, reused: request.reusedSocket }));
        });
        request.on('error', reject);
        request.end(body);
      });
    assert.equal((await send('PATCH', '/api/v1/uploads', Buffer.alloc(2_000_000, '!'))).status, 403);
    assert.deepEqual(await send('GET', '/health'), { status: 200, reused: true });
    agent.destroy();
  });
});
