/**
 * A plain receiver in this language that keeps what is promised, and does nothing of DICOM: it takes bytes from sockets,
 * hashes them, writes and syncs a file, commits a row in batches, and answers with one byte. Made to take little processor time, which
 * is what it is measured for, and not to be quick over many connections.
 *
 *   node floor-child.ts FOLDER INSTANCE_BYTES        prints its port
 */
import { createHash, randomBytes } from 'node:crypto';
import { closeSync, constants, fdatasyncSync, ftruncateSync, openSync, writeSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import path from 'node:path';
import { openTestDatabase } from '@lantern/service';

const [folder = '', instanceBytes = ''] = process.argv.slice(2);
const BYTES = Number(instanceBytes);
const SECTOR_BYTES = 4096;
const WASM_PAGE_BYTES = 64 * 1024;
const NEW_FILE_FLAGS = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_DIRECT;

declare const WebAssembly: {
  readonly Memory: new (size: { readonly initial: number }) => { readonly buffer: ArrayBuffer };
};

const database = await openTestDatabase('bench-dicom-floor');
await database.pool.query('create table instance (name text primary key, digest bytea not null)');

type Row = { readonly name: string; readonly digest: string; readonly done: () => void };
let waiting: Row[] = [];
let isCommitting = false;

async function commitWaiting(): Promise<void> {
  isCommitting = true;
  while (waiting.length > 0) {
    const rows = waiting;
    waiting = [];
    await database.pool.query(
      "insert into instance select name, decode(digest, 'hex') from unnest($1::text[], $2::text[]) as row (name, digest)",
      [rows.map(({ name }) => name), rows.map(({ digest }) => digest)],
    );
    for (const { done } of rows) done();
  }
  isCommitting = false;
}

function commit(name: string, digest: string): Promise<void> {
  return new Promise((done) => {
    waiting.push({ name, digest, done });
    if (!isCommitting) void commitWaiting();
  });
}

/** Without a hop to another thread, each of which costs more than most of these calls: other connections wait meanwhile. */
async function keep(content: Buffer): Promise<void> {
  const digest = createHash('sha256').update(content.subarray(0, BYTES)).digest('hex');
  const name = randomBytes(12).toString('hex');
  const descriptor = openSync(path.join(folder, name), NEW_FILE_FLAGS, 0o600);
  writeSync(descriptor, content);
  ftruncateSync(descriptor, BYTES);
  fdatasyncSync(descriptor);
  closeSync(descriptor);
  await commit(name, digest);
}

function serve(socket: Socket): void {
  socket.setNoDelay(true);
  // One instance after the other, as an association sends them; aligned, as direct writes want it.
  const { buffer } = new WebAssembly.Memory({ initial: Math.ceil(BYTES / WASM_PAGE_BYTES) });
  const content = Buffer.from(buffer, 0, Math.ceil(BYTES / SECTOR_BYTES) * SECTOR_BYTES);
  let usedBytes = 0;
  socket.on('data', (chunk: Buffer) => {
    usedBytes += chunk.copy(content, usedBytes);
    if (usedBytes < BYTES) return;
    usedBytes = 0;
    void keep(content).then(() => socket.write('.'));
  });
  socket.on('error', () => socket.destroy());
}

const server = createServer(serve);
server.listen(0, '127.0.0.1', () => {
  const address = server.address();
  process.stdout.write(`${typeof address === 'object' ? address?.port : ''}\n`);
});
process.once('SIGTERM', () => {
  server.close();
  void database.close().then(() => process.exit(0));
});
