import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { fuzz, mutated } from '../../test/fuzzing.ts';
import { DicomError } from '../dicom-error.ts';
import { readMultipart, writeMultipart } from './multipart.ts';

const BOUNDARY = 'the=boundary';

type Seen = { headers: Record<string, string>; body: string; fault: string | undefined };

/** Chunks that are overwritten when the next is asked for, as the HTTP server gives them. */
async function* chunked(bytes: Buffer, sizeOf: () => number): AsyncGenerator<Uint8Array> {
  const memory = Buffer.alloc(bytes.byteLength);
  for (let at = 0; at < bytes.byteLength; ) {
    const length = Math.min(Math.max(1, sizeOf()), bytes.byteLength - at);
    bytes.copy(memory, 0, at, at + length);
    yield memory.subarray(0, length);
    memory.fill(0xaa);
    at += length;
  }
}

async function partsOf(text: string | Buffer, options: { chunkBytes?: () => number; boundary?: string } = {}) {
  const { chunkBytes = () => 7, boundary = BOUNDARY } = options;
  const source = chunked(Buffer.isBuffer(text) ? text : Buffer.from(text, 'latin1'), chunkBytes);
  const seen: Seen[] = [];
  for await (const { headers, body, fault } of readMultipart(source, boundary)) {
    const pieces: Buffer[] = [];
    for await (const piece of body) pieces.push(piece);
    const content = Buffer.concat(pieces).toString('latin1');
    seen.push({ headers: Object.fromEntries(headers), body: content, fault: fault?.code });
  }
  return seen;
}

const part = (body: string, headers: Record<string, string> = {}): Seen => ({ headers, body, fault: undefined });

describe('a multipart body', () => {
  test('is read part by part, with preamble and epilogue dropped, wherever its chunks end', async () => {
    const text = [
      'This is for old mail programs.\r\n--the=boundary is near\r\n',
      '--the=boundary \t\r\nContent-Type: application/dicom;\r\n transfer-syntax=1.2\r\nX-Y :  z \r\n\r\n',
      'first\r\n--the=boundar\r\n-- \n\r\n',
      '\r\n--the=boundary\r\n\r\n\r\n\r\nsecond\r',
      '\r\n--the=boundary\r\nA: b\r\n\r\n',
      '--the=boundary--and what follows\r\n--the=boundary\r\n\r\nnot a part',
    ].join('');
    const expected = [
      part('first\r\n--the=boundar\r\n-- \n\r\n', {
        'content-type': 'application/dicom; transfer-syntax=1.2',
        'x-y': 'z',
      }),
      part('\r\n\r\nsecond\r'),
      part('', { a: 'b' }),
    ];
    for (let bytes = 1; bytes < 120; bytes += 1)
      assert.deepEqual(await partsOf(text, { chunkBytes: () => bytes }), expected);
  });

  test('whose lines end with LF alone keeps a CR that ends a body', async () => {
    const text = '--the=boundary\nA: b\n\nfirst\r\n--the=boundary\n\nsecond\n\n--the=boundary--';
    assert.deepEqual(await partsOf(text), [part('first\r', { a: 'b' }), part('second\n')]);
  });

  test('keeps lines of the content that only begin like the boundary', async () => {
    const content = 'a\r\n--the=boundary-\r\n--the=boundaryx\r\n--the=boundary  x\r\nb';
    assert.deepEqual(await partsOf(`--the=boundary\r\n\r\n${content}\r\n--the=boundary--`), [part(content)]);
  });

  test('passes over a part whose head is no head, or too long, and gives the others', async () => {
    const text = [
      '--the=boundary\r\nno header at all\r\n\r\nfirst',
      `--the=boundary\r\nX: ${'x'.repeat(20_000)}\r\n\r\nsecond`,
      '--the=boundary\r\n\r\nthird',
      '--the=boundary--',
    ].join('\r\n');
    const seen = await partsOf(text, { chunkBytes: () => 1000 });
    assert.deepEqual(
      seen.map(({ fault }) => fault),
      ['malformed', 'limit', undefined],
    );
    assert.equal(seen[2]?.body, 'third');
  });

  test('that nobody reads to the end of a part goes on with the next', async () => {
    const body = `--the=boundary\r\n\r\n${'x'.repeat(5000)}\r\n--the=boundary\r\n\r\nsecond\r\n--the=boundary--`;
    const beginnings: string[] = [];
    for await (const one of readMultipart(
      chunked(Buffer.from(body), () => 100),
      BOUNDARY,
    )) {
      for await (const piece of one.body) {
        beginnings.push(piece.toString('latin1', 0, 6));
        break;
      }
    }
    assert.deepEqual(beginnings, ['xxxxxx', 'second']);
  });

  test('gives nothing more of a part when the next has begun', async () => {
    const text = '--the=boundary\r\n\r\nfirst\r\n--the=boundary\r\n\r\nsecond\r\n--the=boundary--';
    const parts = readMultipart(
      chunked(Buffer.from(text), () => 9),
      BOUNDARY,
    );
    const first = (await parts.next()).value;
    const second = (await parts.next()).value;
    const contentOf = async (body: AsyncIterable<Buffer>) => {
      const pieces: Buffer[] = [];
      for await (const piece of body) pieces.push(piece);
      return Buffer.concat(pieces).toString();
    };
    assert.equal(await contentOf(first?.body), '');
    assert.equal(await contentOf(second?.body), 'second');
  });

  test('that ends early is truncated, also in the middle of its last delimiter', async () => {
    const text = '--the=boundary\r\nA: b\r\n\r\nfirst\r\n--the=boundary--';
    for (let bytes = 1; bytes < text.length; bytes += 1) {
      const code = bytes < 16 ? /malformed/ : /truncated/;
      await assert.rejects(
        partsOf(text.slice(0, bytes)),
        (thrown) => thrown instanceof DicomError && code.test(thrown.code),
      );
    }
    assert.deepEqual(await partsOf(text), [part('first', { a: 'b' })]);
  });

  test('without its boundary, or with one that is none, is refused', async () => {
    await assert.rejects(partsOf('--another\r\n\r\nx\r\n--another--'), { code: 'malformed' });
    for (const boundary of ['', 'a '.repeat(3), 'x'.repeat(71), 'a\r\nb', 'ü']) {
      await assert.rejects(partsOf(`--${boundary}--`, { boundary }), { code: 'malformed' });
    }
    assert.equal((await partsOf(`--${'x'.repeat(70)}--`, { boundary: 'x'.repeat(70) })).length, 0);
  });

  test('is bounded in its number of parts', async () => {
    const text = `${'--the=boundary\r\n\r\n'.repeat(100_001)}--the=boundary--`;
    await assert.rejects(partsOf(text, { chunkBytes: () => 64 * 1024 }), { code: 'limit' });
  });

  test('that is written is read back', async () => {
    const contents = [
      Buffer.from('\r\n--the=boundarx\r\n'),
      Buffer.alloc(0),
      Buffer.from(Array.from({ length: 256 }, (_, byte) => byte)),
    ];
    const pieces: Uint8Array[] = [];
    const parts = contents.map((content, index) => ({
      contentType: `image/${index}`,
      ...(index === 1 ? { location: '/here' } : {}),
      body: [content],
    }));
    for await (const piece of writeMultipart(parts, BOUNDARY)) pieces.push(piece);
    const seen = await partsOf(Buffer.concat(pieces), { chunkBytes: () => 3 });
    assert.deepEqual(
      seen,
      contents.map((content, index) =>
        part(content.toString('latin1'), {
          'content-type': `image/${index}`,
          ...(index === 1 ? { 'content-location': '/here' } : {}),
        }),
      ),
    );
    const empty: Uint8Array[] = [];
    for await (const piece of writeMultipart([], BOUNDARY)) empty.push(piece);
    assert.deepEqual(await partsOf(Buffer.concat(empty)), []);
  });
});

/** Pieces that delimiters and heads are made of, so that chance makes many that are nearly right. */
const PIECES = [
  '\r\n',
  '\n',
  '\r',
  '--',
  '-',
  'the=boundary',
  '--the=boundary',
  '\r\n--the=boundary',
  ' ',
  '\t',
  ':',
  'A: b',
  'x',
];

/** Two parts with heads and bodies, as clients send them. */
const SENT = Buffer.from(
  [
    '\r\n--the=boundary\r\nContent-Type: application/dicom\r\nContent-Location: /a\r\n\r\n',
    `${'0123456789'.repeat(30)}\r\n--the=boundar\r\n`,
    '\r\n--the=boundary \r\nContent-Type: image/jpeg;\r\n transfer-syntax=1.2\r\n\r\nsecond\r\n--the=boundary--\r\n',
  ].join(''),
);
/** Two delimiters and the longest head of a part; the bodies of these tests are shorter. */
const HELD_BYTES_MAX = 24 * 1024;

test('bodies of chance, and such that are nearly right, give the same parts however they are cut, or are refused the same way', async (t) => {
  const outcomes = new Map<string, number>();
  const outcome = async (bytes: Buffer, chunkBytes: () => number) => {
    try {
      return JSON.stringify(await partsOf(bytes, { chunkBytes }));
    } catch (caught) {
      if (caught instanceof DicomError) return caught.code;
      throw caught;
    }
  };
  const cases = await fuzz(t, async (chance) => {
    const pieces = Array.from({ length: chance(24) }, () => PIECES[chance(PIECES.length)] ?? '');
    const ofChance = `${chance(2) === 0 ? '--the=boundary\r\n' : ''}${pieces.join('')}`;
    const bytes = chance(2) === 0 ? Buffer.from(ofChance, 'latin1') : mutated(SENT, chance);
    const whole = await outcome(bytes, () => bytes.byteLength);
    const cut = await outcome(bytes, () => 1 + chance(chance(2) === 0 ? 5 : 200));
    assert.equal(cut, whole, JSON.stringify(bytes.toString('latin1')));
    const kind = whole.startsWith('[') ? 'read' : whole;
    outcomes.set(kind, (outcomes.get(kind) ?? 0) + 1);
  });
  t.diagnostic(JSON.stringify(Object.fromEntries(outcomes)));
  if (cases < 1000) return; // one that is run again
  for (const kind of ['read', 'truncated', 'malformed']) {
    assert.ok((outcomes.get(kind) ?? 0) > cases / 200, `too few were ${kind}`);
  }
});

test('what is never ended is passed on, dropped or refused as it comes: nothing is gathered', async (t) => {
  const endless = [
    '\r\n--the=boundary',
    '--the=boundary\r\n',
    '\n',
    '\r',
    'a: b\r\n',
    ' ',
    'x',
    '--the=boundary\r\n\r\n\r',
  ];
  await fuzz(t, async (chance) => {
    const repeated = Buffer.from(endless[chance(endless.length)] ?? '', 'latin1');
    const chunk = Buffer.alloc(1 + chance(16 * 1024), repeated);
    const first = Buffer.from(chance(2) === 0 ? '--the=boundary\r\n' : '--the=boundary\r\nA: b\r\n\r\n');
    let [sent, passed] = [0, 0];
    async function* source() {
      yield first;
      for (let count = 0; sent < 256 * 1024 && count < 1000; count += 1, sent += chunk.byteLength) yield chunk;
    }
    try {
      for await (const { body } of readMultipart(source(), BOUNDARY)) {
        for await (const piece of body) {
          passed += piece.byteLength;
          assert.ok(piece.byteLength <= chunk.byteLength + HELD_BYTES_MAX, `${piece.byteLength} bytes at once`);
        }
      }
    } catch (caught) {
      if (!(caught instanceof DicomError)) throw caught;
    }
    assert.ok(passed <= sent + first.byteLength);
  });
});
