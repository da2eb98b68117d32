import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type Chance, chanceFrom, fuzz, mutated } from '../../test/fuzzing.ts';
import { DicomError } from '../dicom-error.ts';
import { dataHeader, encodePdu, type Pdu } from './pdu.ts';
import { type Fragment, PduStream } from './pdu-stream.ts';

type Seen =
  | { readonly kind: 'pdu'; readonly pdu: Pdu }
  | { readonly kind: 'fragment'; readonly fragment: Fragment; readonly content: string }
  | { readonly kind: 'fault'; readonly code: string; readonly reason: number };

const PDU_BYTES_MAX = 4096;

/** All that a stream tells, with fragments put together again, so that it does not depend on the chunks. */
function seenIn(chunks: Iterable<Buffer>): Seen[] {
  const seen: Seen[] = [];
  let pieces: Buffer[] = [];
  const stream = new PduStream(
    {
      pdu: (pdu) => seen.push({ kind: 'pdu', pdu }),
      dataBegins: () => {},
      piece(fragment, bytes, isEnd) {
        pieces.push(bytes);
        if (!isEnd) return;
        seen.push({ kind: 'fragment', fragment, content: Buffer.concat(pieces).toString('hex') });
        pieces = [];
      },
      dataEnds: () => {},
      fault: ({ code }, reason) => seen.push({ kind: 'fault', code, reason }),
    },
    PDU_BYTES_MAX,
  );
  for (const chunk of chunks) stream.push(chunk);
  return seen;
}

function data(part: { contextId?: number; isCommand?: boolean; isLast?: boolean }, content: Buffer): Buffer {
  const { contextId = 1, isCommand = false, isLast = false } = part;
  return Buffer.concat([dataHeader({ contextId, isCommand, isLast, fragmentBytes: content.byteLength }), content]);
}

/** A P-DATA-TF PDU of several PDVs. */
function severalIn(...fragments: readonly Buffer[]): Buffer {
  const content = Buffer.concat(fragments.map((one) => one.subarray(6)));
  const header = Buffer.from('040000000000', 'hex');
  header.writeUInt32BE(content.byteLength, 2);
  return Buffer.concat([header, content]);
}

const REQUEST = encodePdu({
  type: 'associate-request',
  calledAe: 'US',
  callingAe: 'THEM',
  applicationContext: '1.2.840.10008.3.1.1.1',
  contexts: [{ id: 1, abstractSyntax: '1.2.840.10008.1.1', transferSyntaxes: ['1.2.840.10008.1.2'] }],
  user: { pduBytesMax: 0, implementationClassUid: '1.2.3', roles: [], others: [] },
});

function conversation(): Buffer {
  return Buffer.concat([
    REQUEST,
    data({ isCommand: true, isLast: true }, Buffer.from('command')),
    data({}, Buffer.from(Array.from({ length: 1000 }, (_, index) => index & 0xff))),
    severalIn(data({ contextId: 3 }, Buffer.from('abc')), data({ contextId: 3, isLast: true }, Buffer.alloc(0))),
    encodePdu({ type: 'release-request' }),
    encodePdu({ type: 'abort', source: 2, reason: 1 }),
  ]);
}

function* split(bytes: Buffer, next: Chance): Generator<Buffer> {
  let at = 0;
  while (at < bytes.byteLength) {
    const length = 1 + next(next(3) === 0 ? 3 : 300);
    yield bytes.subarray(at, at + length);
    at += length;
  }
}

describe('a stream of PDUs', () => {
  test('says the same wherever its chunks are cut', () => {
    const whole = seenIn([conversation()]);
    assert.deepEqual(
      whole.map((one) => (one.kind === 'pdu' ? one.pdu.type : one.kind)),
      ['associate-request', 'fragment', 'fragment', 'fragment', 'fragment', 'release-request', 'abort'],
    );
    assert.deepEqual(seenIn(Array.from(conversation(), (byte) => Buffer.from([byte]))), whole);
    for (let seed = 0; seed < 300; seed += 1) {
      assert.deepEqual(seenIn(split(conversation(), chanceFrom(seed))), whole, `seed ${seed}`);
    }
  });

  test('hands on views of the chunk, and copies nothing', () => {
    const chunk = data({ isLast: true }, Buffer.alloc(3000, 7));
    const buffers = new Set<ArrayBufferLike>();
    const sink = { pdu: () => {}, dataBegins: () => {}, dataEnds: () => {}, fault: () => assert.fail() };
    const piece = (_: Fragment, bytes: Buffer) => buffers.add(bytes.buffer);
    new PduStream({ ...sink, piece }, PDU_BYTES_MAX).push(chunk);
    assert.deepEqual([...buffers], [chunk.buffer]);
  });

  test('takes no memory for what is only announced', () => {
    const before = process.memoryUsage().arrayBuffers;
    const streams = Array.from({ length: 1000 }, () => {
      const sink = { pdu: () => {}, dataBegins: () => {}, dataEnds: () => {}, piece: () => {}, fault: () => {} };
      const stream = new PduStream(sink, PDU_BYTES_MAX);
      stream.push(Buffer.from('010000040000', 'hex')); // an A-ASSOCIATE-RQ of 256 KiB
      stream.push(Buffer.alloc(100));
      return stream;
    });
    const taken = process.memoryUsage().arrayBuffers - before;
    assert.ok(taken < streams.length * 8 * 1024, `${taken} bytes`);
  });

  test('ends at the first fault, with the reason that PS3.8 has for it', () => {
    const after = encodePdu({ type: 'release-request' });
    const cases: readonly [string, string, number][] = [
      ['090000000004', 'malformed', 1], // a type that there is not
      ['0400ffffffff', 'limit', 6], // longer than agreed
      ['0100ffffffff', 'limit', 6],
      ['050000000005', 'limit', 6],
      ['050000000000', 'malformed', 6], // empty
      ['040000000000', 'malformed', 6],
      ['04000000000600000003', 'malformed', 6], // a PDV longer than its PDU
      ['04000000000600000001', 'malformed', 6], // shorter than its own head
      ['0400000000080000000201020102', 'malformed', 6], // the rest has no room for a head
    ];
    for (const [hex, code, reason] of cases) {
      const bytes = Buffer.concat([Buffer.from(hex, 'hex'), Buffer.alloc(8), after]);
      const last = seenIn([bytes]).at(-1);
      assert.deepEqual(last, { kind: 'fault', code, reason }, hex);
    }
  });
});

describe('hostile bytes', () => {
  test('never crash a stream, stall it, or make it hold more than it was sent', async (t) => {
    let faults = 0;
    const cases = await fuzz(t, (chance) => {
      const bytes = mutated(conversation(), chance);
      const seen = seenIn(split(bytes, chance));
      const held = seen.reduce((sum, one) => sum + (one.kind === 'fragment' ? one.content.length / 2 : 0), 0);
      assert.ok(held <= bytes.byteLength);
      const found = seen.findIndex(({ kind }) => kind === 'fault');
      assert.ok(found === -1 || found === seen.length - 1, 'told after the fault');
      if (found !== -1) faults += 1;
      // The same whether it comes at once or in pieces: also what is broken.
      assert.deepEqual(seenIn([bytes]), seen);
    });
    if (cases >= 1000) assert.ok(faults > cases / 4, `only ${faults} of ${cases} were faulty`);
  });

  test('are told as an error of ours', () => {
    const stream = new PduStream(
      {
        pdu: () => {},
        dataBegins: () => {},
        dataEnds: () => {},
        piece: () => {},
        fault: (error) => assert.ok(error instanceof DicomError),
      },
      PDU_BYTES_MAX,
    );
    stream.push(Buffer.alloc(64, 0xff));
  });
});
