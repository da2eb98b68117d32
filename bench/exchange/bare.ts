/**
 * The peer of the exchange bench: the same bytes over plain HTTP, between as many processes. Each client downloads a file and
 * then sends as many bytes back, all clients at the same time. Nothing is signed, hashed, resumed or added up.
 *
 * `memory`   the server sends from memory and throws uploads away, the clients keep what they got in memory: the bare wire
 * `durable`  as far as bytes rest on disks in ours: the server sends from a file, writes each upload to a file of its own and
 *            syncs it before it answers; each client writes what it got to a file and syncs it, and sends from a file
 */
import { fork } from 'node:child_process';
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdtemp, open, rm, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, request } from 'node:http';
import os from 'node:os';
import path from 'node:path';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';

export type BareMode = 'memory' | 'durable';

const [role = 'measure', mode = 'memory', portText = '0', bytesText = '0', dir = ''] = process.argv.slice(2);
const CHUNK_BYTES = 1024 * 1024;

async function syncedFile(body: Readable, file: string): Promise<void> {
  await pipeline(body, createWriteStream(file, { highWaterMark: CHUNK_BYTES }));
  const handle = await open(file, 'r');
  await handle.sync();
  await handle.close();
}

async function read(body: Readable): Promise<Buffer[]> {
  const parts: Buffer[] = [];
  for await (const part of body) parts.push(part);
  return parts;
}

function* chunksOf(body: Buffer): Generator<Buffer> {
  for (let at = 0; at < body.byteLength; at += CHUNK_BYTES) yield body.subarray(at, at + CHUNK_BYTES);
}

async function serve(sizeBytes: number): Promise<void> {
  const body = Buffer.alloc(sizeBytes, 7);
  const model = path.join(dir, 'model');
  if (mode === 'durable') await writeFile(model, body);
  let uploads = 0;
  const server = createServer((incoming, outgoing) => {
    if (incoming.method === 'GET') {
      outgoing.writeHead(200, { 'content-length': sizeBytes });
      void pipeline(mode === 'durable' ? createReadStream(model) : chunksOf(body), outgoing);
      return;
    }
    uploads += 1;
    const file = path.join(dir, `upload-${uploads}`);
    const received = mode === 'durable' ? syncedFile(incoming, file).then(() => rm(file)) : read(incoming);
    void received.then(() => outgoing.end('ok'));
  });
  server.listen(0, '127.0.0.1', () => {
    const address = server.address();
    process.send?.({ port: typeof address === 'object' ? address?.port : 0 });
  });
}

function ask(port: number, method: 'GET' | 'PUT', body?: { from: Readable | Buffer[]; sizeBytes: number }) {
  return new Promise<IncomingMessage>((resolve, reject) => {
    const headers = body === undefined ? {} : { 'content-length': body.sizeBytes };
    const asked = request({ port, host: '127.0.0.1', method, headers }, resolve);
    asked.on('error', reject);
    if (body === undefined) asked.end();
    else pipeline(body.from, asked).catch(reject);
  });
}

async function exchange(port: number, sizeBytes: number): Promise<void> {
  const down = await ask(port, 'GET');
  const file = path.join(dir, `download-${process.pid}`);
  const got = mode === 'durable' ? await syncedFile(down, file).then(() => file) : await read(down);
  const from = typeof got === 'string' ? createReadStream(got) : got;
  await read(await ask(port, 'PUT', { from, sizeBytes }));
}

/** How long `clients` processes take to download and upload `sizeBytes` each, all at the same time, per repetition [ms]. */
export async function measureBare(options: {
  mode: BareMode;
  clients: number;
  sizeBytes: number;
  repetitions: number;
}): Promise<number[]> {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'lantern-bare-'));
  const start = (as: 'serve' | 'client', port: number) =>
    fork(import.meta.filename, [as, options.mode, String(port), String(options.sizeBytes), folder]);
  const server = start('serve', 0);
  const { port } = await message<{ port: number }>(server);
  const clients = Array.from({ length: options.clients }, () => start('client', port));
  await Promise.all(clients.map((client) => message(client)));
  const times: number[] = [];
  for (let repetition = 0; repetition < options.repetitions; repetition++) {
    const startMs = performance.now();
    await Promise.all(
      clients.map((client) => {
        client.send('go');
        return message(client);
      }),
    );
    times.push(performance.now() - startMs);
  }
  for (const child of [server, ...clients]) child.kill();
  await rm(folder, { recursive: true, force: true });
  return times;
}

function message<T>(child: ReturnType<typeof fork>): Promise<T> {
  return new Promise((resolve, reject) => {
    child.once('message', (value) => resolve(value as T));
    child.once('exit', (code) => reject(new Error(`a bare process ended with ${code ?? 'a signal'}`)));
  });
}

if (role === 'serve') await serve(Number(bytesText));
if (role === 'client') {
  process.on('message', () => void exchange(Number(portText), Number(bytesText)).then(() => process.send?.('done')));
  process.send?.('ready');
}
