import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { AppError, type Digest, isDigest } from '@lantern/contract';
import { type BlobStore, openBlobStore } from './blob-store.ts';

function sha256(...parts: Uint8Array[]): Digest {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  const hex = hash.digest('hex');
  assert.ok(isDigest(hex));
  return hex;
}

async function* pieces(...parts: Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* parts;
}

/** A source that breaks after its parts, like a line that is cut. */
async function* cutAfter(...parts: Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* parts;
  throw new AppError('peer.unreachable', 'the line was cut');
}

async function textOf(store: BlobStore, digest: Digest, range?: { start?: number; end?: number }): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of store.read(digest, range)) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks).toString();
}

/** What is neither stored nor gone. */
async function remains(dir: string): Promise<string[]> {
  return [...(await readdir(join(dir, 'incoming'))), ...(await readdir(join(dir, 'uploads')))];
}

describe('the blob store', () => {
  let dir: string;
  let store: BlobStore;

  before(async () => {
    dir = await mkdtemp(join(tmpdir(), 'lantern-blobs-'));
    store = await openBlobStore({ dir, sizeBytesMax: 8_000_000 });
  });
  after(() => rm(dir, { recursive: true, force: true }));

  test('a blob is named by the SHA-256 of its bytes, as published for "abc"', async () => {
    const { digest, sizeBytes } = await store.put(Buffer.from('abc'));
    // FIPS 180-4 example, NIST "SHA256.pdf".
    assert.equal(digest, 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad');
    assert.equal(sizeBytes, 3);
    assert.equal(await readFile(join(dir, 'objects', 'ba', '78', digest), 'utf8'), 'abc');
  });

  test('the same content from a stream and at once is one blob', async () => {
    const [a, b] = [randomBytes(70_001), randomBytes(12_345)];
    const streamed = await store.put(pieces(a, new Uint8Array(0), b));
    const whole = await store.put(Buffer.concat([a, b]));
    assert.deepEqual(streamed, { digest: sha256(a, b), sizeBytes: 82_346 });
    assert.deepEqual(whole, streamed);
    assert.deepEqual(await store.stat(whole.digest), { sizeBytes: 82_346 });
  });

  test('an empty blob is a blob', async () => {
    const { digest } = await store.put(pieces());
    assert.equal(digest, 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855');
    assert.equal(await textOf(store, digest), '');
    assert.equal((await store.readAll(digest, 0)).length, 0);
  });

  test('twenty puts of the same content at once leave one whole blob', async () => {
    const content = randomBytes(300_000);
    const stored = await Promise.all(Array.from({ length: 20 }, () => store.put(pieces(content))));
    assert.equal(new Set(stored.map(({ digest }) => digest)).size, 1);
    await store.verify(sha256(content));
    assert.deepEqual(await remains(dir), []);
  });

  test('a range is read from start up to but without end', async () => {
    const { digest } = await store.put(Buffer.from('0123456789'));
    assert.equal(await textOf(store, digest, { start: 2, end: 5 }), '234');
    assert.equal(await textOf(store, digest, { start: 7 }), '789');
    assert.equal(await textOf(store, digest, { end: 1 }), '0');
    assert.equal(await textOf(store, digest), '0123456789');
  });

  test('content with another digest than expected is refused and leaves nothing', async () => {
    const content = randomBytes(5_000);
    const expected = sha256(Buffer.from('something else'));
    await assert.rejects(store.putExpected(expected, pieces(content)), { code: 'input.digest-mismatch' });
    assert.equal(await store.has(expected), false);
    assert.equal(await store.has(sha256(content)), false);
    assert.deepEqual(await remains(dir), []);
    assert.deepEqual(await store.putExpected(sha256(content), content), { digest: sha256(content), sizeBytes: 5_000 });
  });

  test('a source that breaks off leaves nothing and its own error', async () => {
    await assert.rejects(store.put(cutAfter(randomBytes(9_000))), { code: 'peer.unreachable' });
    assert.deepEqual(await remains(dir), []);
  });

  test('more bytes than the limit are refused, while they come', async () => {
    let pulledCount = 0;
    const endless = async function* () {
      for (;;) {
        pulledCount += 1;
        yield new Uint8Array(1_000_000);
      }
    };
    await assert.rejects(store.put(endless()), { code: 'input.too-large' });
    assert.equal(pulledCount, 9);
    assert.deepEqual(await remains(dir), []);
  });

  test('a writer stores what it was given, or nothing when aborted', async () => {
    const writer = await store.createWriter();
    await writer.write(Buffer.from('first '));
    await writer.write(Buffer.from('second'));
    const { digest } = await writer.finish();
    await writer.abort();
    assert.equal(await textOf(store, digest), 'first second');
    const aborted = await store.createWriter();
    await aborted.write(Buffer.from('never'));
    await aborted.abort();
    assert.equal(await store.has(sha256(Buffer.from('never'))), false);
    assert.deepEqual(await remains(dir), []);
  });

  test('a reader fills memory of the caller from any offset and says how much there was', async () => {
    const content = randomBytes(10_007);
    const { digest } = await store.put(content);
    const reader = await store.openReader(digest);
    const memory = new Uint8Array(new SharedArrayBuffer(64), 8, 16);
    assert.equal(reader.sizeBytes, 10_007);
    assert.equal(reader.readInto(memory, 4_001), 16);
    assert.deepEqual([...memory], [...content.subarray(4_001, 4_017)]);
    assert.equal(reader.readInto(memory, 10_000), 7);
    assert.equal(reader.readInto(memory, 10_007), 0);
    reader.close();
    reader.close();
  });

  test('reading all is refused above the caller’s limit', async () => {
    const { digest } = await store.put(Buffer.from('0123456789'));
    await assert.rejects(store.readAll(digest, 9), { code: 'input.too-large' });
    assert.equal(Buffer.from(await store.readAll(digest, 10)).toString(), '0123456789');
  });

  test('a blob that is not there is not found; removing it twice is fine', async () => {
    const { digest } = await store.put(Buffer.from('short-lived'));
    await store.remove(digest);
    await store.remove(digest);
    assert.equal(await store.stat(digest), undefined);
    await assert.rejects(textOf(store, digest), { code: 'ENOENT' });
    for (const ask of [() => store.readAll(digest, 99), () => store.openReader(digest), () => store.verify(digest)]) {
      await assert.rejects(ask, { code: 'not-found' });
    }
  });

  test('a changed byte on the disk is found by verify', async () => {
    const content = randomBytes(400_000);
    const { digest } = await store.put(content);
    await store.verify(digest);
    content[399_999] = (content[399_999] ?? 0) ^ 1;
    await writeFile(store.pathOf(digest), content);
    await assert.rejects(store.verify(digest), { code: 'storage.corrupt' });
    await store.remove(digest);
  });

  test('nothing but a digest becomes part of a path', async () => {
    for (const name of ['../../etc/passwd', 'AB'.repeat(32), 'ab'.repeat(31), `${'ab'.repeat(31)}/.`, '']) {
      const digest = name as Digest;
      assert.throws(() => store.read(digest), { code: 'input.invalid' }, name);
      await assert.rejects(store.remove(digest), { code: 'input.invalid' }, name);
      await assert.rejects(store.uploadOffset(digest), { code: 'input.invalid' }, name);
      const append = { offset: 0, totalBytes: 1, body: pieces(Buffer.from('x')) };
      await assert.rejects(store.appendUpload(digest, append), { code: 'input.invalid' }, name);
    }
  });
});

describe('a resumable upload', () => {
  let dir: string;

  before(async () => {
    dir = await mkdtemp(join(tmpdir(), 'lantern-uploads-'));
  });
  after(() => rm(dir, { recursive: true, force: true }));

  const open = () => openBlobStore({ dir, sizeBytesMax: 5_000_000 });

  test('goes on where the line was cut, also after a restart, and ends as a blob', async () => {
    const content = randomBytes(1_000_003);
    const digest = sha256(content);
    const totalBytes = content.length;
    const first = await open();
    assert.equal(await first.uploadOffset(digest), 0);
    const cut = cutAfter(content.subarray(0, 300_000), content.subarray(300_000, 400_001));
    await assert.rejects(first.appendUpload(digest, { offset: 0, totalBytes, body: cut }), {
      code: 'peer.unreachable',
    });
    assert.equal(await first.uploadOffset(digest), 400_001);
    const second = await first.appendUpload(digest, {
      offset: 400_001,
      totalBytes,
      body: pieces(content.subarray(400_001, 700_000)),
    });
    assert.deepEqual(second, { offset: 700_000, complete: false });

    const restarted = await open();
    assert.equal(await restarted.uploadOffset(digest), 700_000);
    assert.equal(await restarted.has(digest), false);
    const last = await restarted.appendUpload(digest, {
      offset: 700_000,
      totalBytes,
      body: pieces(content.subarray(700_000)),
    });
    assert.deepEqual(last, { offset: 1_000_003, complete: true });
    await restarted.verify(digest);
    assert.deepEqual(await remains(dir), []);
  });

  test('of wrong bytes is dropped at its last byte and can start again', async () => {
    const store = await open();
    const content = randomBytes(50_000);
    const digest = sha256(content);
    const altered = Buffer.from(content);
    altered[20_000] = (altered[20_000] ?? 0) ^ 0x80;
    await store.appendUpload(digest, { offset: 0, totalBytes: 50_000, body: pieces(altered.subarray(0, 30_000)) });
    const rest = { offset: 30_000, totalBytes: 50_000, body: pieces(altered.subarray(30_000)) };
    await assert.rejects(store.appendUpload(digest, rest), { code: 'input.digest-mismatch' });
    assert.equal(await store.uploadOffset(digest), 0);
    assert.equal(await store.has(digest), false);
    const again = await store.appendUpload(digest, { offset: 0, totalBytes: 50_000, body: pieces(content) });
    assert.equal(again.complete, true);
  });

  test('is refused at any other offset than the one it stands at, and stands there still', async () => {
    const store = await open();
    const content = randomBytes(900);
    const digest = sha256(content);
    await store.appendUpload(digest, { offset: 0, totalBytes: 900, body: pieces(content.subarray(0, 500)) });
    const at = (offset: number) =>
      store.appendUpload(digest, { offset, totalBytes: 900, body: pieces(content.subarray(500)) });
    for (const offset of [0, 499, 501]) await assert.rejects(at(offset), { code: 'conflict', field: 'offset' });
    for (const offset of [901, -1, 0.5, Number.NaN]) await assert.rejects(at(offset), { code: 'input.invalid' });
    assert.equal(await store.uploadOffset(digest), 500);
    assert.deepEqual(await at(500), { offset: 900, complete: true });
  });

  test('of more bytes than announced loses what that append brought, and nothing before', async () => {
    const store = await open();
    const content = Buffer.from('0123456789');
    const digest = sha256(content);
    await store.appendUpload(digest, { offset: 0, totalBytes: 10, body: pieces(content.subarray(0, 4)) });
    const long = { offset: 4, totalBytes: 10, body: pieces(content.subarray(4, 9), Buffer.from('xyz')) };
    await assert.rejects(store.appendUpload(digest, long), { code: 'input.too-large' });
    assert.equal(await store.uploadOffset(digest), 4);
    const rest = { offset: 4, totalBytes: 10, body: pieces(content.subarray(4)) };
    assert.deepEqual(await store.appendUpload(digest, rest), { offset: 10, complete: true });
    const huge = { offset: 0, totalBytes: 5_000_001, body: pieces() };
    await assert.rejects(store.appendUpload(sha256(randomBytes(9)), huge), { code: 'input.too-large' });
  });

  test('whose bytes fail their own check on the way goes back to where it stood', async () => {
    const store = await open();
    const content = randomBytes(2_000);
    const digest = sha256(content);
    await store.appendUpload(digest, { offset: 0, totalBytes: 2_000, body: pieces(content.subarray(0, 700)) });
    const garbled = (async function* () {
      yield randomBytes(300);
      throw new AppError('input.digest-mismatch', 'the body is not what its header says');
    })();
    const append = { offset: 700, totalBytes: 2_000, body: garbled };
    await assert.rejects(store.appendUpload(digest, append), { code: 'input.digest-mismatch' });
    assert.equal(await store.uploadOffset(digest), 700);
    const rest = { offset: 700, totalBytes: 2_000, body: pieces(content.subarray(700)) };
    assert.equal((await store.appendUpload(digest, rest)).complete, true);
  });

  test('takes one append after the other, so that two senders cannot interleave', async () => {
    const store = await open();
    const content = randomBytes(2_000);
    const digest = sha256(content);
    const gate = Promise.withResolvers<void>();
    const begun = Promise.withResolvers<void>();
    const slow = async function* () {
      yield content.subarray(0, 1_000);
      begun.resolve();
      await gate.promise;
      yield content.subarray(1_000);
    };
    const first = store.appendUpload(digest, { offset: 0, totalBytes: 2_000, body: slow() });
    await begun.promise;
    const second = store.appendUpload(digest, { offset: 0, totalBytes: 2_000, body: pieces(randomBytes(2_000)) });
    gate.resolve();
    assert.deepEqual(await first, { offset: 2_000, complete: true });
    assert.deepEqual(await second, { offset: 2_000, complete: true });
    await store.verify(digest);
  });

  test('whose last byte came just before a crash is completed by an empty append', async () => {
    const content = randomBytes(3_000);
    const digest = sha256(content);
    await mkdir(join(dir, 'uploads'), { recursive: true });
    await writeFile(join(dir, 'uploads', `${digest}.part`), content);
    const store = await open();
    assert.equal(await store.uploadOffset(digest), 3_000);
    const done = await store.appendUpload(digest, { offset: 3_000, totalBytes: 3_000, body: pieces() });
    assert.deepEqual(done, { offset: 3_000, complete: true });
    await store.verify(digest);
  });

  test('of a blob that is there already is complete, and its body is read to the end but not kept', async () => {
    const store = await open();
    const { digest } = await store.put(Buffer.from('known to all'));
    let isReadToEnd = false;
    const body = (async function* () {
      yield Buffer.from('other bytes!');
      isReadToEnd = true;
    })();
    const done = await store.appendUpload(digest, { offset: 0, totalBytes: 12, body });
    assert.deepEqual(done, { offset: 12, complete: true });
    assert.equal(isReadToEnd, true);
    await store.verify(digest);
  });

  test('is swept after a week without an append, and a broken write after an hour, but not before', async () => {
    const [old, young] = [sha256(Buffer.from('old')), sha256(Buffer.from('young'))];
    const store = await open();
    for (const digest of [old, young]) {
      await store.appendUpload(digest, { offset: 0, totalBytes: 99, body: pieces(Buffer.from('part')) });
    }
    const age = (file: string, hours: number) => {
      const then = new Date(Date.now() - hours * 3_600_000);
      return utimes(join(dir, file), then, then);
    };
    await age(join('uploads', `${old}.part`), 8 * 24);
    await age(join('uploads', `${young}.part`), 6 * 24);
    for (const name of ['fresh.tmp', 'stale.tmp']) await writeFile(join(dir, 'incoming', name), 'x');
    await age(join('incoming', 'stale.tmp'), 2);
    const reopened = await open();
    assert.equal(await reopened.uploadOffset(old), 0);
    assert.equal(await reopened.uploadOffset(young), 4);
    assert.deepEqual(await readdir(join(dir, 'incoming')), ['fresh.tmp']);
  });
});

describe('trouble of the machine', () => {
  test('blobs that were acknowledged before kill -9 are there and whole afterwards', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'lantern-killed-'));
    const child = spawn(process.execPath, [fileURLToPath(new URL('test-blob-putter.ts', import.meta.url)), dir], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const acknowledged: Digest[] = [];
    for await (const line of createInterface(child.stdout)) {
      assert.ok(isDigest(line));
      acknowledged.push(line);
      if (acknowledged.length === 60) child.kill('SIGKILL');
    }
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    assert.ok(acknowledged.length >= 60);
    const store = await openBlobStore({ dir });
    for (const digest of acknowledged) await store.verify(digest);
    assert.ok((await remains(dir)).length <= 1, 'at most the one write that was cut off');
    await rm(dir, { recursive: true, force: true });
  });

  test('with less free space than the reserve new content is refused, and what is there stays readable', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'lantern-reserve-'));
    const { digest } = await (await openBlobStore({ dir })).put(Buffer.from('kept'));
    const store = await openBlobStore({ dir, freeBytesMin: Number.MAX_SAFE_INTEGER });
    await assert.rejects(store.put(Buffer.from('new')), { code: 'storage.full' });
    const append = { offset: 0, totalBytes: 3, body: pieces(Buffer.from('new')) };
    await assert.rejects(store.appendUpload(sha256(Buffer.from('new')), append), { code: 'storage.full' });
    assert.equal(await textOf(store, digest), 'kept');
    await rm(dir, { recursive: true, force: true });
  });

  test('a disk that runs full while writing refuses the blob, drops its remains and takes the next that fits', async (t) => {
    const dir = await mkdtemp(join(tmpdir(), 'lantern-full-'));
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=2m', 'tmpfs', dir], { stdio: 'pipe' });
    } catch (caught) {
      t.skip(
        `a small file system cannot be mounted here: ${caught instanceof Error ? caught.message.split('\n')[0] : ''}`,
      );
      await rm(dir, { recursive: true, force: true });
      return;
    }
    try {
      const store = await openBlobStore({ dir, freeBytesMin: 0 });
      const kept = await store.put(randomBytes(500_000));
      const chunk = randomBytes(400_000);
      const large = () => pieces(chunk, chunk, chunk, chunk, chunk, chunk);
      await assert.rejects(store.put(large()), { code: 'storage.full' });
      assert.deepEqual(await remains(dir), []);
      const digest = sha256(chunk, chunk);
      const cut = { offset: 0, totalBytes: 800_000, body: cutAfter(chunk) };
      await assert.rejects(store.appendUpload(digest, cut), { code: 'peer.unreachable' });
      assert.equal(await store.uploadOffset(digest), 400_000);
      const filled = (async function* () {
        yield chunk.subarray(0, 50_000);
        await writeFile(join(dir, 'filler'), randomBytes(980_000)); // after the question for space was answered
        yield chunk.subarray(50_000);
      })();
      await assert.rejects(store.appendUpload(digest, { offset: 400_000, totalBytes: 800_000, body: filled }), {
        code: 'storage.full',
        message: 'The disk or quota is full.',
      });
      assert.equal(await store.uploadOffset(digest), 400_000);
      await rm(join(dir, 'filler'));
      const rest = { offset: 400_000, totalBytes: 800_000, body: pieces(chunk) };
      assert.equal((await store.appendUpload(digest, rest)).complete, true);
      await store.verify(digest);
      await store.verify(kept.digest);
      await store.verify((await store.put(randomBytes(200_000))).digest);
    } finally {
      execFileSync('umount', [dir]);
      await rm(dir, { recursive: true, force: true });
    }
  });
});
