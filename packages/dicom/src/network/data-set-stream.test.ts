import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, test } from 'node:test';
import { DicomError } from '../dicom-error.ts';
import { DataSetStream } from './data-set-stream.ts';

function streamWithFlow() {
  const flow = {
    isPaused: false,
    pause() {
      this.isPaused = true;
    },
    resume() {
      this.isPaused = false;
    },
  };
  return { flow, stream: new DataSetStream(flow) };
}

describe('a data set that arrives', () => {
  test('comes in order, whether the consumer is before or behind the sender', async () => {
    const { stream } = streamWithFlow();
    stream.push(Buffer.from('ab'));
    stream.push(Buffer.from('cd'));
    const whole = stream.whole(100);
    setImmediate(() => {
      stream.push(Buffer.from('ef'));
      setImmediate(() => stream.end());
    });
    assert.equal((await whole).toString(), 'abcdef');
  });

  test('gives many pieces as one to a consumer that writes them in one go', async () => {
    const { stream } = streamWithFlow();
    for (const text of ['a', 'b', 'c']) stream.push(Buffer.from(text));
    stream.end();
    const pieces: string[] = [];
    for await (const piece of stream) pieces.push(String(piece));
    assert.deepEqual(pieces, ['abc']);
  });

  test('does not mind what becomes of the memory it came in, nor its consumer of what comes next', async () => {
    const { stream } = streamWithFlow();
    const sent = randomBytes(5_000_000);
    const reading = (async () => {
      const pieces: Buffer[] = [];
      for await (const piece of stream) {
        await new Promise((resolve) => setImmediate(resolve)); // the next arrives meanwhile
        pieces.push(Buffer.from(piece));
      }
      return Buffer.concat(pieces);
    })();
    for (let at = 0; at < sent.byteLength; at += 60_001) {
      const chunk = Buffer.from(sent.subarray(at, at + 60_001));
      stream.push(chunk);
      chunk.fill(0);
      await new Promise((resolve) => setImmediate(resolve));
    }
    stream.end();
    assert.ok((await reading).equals(sent));
  });

  test('holds the sender back when much waits', async () => {
    const { flow, stream } = streamWithFlow();
    for (let count = 0; count < 10; count += 1) stream.push(Buffer.alloc(100_000));
    assert.ok(!flow.isPaused);
    stream.push(Buffer.alloc(100_000));
    assert.ok(flow.isPaused);
    await stream[Symbol.asyncIterator]().next();
    assert.ok(!flow.isPaused);
  });

  test('that breaks off is an error after what came before it', async () => {
    const { stream } = streamWithFlow();
    stream.push(Buffer.from('ab'));
    stream.end(new DicomError('network', 'lost'));
    const seen: string[] = [];
    await assert.rejects(async () => {
      for await (const piece of stream) seen.push(String(piece));
    }, /lost/);
    assert.deepEqual(seen, ['ab']);
  });

  test('that is longer than its consumer wants is refused, and what still comes holds nobody back', async () => {
    const { flow, stream } = streamWithFlow();
    stream.push(Buffer.alloc(1_000_000));
    await assert.rejects(stream.whole(10), (error) => error instanceof DicomError && error.code === 'limit');
    for (let count = 0; count < 10; count += 1) stream.push(Buffer.alloc(100_000));
    assert.ok(!flow.isPaused);
  });

  test('is dropped to its end, also while a consumer still waits for it', async () => {
    const { stream } = streamWithFlow();
    const whole = stream.whole(100);
    await new Promise((resolve) => setImmediate(resolve));
    const dropped = stream.drop();
    stream.push(Buffer.from('ab'));
    stream.end();
    await dropped;
    assert.equal((await whole).byteLength, 0);
  });
});
