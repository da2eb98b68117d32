import assert from 'node:assert/strict';
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

  test('gives several pieces at once to a consumer that writes them in one go', async () => {
    const { stream } = streamWithFlow();
    for (const text of ['a', 'b', 'c']) stream.push(Buffer.from(text));
    stream.end();
    const batches: string[][] = [];
    for await (const batch of stream.batches()) batches.push(batch.map(String));
    assert.deepEqual(batches, [['a', 'b', 'c']]);
  });

  test('holds the sender back when much waits, be it in large pieces or in many tiny ones', async () => {
    const large = streamWithFlow();
    for (let count = 0; count < 4; count += 1) large.stream.push(Buffer.alloc(100_000));
    assert.ok(!large.flow.isPaused);
    for (let count = 0; count < 4; count += 1) large.stream.push(Buffer.alloc(100_000));
    assert.ok(large.flow.isPaused);
    const iterator = large.stream.batches();
    await iterator.next();
    assert.ok(!large.flow.isPaused);

    const tiny = streamWithFlow();
    for (let count = 0; count < 2_000; count += 1) tiny.stream.push(Buffer.alloc(1));
    assert.ok(tiny.flow.isPaused);
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
    stream.push(Buffer.alloc(11));
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
