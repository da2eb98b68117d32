/**
 * Files that are nearly right, and files of chance, against the reader of data sets: in every encoding that a transfer syntax can
 * have. Each must be read or be refused with an error of ours, in time and within memory, and what was read can be shown and written.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { deflateRawSync, inflateRawSync } from 'node:zlib';
import { memorySource } from '../src/byte-source.ts';
import type { Element } from '../src/data-set.ts';
import { bytesOf, encodeDataSet } from '../src/data-set-writer.ts';
import { DicomError } from '../src/dicom-error.ts';
import { dicomJson } from '../src/dicom-json.ts';
import { readHead, readPart10 } from '../src/part10.ts';
import { readIncomingFile } from '../src/part10-stream.ts';
import { EXPLICIT_BIG_ENDIAN, EXPLICIT_LITTLE_ENDIAN, IMPLICIT_LITTLE_ENDIAN } from '../src/transfer-syntax.ts';
import type { Vr } from '../src/vr.ts';
import { type Chance, fuzz, mutated } from './fuzzing.ts';
import { dataSetOf, element, fileBytes, SYNTAXES, sequence } from './object-bytes.ts';

const FIXTURES = path.resolve(import.meta.dirname, '../../../fixtures/dicom');
const DEFLATED = '1.2.840.10008.1.2.1.99';
const RLE = '1.2.840.10008.1.2.5';
const PREFIX_END = 132;

/** A file in two: `body` is the data set, inflated. */
type Sample = { readonly head: Buffer; readonly body: Buffer; readonly isDeflated: boolean };

/** Encapsulated ones are explicit little endian, but with fragments. */
const ENCODINGS = ['implicit', 'explicit', 'big endian', 'deflated', 'encapsulated'] as const;

function samplesOf(): Sample[] {
  const files = [FIXTURES, path.join(FIXTURES, 'pixels')].flatMap((folder) =>
    readdirSync(folder)
      .filter((name) => name.endsWith('.dcm'))
      .map((name) => readFileSync(path.join(folder, name))),
  );
  return files.map(sampleOf);
}

function sampleOf(bytes: Buffer): Sample {
  const hasMeta = bytes.toString('latin1', 128, PREFIX_END) === 'DICM';
  const start = hasMeta ? metaEnd(bytes) : 0;
  const [head, body] = [bytes.subarray(0, start), bytes.subarray(start)];
  const isDeflated = head.includes(DEFLATED);
  return { head, body: isDeflated ? inflateRawSync(body) : body, isDeflated };
}

/** Where the elements of group 2 end, which are explicit little endian with short lengths but for one. */
function metaEnd(bytes: Buffer): number {
  let at = PREFIX_END;
  while (at < bytes.byteLength && bytes.readUInt16LE(at) === 2) {
    const isLong = bytes.toString('latin1', at + 4, at + 6) === 'OB';
    at += isLong ? 12 + bytes.readUInt32LE(at + 8) : 8 + bytes.readUInt16LE(at + 6);
  }
  return at;
}

const VRS: readonly Vr[] = [
  'AE',
  'AT',
  'DS',
  'FD',
  'IS',
  'LO',
  'OB',
  'OW',
  'PN',
  'SS',
  'UI',
  'UL',
  'UN',
  'US',
  'UT',
  'SV',
];
/** SpecificCharacterSet, BitsAllocated, PixelRepresentation, PixelData: what decides how others are read. */
const TELLING_TAGS = [0x00080005, 0x00280100, 0x00280103, 0x7fe00010];
const CHARACTER_SETS = ['ISO_IR 192', '\\ISO 2022 IR 87', 'GB18030', 'ISO 2022 IR 149', 'no such'];

function elementsOf(chance: Chance, depth: number): Element[] {
  return Array.from({ length: chance(6) }, () => {
    const tag = ((8 + chance(0x60)) * 0x10000 + 0x0010 + chance(0x2000)) >>> 0;
    if (depth > 0 && chance(3) === 0) {
      return sequence(tag, ...Array.from({ length: chance(4) }, () => elementsOf(chance, depth - 1)));
    }
    if (chance(8) === 0) return element(0x00080005, 'CS', CHARACTER_SETS[chance(CHARACTER_SETS.length)] ?? '');
    const bytes = Buffer.from(Array.from({ length: chance(24) }, () => chance(256)));
    const isTelling = chance(6) === 0;
    return element(
      isTelling ? (TELLING_TAGS[chance(TELLING_TAGS.length)] ?? tag) : tag,
      VRS[chance(VRS.length)] ?? 'UN',
      bytes,
    );
  });
}

/** Nested as deep as no object is: past what is allowed. */
function deep(chance: Chance): Element {
  let inner: Element = element(0x00080060, 'CS', 'MR');
  for (let depth = chance(48); depth > 0; depth -= 1) inner = sequence(0x00081140 + chance(2), [inner]);
  return inner;
}

function generated(chance: Chance): Sample {
  const encoding = ENCODINGS[chance(ENCODINGS.length)];
  const syntaxes = { implicit: SYNTAXES.implicitLittle, 'big endian': SYNTAXES.explicitBig };
  const uids = { deflated: DEFLATED, encapsulated: RLE };
  const plain = encoding === 'implicit' || encoding === 'big endian' ? syntaxes[encoding] : SYNTAXES.explicitLittle;
  const uid = encoding === 'deflated' || encoding === 'encapsulated' ? uids[encoding] : plain.uid;
  const elements = [...elementsOf(chance, 6), ...(chance(4) === 0 ? [deep(chance)] : [])];
  const isEncapsulated = encoding === 'encapsulated';
  const kept = isEncapsulated ? elements.filter(({ tag }) => tag < 0x7fe00000) : elements;
  const fragments = Array.from({ length: chance(5) }, () => Buffer.alloc(2 * chance(40), chance(256)));
  const bytes = fileBytes(dataSetOf(kept), {
    syntax: { ...plain, uid },
    ...(isEncapsulated ? { fragments } : {}),
  });
  const start = metaEnd(bytes);
  return { head: bytes.subarray(0, start), body: bytes.subarray(start), isDeflated: encoding === 'deflated' };
}

function joined({ head, body, isDeflated }: Sample): Buffer {
  return Buffer.concat([head, isDeflated ? deflateRawSync(body, { level: 1 }) : body]);
}

/** Mostly within the data set; at times its meta information, or its deflated form. */
function spoilt(sample: Sample, chance: Chance): Buffer {
  if (chance(8) === 0) return mutated(joined(sample), chance, Math.min(PREFIX_END, sample.head.byteLength));
  const bytes = joined({ ...sample, body: mutated(sample.body, chance) });
  return chance(50) === 0 ? Buffer.concat([bytes, Buffer.alloc(chance(4000), chance(256))]) : bytes;
}

/** The code of the refusal, `undefined` for none. Anything but an error of ours is thrown on. */
function refusalOf(work: () => void): string | undefined {
  try {
    work();
    return undefined;
  } catch (caught) {
    if (caught instanceof DicomError) return caught.code;
    throw caught;
  }
}

function readAndUse(bytes: Buffer): void {
  const { dataSet, source, transferSyntax } = readPart10(memorySource(bytes), 64);
  refusalOf(() => dicomJson(dataSet));
  for (const uid of [IMPLICIT_LITTLE_ENDIAN, EXPLICIT_LITTLE_ENDIAN, EXPLICIT_BIG_ENDIAN]) {
    const encoding = { explicit: uid !== IMPLICIT_LITTLE_ENDIAN, littleEndian: uid !== EXPLICIT_BIG_ENDIAN };
    refusalOf(() => {
      const written = Buffer.concat([...bytesOf(encodeDataSet(dataSet, encoding), source)]);
      // Defined lengths and odd ones, group lengths, and repetitions go; nothing else may make it longer.
      assert.ok(
        written.byteLength < 64 * (source.sizeBytes + 1024),
        `${transferSyntax.uid}: ${written.byteLength} bytes`,
      );
    });
  }
}

test('data sets that are nearly right, and such of chance, are read or refused, in time and within memory', async (t) => {
  const samples = samplesOf();
  assert.ok(samples.some(({ isDeflated }) => isDeflated));
  const outcomes = new Map<string, number>();
  const cases = await fuzz(t, async (chance) => {
    const sample = chance(2) === 0 ? samples[chance(samples.length)] : generated(chance);
    assert.ok(sample !== undefined);
    const bytes = chance(20) === 0 ? joined(sample) : spoilt(sample, chance);
    const outcome = refusalOf(() => readAndUse(bytes)) ?? 'read';
    outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    refusalOf(() => {
      const transferSyntaxUid = sample.isDeflated ? DEFLATED : EXPLICIT_LITTLE_ENDIAN;
      readHead(memorySource(bytes), {
        start: Math.min(sample.head.byteLength, bytes.byteLength),
        isWhole: chance(2) === 0,
        transferSyntaxUid,
        rangeBytesMin: 64,
        stopsAt: (tag) => tag >= 0x0040a000,
      });
    });
    await streamed(bytes, chance);
  });
  t.diagnostic(JSON.stringify(Object.fromEntries(outcomes)));
  if (cases < 1000) return; // one that is run again
  for (const outcome of ['read', 'truncated', 'malformed', 'limit']) {
    assert.ok((outcomes.get(outcome) ?? 0) > cases / 200, `too few were ${outcome}`);
  }
});

/** As it comes from a socket. */
async function streamed(bytes: Buffer, chance: Chance): Promise<void> {
  async function* pieces() {
    for (let at = 0; at < bytes.byteLength; ) {
      const end = at + 1 + chance(2000);
      yield bytes.subarray(at, end);
      at = end;
    }
  }
  try {
    const { dataSet } = await readIncomingFile(pieces());
    for await (const _ of dataSet);
  } catch (caught) {
    if (!(caught instanceof DicomError)) throw caught;
  }
}
