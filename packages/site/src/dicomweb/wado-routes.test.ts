import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { get as httpGet, type IncomingMessage } from 'node:http';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { inflateSync } from 'node:zlib';
import {
  dataSetOfJson,
  memorySource,
  numberOf,
  openPixels,
  parseMediaType,
  readMultipart,
  readPart10,
  tagOfKeyword,
  textOf,
} from '@lantern/dicom';
import { type ImageWeb, serveImages } from '../../test/image-web.ts';
import { startTestImaging, type TestImaging, takeIn } from '../../test/imaging-harness.ts';
import { syntheticInstance } from '../../test/synthetic-images.ts';

const FIXTURES = path.resolve(import.meta.dirname, '../../../../fixtures/dicom');
const EXPLICIT = '1.2.840.10008.1.2.1';
const JPEG_LS = '1.2.840.10008.1.2.4.80';
const MPEG4 = '1.2.840.10008.1.2.4.102';
const RLE = '1.2.840.10008.1.2.5';
const STUDY = '/studies/2.25.1.1';

type Kept = { readonly path: string; readonly file: Buffer };

let node: TestImaging;
let web: ImageWeb;
/** RLE, one frame. */
let compressed: Kept;
/** RLE, two frames of colour. */
let twoFrames: Kept;
/** No pixels. */
let report: Kept;

const plain = (number: number, series = 1) => syntheticInstance({ study: 1, series, number, pixelBytes: 200_000 });
/** Of a transfer syntax that we have no codec for. */
const video = { ...syntheticInstance({ study: 2, series: 1, number: 1 }), transferSyntax: MPEG4 };

async function keep(instance: ReturnType<typeof plain>): Promise<void> {
  await takeIn(node.imaging, instance);
}

async function storeFixture(name: string): Promise<Kept> {
  const file = readFileSync(path.join(FIXTURES, name));
  const answer = await web.fetch('/studies', {
    method: 'POST',
    headers: { 'content-type': 'application/dicom' },
    body: file,
  });
  assert.equal(answer.status, 200, name);
  const json = Object(await answer.json());
  const url = new URL(json['00081199'].Value[0]['00081190'].Value[0]);
  return { path: url.pathname.replace('/dicom-web', ''), file };
}

before(async () => {
  node = await startTestImaging({ name: 'wado' });
  web = await serveImages(node);
  for (const instance of [plain(2), plain(1), plain(1, 2), video]) await keep(instance);
  await keep(syntheticInstance({ study: 2, series: 1, number: 2 }));
  compressed = await storeFixture('MR_small_RLE.dcm');
  twoFrames = await storeFixture('pixels/SC_rgb_rle_16bit_2frame.dcm');
  report = await storeFixture('reportsi.dcm');
});

after(async () => {
  await web?.close();
  await node?.close();
});

const get = (to: string, accept?: string, role = 'clinician') =>
  web.fetch(to, { role, headers: accept === undefined ? {} : { accept } });

const objects = (transferSyntax?: string) =>
  `multipart/related; type="application/dicom"${transferSyntax === undefined ? '' : `; transfer-syntax=${transferSyntax}`}`;

type Part = { readonly type: string; readonly transferSyntax: string | undefined; readonly body: Buffer };

async function partsOf(answer: Response): Promise<Part[]> {
  const type = parseMediaType(answer.headers.get('content-type') ?? '');
  assert.equal(type?.name, 'multipart/related');
  const parts: Part[] = [];
  const whole = Buffer.from(await answer.arrayBuffer());
  const source = (async function* () {
    yield whole;
  })();
  for await (const { headers, body, fault } of readMultipart(source, type.parameters.get('boundary') ?? '')) {
    assert.equal(fault, undefined);
    const pieces: Buffer[] = [];
    for await (const piece of body) pieces.push(piece);
    const about = parseMediaType(headers.get('content-type') ?? '');
    assert.ok(about !== undefined && about.name === type.parameters.get('type'));
    parts.push({
      type: about.name,
      transferSyntax: about.parameters.get('transfer-syntax'),
      body: Buffer.concat(pieces),
    });
  }
  return parts;
}

async function errorOf(answer: Response) {
  const { error } = Object(await answer.json());
  return { status: answer.status, code: error.code, message: String(error.message) };
}

const contentOf = (file: Buffer, content: Buffer) =>
  file.subarray(file.byteLength - content.byteLength).equals(content);
const digestOf = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

function framesOf(file: Buffer): Buffer[] {
  const pixels = openPixels(readPart10(memorySource(file)));
  return Array.from({ length: pixels.description.frameCount }, (_, index) => pixels.encodedFrame(index));
}

describe('DICOM objects', () => {
  it('come in the order of their numbers, byte for byte as they came', async () => {
    for (const [to, expected] of [
      [STUDY, [plain(1), plain(2), plain(1, 2)]],
      [`${STUDY}/series/2.25.1.1.1`, [plain(1), plain(2)]],
      [`${STUDY}/series/2.25.1.1.1/instances/2.25.1.1.1.2`, [plain(2)]],
    ] as const) {
      for (const accept of [undefined, objects(), objects('*')]) {
        const answer = await get(to, accept);
        assert.equal(answer.status, 200);
        const parts = await partsOf(answer);
        assert.equal(parts.length, expected.length);
        for (const [index, { content }] of expected.entries()) {
          assert.equal(parts[index]?.transferSyntax, EXPLICIT);
          assert.ok(contentOf(parts[index]?.body ?? Buffer.alloc(0), content));
        }
      }
    }
  });

  it('come alone with their length where one is asked for alone', async () => {
    const answer = await get(`${STUDY}/series/2.25.1.1.1/instances/2.25.1.1.1.2`, 'application/dicom');
    assert.equal(answer.headers.get('content-type'), `application/dicom; transfer-syntax=${EXPLICIT}`);
    const file = Buffer.from(await answer.arrayBuffer());
    assert.equal(answer.headers.get('content-length'), String(file.byteLength));
    assert.ok(contentOf(file, plain(2).content));
    assert.equal((await get(STUDY, 'application/dicom')).status, 406);
  });

  it('are decoded unless the caller takes them as they are, and compressed where that is wanted', async () => {
    const reference = framesOf(readFileSync(path.join(FIXTURES, 'MR_small.dcm')));
    const [decoded] = await partsOf(await get(compressed.path));
    assert.equal(decoded?.transferSyntax, EXPLICIT);
    assert.deepEqual(framesOf(decoded.body), reference);
    const [asItIs] = await partsOf(await get(compressed.path, objects('*')));
    assert.equal(asItIs?.transferSyntax, RLE);
    assert.deepEqual(framesOf(asItIs.body), framesOf(compressed.file));
    const [other] = await partsOf(await get(`${compressed.path}?accept=${encodeURIComponent(objects(JPEG_LS))}`));
    assert.equal(other?.transferSyntax, JPEG_LS);
    const object = readPart10(memorySource(other.body));
    assert.equal(object.transferSyntax.uid, JPEG_LS);
    const values = openPixels(readPart10(memorySource(readFileSync(path.join(FIXTURES, 'MR_small.dcm'))))).frame(
      0,
    ).values;
    assert.deepEqual(openPixels(object).frame(0).values, values);
  });

  it('that cannot be given as accepted are left out with a warning, and refused where none can', async () => {
    const partly = await get('/studies/2.25.1.2', objects(EXPLICIT));
    assert.equal(partly.status, 206);
    assert.match(partly.headers.get('warning') ?? '', /1 instances cannot be transcoded/);
    assert.equal((await partsOf(partly)).length, 1);
    const all = await get('/studies/2.25.1.2', objects('*'));
    assert.deepEqual([all.status, (await partsOf(all)).length], [200, 2]);
    const instance = '/studies/2.25.1.2/series/2.25.1.2.1/instances/2.25.1.2.1.1';
    for (const accept of [objects(EXPLICIT), objects('1.2.840.10008.1.2'), 'application/zip', 'text/html']) {
      const answer = await get(instance, accept);
      const { status, code, message } = await errorOf(answer);
      assert.deepEqual([status, code], [406, 'input.not-acceptable']);
      assert.match(message, /codec|application\/dicom/);
    }
    for (const accept of [undefined, 'multipart/related; type="video/mp4"'])
      assert.equal((await get(`${instance}/frames/1`, accept)).status, 406, 'frames of video');
  });

  it('are as they were sent where nothing is said of a transfer syntax and we cannot decode them', async () => {
    const answer = await get('/studies/2.25.1.2/series/2.25.1.2.1/instances/2.25.1.2.1.1', 'application/dicom');
    assert.equal(answer.headers.get('content-type'), `application/dicom; transfer-syntax=${MPEG4}`);
    const { transferSyntax, dataSet, source } = readPart10(memorySource(Buffer.from(await answer.arrayBuffer())));
    assert.equal(transferSyntax.uid, MPEG4);
    assert.ok(source.sizeBytes > video.content.byteLength && dataSet.elements.size > 0);
  });

  it('that are not there are not found, nor under another study or series', async () => {
    for (const to of [
      '/studies/2.25.404',
      `${STUDY}/series/2.25.404`,
      `/studies/2.25.1.2/series/2.25.1.1.1`,
      `${STUDY}/series/2.25.1.1.2/instances/2.25.1.1.1.2`,
      '/studies/2.25.404/metadata',
      '/studies/2.25.404/rendered',
    ]) {
      assert.deepEqual((await errorOf(await get(to))).code, 'not-found', to);
    }
    assert.equal((await get('/studies/no-uid')).status, 400);
    assert.equal((await get(`${STUDY}?colour=red`)).status, 400);
  });
});

describe('metadata', () => {
  it('are those of every instance, and lead to what they leave out', async () => {
    const answer = await get(`${STUDY}/metadata`, 'application/dicom+json');
    assert.equal(answer.headers.get('content-type'), 'application/dicom+json');
    const all = Object(await answer.json());
    assert.deepEqual(
      all.map((json: unknown) => {
        const dataSet = dataSetOfJson(json, () => ({ kind: 'bytes', bytes: Buffer.alloc(0) }));
        return [textOf(dataSet, tagOfKeyword('SOPInstanceUID') ?? 0), numberOf(dataSet, tagOfKeyword('Rows') ?? 0)];
      }),
      [
        ['2.25.1.1.1.1', 316],
        ['2.25.1.1.1.2', 316],
        ['2.25.1.1.2.1', 316],
      ],
    );
    const uri = String(all[1]['7FE00010'].BulkDataURI);
    assert.ok(uri.startsWith(`${web.url}/dicom-web${STUDY}/series/2.25.1.1.1/instances/2.25.1.1.1.2/bulkdata/`));
    const bulk = await get(uri.slice(`${web.url}/dicom-web`.length));
    assert.equal(bulk.headers.get('content-type'), 'application/octet-stream');
    const bytes = Buffer.from(await bulk.arrayBuffer());
    assert.equal(bytes.byteLength, 200_000);
    assert.ok(contentOf(plain(2).content, bytes));
    const [part] = await partsOf(
      await get(uri.slice(`${web.url}/dicom-web`.length), 'multipart/related; type="application/octet-stream"'),
    );
    assert.ok(part?.body.equals(bytes));
  });

  it('of compressed pixels lead to decoded ones', async () => {
    const [json] = Object(await (await get(`${compressed.path}/metadata`)).json());
    const uri = new URL(json['7FE00010'].BulkDataURI);
    const bulk = await get(uri.pathname.replace('/dicom-web', ''));
    assert.deepEqual(
      [Buffer.from(await bulk.arrayBuffer())],
      framesOf(readFileSync(path.join(FIXTURES, 'MR_small.dcm'))),
    );
    assert.equal((await get(`${compressed.path}/bulkdata/00091001`)).status, 404);
    assert.equal((await get(`${compressed.path}/bulkdata/nonsense`)).status, 404);
  });

  it('come in XML, a part for each instance', async () => {
    const answer = await get(`${STUDY}/metadata`, 'multipart/related; type="application/dicom+xml"');
    assert.match(answer.headers.get('content-type') ?? '', /^multipart\/related; type="application\/dicom\+xml"/);
    const parts = await partsOf(answer);
    const xml = parts.map(({ body }) => body.toString('utf8'));
    assert.deepEqual(
      xml.map((text) => /keyword="SOPInstanceUID"><Value number="1">([0-9.]+)</.exec(text)?.[1]),
      ['2.25.1.1.1.1', '2.25.1.1.1.2', '2.25.1.1.2.1'],
    );
    const uri = /keyword="PixelData"><BulkData uri="([^"]+)"/.exec(xml[1] ?? '')?.[1] ?? '';
    const bulk = await get(uri.slice(`${web.url}/dicom-web`.length));
    assert.equal((await bulk.arrayBuffer()).byteLength, 200_000);
  });

  it('are in JSON or XML or not at all, by what is named first', async () => {
    assert.equal((await get(`${STUDY}/metadata`, 'application/dicom')).status, 406);
    assert.equal((await get(`${STUDY}/metadata`, 'application/dicom+xml')).status, 406);
    assert.equal((await get(`${STUDY}/metadata`, 'application/json')).status, 200);
    const both = 'multipart/related; type="application/dicom+xml"; q=0.5, application/dicom+json';
    const answer = await get(`${STUDY}/metadata`, both);
    assert.equal(answer.headers.get('content-type'), 'application/dicom+json');
    await answer.arrayBuffer();
  });
});

describe('frames', () => {
  const octets = (transferSyntax: string) =>
    `multipart/related; type="application/octet-stream"; transfer-syntax=${transferSyntax}`;

  it('come in the order that is asked for, decoded or as they are', async () => {
    const stored = framesOf(twoFrames.file);
    const parts = await partsOf(await get(`${twoFrames.path}/frames/2,1`, octets('*')));
    assert.deepEqual(
      parts.map(({ transferSyntax, body }) => [transferSyntax, digestOf(body)]),
      [
        [RLE, digestOf(stored[1] ?? Buffer.alloc(0))],
        [RLE, digestOf(stored[0] ?? Buffer.alloc(0))],
      ],
    );
    const decoded = await partsOf(await get(`${twoFrames.path}/frames/1,2`));
    assert.deepEqual(
      decoded.map(({ type, body }) => [type, body.byteLength]),
      [
        ['application/octet-stream', 60_000],
        ['application/octet-stream', 60_000],
      ],
    );
    const [object] = await partsOf(await get(twoFrames.path));
    assert.deepEqual(
      framesOf(object?.body ?? Buffer.alloc(0)),
      decoded.map(({ body }) => body),
    );
  });

  it('come compressed by a codec of ours, and alone where one is asked for', async () => {
    const answer = await get(`${compressed.path}/frames/1`, 'image/jls');
    assert.equal(answer.headers.get('content-type'), `image/jls; transfer-syntax=${JPEG_LS}`);
    assert.equal(Buffer.from(await answer.arrayBuffer()).readUInt16BE(0), 0xffd8);
    const [part] = await partsOf(await get(`${compressed.path}/frames/1`, 'multipart/related; type="image/jp2"'));
    assert.equal(part?.body.readUInt32BE(0), 0xff4fff51);
  });

  it('that the image does not have are not found, and lists that are none are refused', async () => {
    assert.match((await errorOf(await get(`${twoFrames.path}/frames/1,3`))).message, /has 2 frames/);
    for (const list of ['0', 'a', '1,', '1;2', '-1'])
      assert.equal((await get(`${twoFrames.path}/frames/${list}`)).status, 400);
    assert.equal((await get(`${report.path}/frames/1`)).status, 406);
    assert.equal((await get(`${compressed.path}/frames/1`, 'video/mp4')).status, 406);
  });
});

type Picture = { readonly columns: number; readonly rows: number; readonly gray: Buffer };

/** Of a gray PNG, whose rows differ from the one above (filter 2). */
function pngIn(bytes: Buffer): Picture {
  assert.equal(bytes.toString('hex', 0, 8), '89504e470d0a1a0a');
  const [columns, rows] = [bytes.readUInt32BE(16), bytes.readUInt32BE(20)];
  const start = bytes.indexOf('IDAT') + 4;
  const filtered = inflateSync(bytes.subarray(start, start + bytes.readUInt32BE(start - 8)));
  const gray = Buffer.alloc(columns * rows);
  for (let at = 0; at < gray.byteLength; at += 1) {
    const [row, column] = [Math.floor(at / columns), at % columns];
    const above = row === 0 ? 0 : (gray[at - columns] ?? 0);
    gray[at] = (filtered[row * (columns + 1) + 1 + column] ?? 0) + above;
  }
  return { columns, rows, gray };
}

describe('pictures', () => {
  const png = async (query: string) =>
    pngIn(Buffer.from(await (await get(`${compressed.path}/rendered${query}`, 'image/png')).arrayBuffer()));

  it('show the image in the window that is asked for', async () => {
    const { columns, rows, gray } = await png('?window=600,400,linear-exact');
    assert.deepEqual([columns, rows], [64, 64]);
    const { values } = openPixels(readPart10(memorySource(compressed.file))).frame(0);
    const expected = Buffer.from(
      Array.from(values, (value) => Math.round(Math.min(1, Math.max(0, (value - 400) / 400)) * 255)),
    );
    // A value in the middle between two grays may go to either.
    assert.ok(gray.every((level, index) => Math.abs(level - (expected[index] ?? 0)) <= 1));
    assert.ok(new Set(gray).size > 200);
    assert.notDeepEqual((await png('?window=900,400,linear-exact')).gray, gray);
    assert.notDeepEqual((await png('')).gray, gray);
  });

  it('fit the viewport, and show the region of it', async () => {
    const whole = await png('?window=600,400,linear-exact');
    const { columns, rows } = await png('?viewport=100,32');
    assert.deepEqual([columns, rows], [32, 32]);
    const part = await png('?window=600,400,linear-exact&viewport=8,4,10,20,8,4');
    assert.deepEqual([part.columns, part.rows], [8, 4]);
    assert.deepEqual(part.gray.subarray(0, 8), whole.gray.subarray(20 * 64 + 10, 20 * 64 + 18));
  });

  it('are JPEG unless asked for otherwise, of the quality that is asked for', async () => {
    const jpeg = async (query: string) => {
      const answer = await get(`${compressed.path}/rendered${query}`);
      assert.equal(answer.headers.get('content-type'), 'image/jpeg');
      return Buffer.from(await answer.arrayBuffer());
    };
    const [low, high] = [await jpeg('?quality=5'), await jpeg('?quality=100')];
    assert.equal(low.readUInt16BE(0), 0xffd8);
    assert.ok(low.byteLength * 2 < high.byteLength, `${low.byteLength}, ${high.byteLength}`);
  });

  it('are of every frame that is named, or of every image of a series', async () => {
    const frames = await partsOf(await get(`${twoFrames.path}/frames/2,1/rendered`, 'image/png'));
    assert.equal(frames.length, 2);
    assert.notDeepEqual(frames[0]?.body, frames[1]?.body);
    const [second] = await partsOf(
      await get(`${twoFrames.path}/frames/2/rendered`, 'multipart/related; type="image/png"'),
    );
    assert.deepEqual(second?.body, frames[0]?.body);
    const one = await get(`${twoFrames.path}/rendered`, 'image/png');
    assert.deepEqual(Buffer.from(await one.arrayBuffer()), frames[1]?.body);
  });

  it('are refused for what is no image, and for parameters that are none', async () => {
    assert.deepEqual((await errorOf(await get(`${report.path}/rendered`))).status, 406);
    assert.deepEqual((await errorOf(await get(`${report.path}/thumbnail`))).status, 406);
    assert.equal((await get(`${compressed.path}/rendered`, 'image/gif')).status, 406);
    for (const query of [
      'window=1,2',
      'viewport=0,1',
      'quality=0',
      'quality=101',
      'viewport=8,8,900,900,8,8',
      'frame=2',
    ]) {
      const { status } = await errorOf(await get(`${compressed.path}/rendered?${query}`));
      assert.ok(status === 400 || (status === 404 && query.includes('900')), `${query}: ${status}`);
    }
    assert.equal((await get(`${twoFrames.path}/frames/3/rendered`)).status, 404);
  });

  it('are small as thumbnails, of whatever they stand for', async () => {
    const [, study = ''] = /^(\/studies\/[^/]+)/.exec(twoFrames.path) ?? [];
    for (const to of [
      study,
      twoFrames.path.replace(/\/instances.*/, ''),
      twoFrames.path,
      `${twoFrames.path}/frames/2`,
    ]) {
      const answer = await get(`${to}/thumbnail?viewport=20,10`, 'image/png');
      assert.equal(answer.status, 200, to);
      const bytes = Buffer.from(await answer.arrayBuffer());
      assert.deepEqual([bytes.readUInt32BE(16), bytes.readUInt32BE(20)], [10, 10]);
    }
    assert.equal((await get(`${study}/thumbnail`)).headers.get('content-type'), 'image/jpeg');
  });
});

it('every retrieval is in the audit log before it is given, with keys and counts of ours alone', async () => {
  const asked = ['', '/metadata', '/frames/1', '/rendered', '/thumbnail', '/bulkdata/7FE00010'];
  for (const what of asked) await (await get(`${compressed.path}${what}`)).arrayBuffer();
  const { rows } = await node.database.pool.query(
    `select actor, action, object, details from audit_record order by sequence desc limit ${asked.length}`,
  );
  const lines = rows.toReversed().map(({ actor, action, object, details }) => {
    assert.match(object, /^image-study:\d+$/);
    return [actor, action, JSON.parse(details)];
  });
  const line = (form: string, more: object = {}) => [
    'user:clinician',
    'images.retrieve',
    { form, instanceCount: 1, ...more },
  ];
  assert.deepEqual(lines, [
    line('objects'),
    line('metadata'),
    line('frames', { frameCount: 1 }),
    line('rendered', { frameCount: 1 }),
    line('thumbnail'),
    line('bulk-data'),
  ]);
});

it('the OpenAPI document tells the media types of each, and the parameters of a search', async () => {
  const { paths } = Object(await (await fetch(`${web.url}/openapi.json`)).json());
  const { get: retrieve, post: store } = paths['/dicom-web/studies/{study}'];
  assert.deepEqual(Object.keys(retrieve.responses[200].content), ['multipart/related', 'application/dicom']);
  assert.deepEqual(Object.keys(store.requestBody.content), ['multipart/related', 'application/dicom']);
  for (const to of ['/studies', '/series', '/instances', '/studies/{study}/series/{series}/instances']) {
    const parameters: { name: string; in: string }[] = paths[`/dicom-web${to}`].get.parameters;
    const names = parameters.filter((one) => one.in === 'query').map(({ name }) => name);
    assert.deepEqual(names.sort(), ['fuzzymatching', 'includefield', 'limit', 'offset', '{attribute}'], to);
  }
});

describe('an image of two gigabytes', () => {
  const FRAME_BYTES = 1024 * 1024;
  const FRAMES = 2048;
  const instance = '/studies/2.25.1.77/series/2.25.1.77.1/instances/2.25.1.77.1.1';

  before(async () => {
    // A file with a hole: it says that it is as long, and the disk need not hold it.
    const small = syntheticInstance({
      study: 77,
      series: 1,
      number: 1,
      pixelBytes: 2 * 512 * 1024,
      others: { NumberOfFrames: String(FRAMES), PhotometricInterpretation: 'MONOCHROME2' },
    });
    await keep(small);
    const { rows } = await node.database.pool.query(
      `update image_instance set data_set_bytes = data_set_bytes + $1, image_rows = 724, image_columns = 724
       where sop_instance_uid = '2.25.1.77.1.1' returning file, data_set_start`,
      [FRAME_BYTES * (FRAMES - 1)],
    );
    const file = node.imaging.archive.files.pathOf(rows[0].file);
    const bytes = readFileSync(file);
    const header = bytes.lastIndexOf(Buffer.from('e07f10004f570000', 'hex'));
    assert.ok(header > 0);
    bytes.writeUInt32LE(FRAME_BYTES * FRAMES - FRAME_BYTES + bytes.readUInt32LE(header + 8), header + 8);
    writeFileSync(file, bytes);
    truncateSync(file, bytes.byteLength + FRAME_BYTES * (FRAMES - 1));
  });

  it('is given in its whole length while memory stays flat', async () => {
    const rssBytes = process.memoryUsage.rss();
    const headers = { accept: objects('*'), authorization: 'Bearer clinician' };
    const { promise: answer, resolve } = Promise.withResolvers<IncomingMessage>();
    httpGet(`${web.url}/dicom-web${instance}`, { headers }, resolve); // `fetch` would take longer than the server
    let [most, sizeBytes, chunks] = [0, 0, 0];
    for await (const { byteLength } of await answer) {
      sizeBytes += byteLength;
      chunks += 1;
      if (chunks % 200 === 0) most = Math.max(most, process.memoryUsage.rss());
    }
    assert.ok(sizeBytes > 2 * 1024 ** 3, `${sizeBytes}`);
    assert.ok(most - rssBytes < 256 * 1024 ** 2, `${Math.round((most - rssBytes) / 1024 ** 2)} MiB`);
  });
});
