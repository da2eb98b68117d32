/**
 * Files of many makers, in and out again: each is stored by STOW-RS, fetched by C-GET byte for byte, retrieved by WADO-RS, and its
 * frames compared with what pydicom and imagecodecs make of them. Over the fixtures, and over the whole collection where it is there.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import {
  canTranscode,
  DicomError,
  fetchingContext,
  identifierContext,
  identifierOf,
  memorySource,
  openAssociation,
  openPixels,
  parseMediaType,
  readIncomingFile,
  readMultipart,
  readPart10,
  SOP_CLASSES,
  STATUS,
  textElement,
} from '@lantern/dicom';
import { type ImageWeb, serveImages } from './image-web.ts';
import { OWN_AE, PEER_AE, startTestImaging, type TestImaging } from './imaging-harness.ts';

const FIXTURES = path.resolve(import.meta.dirname, '../../../fixtures/dicom');
const COLLECTION = path.join(
  process.env['LANTERN_DATA_DIR'] ?? path.resolve(import.meta.dirname, '../../../../shared/data'),
  'dicom',
);
const EXPLICIT = '1.2.840.10008.1.2.1';
/** PixelData, and those of floating point. */
const PIXEL_TAGS = [0x7fe00010, 0x7fe00008, 0x7fe00009];
/** Bytes that expected.json holds without turning them round (see the tests of pixels). */
const NOT_COMPARED = new Set(['SC_rgb_small_odd_big_endian.dcm']);

let node: TestImaging;
let web: ImageWeb;

before(async () => {
  node = await startTestImaging({ name: 'every-file' });
  web = await serveImages(node);
});

after(async () => {
  await web?.close();
  await node?.close();
});

type Incoming = { readonly sopClassUid: string; readonly transferSyntaxUid: string; readonly dataSet: Buffer };

async function* only(bytes: Buffer): AsyncGenerator<Buffer> {
  yield bytes;
}

/** `undefined` for a file that is none of PS3.10. */
async function incoming(file: Buffer): Promise<Incoming | undefined> {
  try {
    const { dataSet, ...uids } = await readIncomingFile(only(file));
    const pieces: Uint8Array[] = [];
    for await (const piece of dataSet) pieces.push(piece);
    return { ...uids, dataSet: Buffer.concat(pieces) };
  } catch (caught) {
    if (caught instanceof DicomError) return undefined;
    throw caught;
  }
}

async function store(file: Buffer): Promise<string | undefined> {
  // Many files of a collection have the UIDs of another.
  await node.database.pool.query(
    'truncate image_study, image_series, image_arrival, image_instance, image_conflict cascade',
  );
  const answer = await web.fetch('/studies', {
    method: 'POST',
    headers: { 'content-type': 'application/dicom' },
    body: new Uint8Array(file),
  });
  const json = Object(await answer.json());
  return answer.status === 200 ? new URL(json['00081199'].Value[0]['00081190'].Value[0]).pathname : undefined;
}

async function fetched(
  sopInstanceUid: string,
  { sopClassUid, transferSyntaxUid }: Incoming,
): Promise<Buffer | undefined> {
  let content: Buffer | undefined;
  const client = await openAssociation({
    host: '127.0.0.1',
    port: node.port,
    calledAe: OWN_AE,
    callingAe: PEER_AE,
    contexts: [identifierContext(SOP_CLASSES.studyRootGet), fetchingContext(sopClassUid, [transferSyntaxUid])],
    handlers: {
      onStore: async ({ dataSet }) => {
        content = await dataSet.whole(100_000_000);
        return { status: STATUS.success };
      },
    },
  });
  const identifier = identifierOf([
    textElement('QueryRetrieveLevel', 'IMAGE'),
    textElement('SOPInstanceUID', sopInstanceUid),
  ]);
  await client.get(identifier, { sopClass: SOP_CLASSES.studyRootGet });
  await client.release();
  return content;
}

async function bytesOf(to: string, accept: string): Promise<{ status: number; bytes: Buffer; contentType: string }> {
  const answer = await web.fetch(to.replace('/dicom-web', ''), { headers: { accept } });
  const contentType = answer.headers.get('content-type') ?? '';
  return { status: answer.status, bytes: Buffer.from(await answer.arrayBuffer()), contentType };
}

async function frameParts(to: string, count: number): Promise<Buffer[]> {
  const frames: Buffer[] = [];
  for (let first = 1; first <= count; first += 40) {
    const numbers = Array.from({ length: Math.min(40, count - first + 1) }, (_, index) => first + index);
    const { bytes, contentType } = await bytesOf(`${to}/frames/${numbers.join(',')}`, '*/*');
    const boundary = parseMediaType(contentType)?.parameters.get('boundary') ?? '';
    for await (const { body } of readMultipart(only(bytes), boundary)) {
      const pieces: Buffer[] = [];
      for await (const piece of body) pieces.push(piece);
      frames.push(Buffer.concat(pieces));
    }
  }
  return frames;
}

type Expected = { readonly pixels?: { readonly sha256_int32le?: string } };
type Tally = { stored: number; asTheyAre: number; frames: number; hashes: number };

async function checkFile(file: Buffer, expected: Expected | undefined, tally: Tally): Promise<void> {
  const sent = await incoming(file);
  if (sent === undefined) return;
  const to = await store(file);
  if (to === undefined) return; // it lacks what every instance must have
  tally.stored += 1;
  const content = await fetched(path.basename(to), sent);
  assert.ok(content?.equals(sent.dataSet), 'by C-GET');
  if (!canTranscode(sent.transferSyntaxUid, EXPLICIT)) {
    assert.equal((await bytesOf(to, 'application/dicom')).status, 406);
    return;
  }
  const asItIs = await bytesOf(to, 'application/dicom; transfer-syntax=*');
  if (asItIs.contentType.endsWith(sent.transferSyntaxUid)) {
    assert.ok(asItIs.bytes.subarray(-sent.dataSet.byteLength).equals(sent.dataSet), 'by WADO-RS');
    tally.asTheyAre += 1;
  }
  const { rows } = await node.database.pool.query('select image_rows from image_instance');
  const whole = await bytesOf(to, 'application/dicom');
  if (rows[0].image_rows === null || whole.status !== 200) return;
  const object = readable(whole.bytes);
  if (object === undefined || !PIXEL_TAGS.some((tag) => object.dataSet.elements.has(tag))) return;
  const pixels = openPixels(object);
  const frames = await frameParts(to, pixels.description.frameCount);
  tally.frames += frames.length;
  const hash = createHash('sha256');
  for (let index = 0; index < pixels.description.frameCount; index += 1) {
    if (pixels.description.bitsAllocated > 1) assert.deepEqual(frames[index], pixels.encodedFrame(index));
    hash.update(Int32Array.from(pixels.frame(index).values));
  }
  const sha256 = expected?.pixels?.sha256_int32le;
  if (sha256 === undefined) return;
  assert.equal(hash.digest('hex'), sha256, 'its pixels');
  tally.hashes += 1;
}

/** `undefined` for a data set that was sent with its end missing. */
function readable(file: Buffer): ReturnType<typeof readPart10> | undefined {
  try {
    return readPart10(memorySource(file));
  } catch (caught) {
    if (caught instanceof DicomError && caught.code === 'truncated') return undefined;
    throw caught;
  }
}

async function checkFolder(folder: string): Promise<Tally> {
  const tally: Tally = { stored: 0, asTheyAre: 0, frames: 0, hashes: 0 };
  const all: Record<string, Expected> = {};
  const names = readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.relative(folder, path.join(entry.parentPath, entry.name)));
  for (const name of names.filter((one) => path.basename(one) === 'expected.json')) {
    const entries: Record<string, Expected> = JSON.parse(readFileSync(path.join(folder, name), 'utf8'));
    for (const [key, value] of Object.entries(entries)) all[path.join(path.dirname(name), key)] = value;
  }
  for (const name of names) {
    const expected = NOT_COMPARED.has(path.basename(name)) ? undefined : all[name];
    try {
      await checkFile(readFileSync(path.join(folder, name)), expected, tally);
    } catch (cause) {
      throw new Error(name, { cause });
    }
  }
  return tally;
}

describe('every file', () => {
  it('of the fixtures comes back as it was sent, and its frames as others decode them', async (t) => {
    const tally = await checkFolder(FIXTURES);
    t.diagnostic(JSON.stringify(tally));
    assert.ok(tally.stored >= 30 && tally.asTheyAre >= 25 && tally.frames >= 50 && tally.hashes >= 4);
  });

  it('of the whole collection does', async (t) => {
    if (!existsSync(COLLECTION)) return t.skip('the collection is not at hand (LANTERN_DATA_DIR names its folder)');
    const tally = await checkFolder(COLLECTION);
    t.diagnostic(JSON.stringify(tally));
    assert.ok(tally.stored >= 210 && tally.asTheyAre >= 160 && tally.hashes >= 115);
  });
});
