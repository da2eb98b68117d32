import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { request as httpRequest } from 'node:http';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { metaFor } from '@lantern/dicom';
import { assertRouteAuthorisation } from '@lantern/service';
import { type ImageWeb, serveImages } from '../../test/image-web.ts';
import { OWN_AE, startTestImaging, type TestImaging } from '../../test/imaging-harness.ts';
import { CT_IMAGE_STORAGE, type SyntheticImage, syntheticInstance } from '../../test/synthetic-images.ts';

const EXPLICIT = '1.2.840.10008.1.2.1';
const FIXTURES = path.resolve(import.meta.dirname, '../../../../fixtures/dicom');
const MULTIPART = 'multipart/related; type="application/dicom"; boundary=';

let node: TestImaging;
let web: ImageWeb;

before(async () => {
  node = await startTestImaging({ name: 'stow' });
  web = await serveImages(node);
});

after(async () => {
  await web?.close();
  await node?.close();
});

function fileOf(image: SyntheticImage): Buffer {
  const { sopInstance, content } = syntheticInstance(image);
  const meta = metaFor({ sopClassUid: CT_IMAGE_STORAGE, sopInstanceUid: sopInstance, transferSyntaxUid: EXPLICIT });
  return Buffer.concat([meta, content]);
}

function multipart(
  files: readonly (Buffer | { readonly head: string; readonly body: string })[],
  lineEnd = '\r\n',
): Buffer<ArrayBuffer> {
  const parts = files.map((file) =>
    Buffer.isBuffer(file)
      ? Buffer.concat([Buffer.from(`Content-Type: application/dicom${lineEnd}${lineEnd}`), file])
      : Buffer.from(`${file.head}${lineEnd}${lineEnd}${file.body}`),
  );
  const all = parts.flatMap((part) => [Buffer.from(`${lineEnd}--frontier${lineEnd}`), part]);
  return Buffer.from(Buffer.concat([...all, Buffer.from(`${lineEnd}--frontier--${lineEnd}`)]));
}

type Report = {
  readonly status: number;
  readonly stored: readonly string[];
  readonly failed: Readonly<Record<string, number>>;
  readonly others: readonly number[];
  readonly json: Record<string, { Value: Record<string, { Value: unknown[] }>[] }>;
};

async function post(body: Buffer<ArrayBuffer>, options: { type?: string; path?: string } = {}): Promise<Report> {
  const { type = `${MULTIPART}frontier`, path: to = '/studies' } = options;
  const answer = await web.fetch(to, { method: 'POST', headers: { 'content-type': type }, body });
  const json = Object(await answer.json());
  assert.ok(json.error === undefined || answer.status >= 400, JSON.stringify(json));
  const items = (tag: string): Record<string, { Value: unknown[] }>[] => json[tag]?.Value ?? [];
  const first = (item: Record<string, { Value: unknown[] }>, tag: string) => item[tag]?.Value[0];
  return {
    status: answer.status,
    stored: items('00081199').map((item) => String(first(item, '00081155'))),
    failed: Object.fromEntries(
      items('00081198').map((item) => [String(first(item, '00081155')), Number(first(item, '00081197'))]),
    ),
    others: items('0008119A').map((item) => Number(first(item, '00081197'))),
    json,
  };
}

const uidOf = (study: number, series: number, number: number) => `2.25.1.${study}.${series}.${number}`;

async function rowsOf(sopInstance: string) {
  const { rows } = await node.database.pool.query(
    `select file, data_set_start, calling_ae, called_ae from image_instance join image_arrival using (arrival_id)
     where sop_instance_uid = $1`,
    [sopInstance],
  );
  return rows;
}

const filesOnDisk = () =>
  readdirSync(node.imaging.archive.files.dir, { recursive: true, encoding: 'utf8' }).filter((name) =>
    name.endsWith('.dcm'),
  );

describe('a request to store', () => {
  it('stores every part as it was sent, under our title and the name of the user, and says where each is', async () => {
    const images = [1, 2, 3].map((number) => ({ study: 1, series: 1, number, pixelBytes: 300_000 * number + 1 }));
    const { status, stored, failed, json } = await post(multipart(images.map(fileOf)));
    assert.equal(status, 200);
    assert.deepEqual(stored, [uidOf(1, 1, 1), uidOf(1, 1, 2), uidOf(1, 1, 3)]);
    assert.deepEqual(failed, {});
    for (const image of images) {
      const [row] = await rowsOf(uidOf(1, 1, image.number));
      assert.deepEqual([row.calling_ae, row.called_ae], ['data-engineer', OWN_AE]);
      const file = readFileSync(node.imaging.archive.files.pathOf(row.file));
      assert.ok(file.subarray(row.data_set_start).equals(syntheticInstance(image).content));
    }
    assert.deepEqual(json['00081190'], { vr: 'UR', Value: [`${web.url}/dicom-web/studies/2.25.1.1`] });
    assert.deepEqual(json['00081199']?.Value[0]?.['00081190']?.Value, [
      `${web.url}/dicom-web/studies/2.25.1.1/series/2.25.1.1.1/instances/${uidOf(1, 1, 1)}`,
    ]);
    assert.deepEqual(json['00081199']?.Value[0]?.['00081150']?.Value, [CT_IMAGE_STORAGE]);
  });

  it('takes a single file without parts, and parts whose lines end with LF alone', async () => {
    const single = await post(Buffer.from(fileOf({ study: 2, series: 1, number: 1 })), { type: 'application/dicom' });
    assert.deepEqual([single.status, single.stored], [200, [uidOf(2, 1, 1)]]);
    const files = [2, 3].map((number) => fileOf({ study: 2, series: 1, number }));
    const lines = await post(multipart(files, '\n'));
    assert.deepEqual([lines.status, lines.stored], [200, [uidOf(2, 1, 2), uidOf(2, 1, 3)]]);
    const { content } = syntheticInstance({ study: 2, series: 1, number: 3 });
    const [row] = await rowsOf(uidOf(2, 1, 3));
    const file = readFileSync(node.imaging.archive.files.pathOf(row.file));
    assert.ok(file.subarray(row.data_set_start).equals(content));
  });

  it('keeps every byte of a large file, whose pieces come in memory that is used again', async () => {
    const instance = syntheticInstance({ study: 12, series: 1, number: 1, pixelBytes: 5_000_000 });
    const content = Buffer.concat([instance.content.subarray(0, -5_000_000), randomBytes(5_000_000)]);
    const uids = { sopClassUid: CT_IMAGE_STORAGE, sopInstanceUid: instance.sopInstance, transferSyntaxUid: EXPLICIT };
    const file = Buffer.concat([metaFor(uids), content]);
    const body = new ReadableStream({
      start(controller) {
        for (let at = 0; at < file.byteLength; at += 70_001) controller.enqueue(file.subarray(at, at + 70_001));
        controller.close();
      },
    });
    const headers = { 'content-type': 'application/dicom' };
    const answer = await web.fetch('/studies', { method: 'POST', headers, body, duplex: 'half' });
    assert.equal(answer.status, 200);
    const [row] = await rowsOf(instance.sopInstance);
    const kept = readFileSync(node.imaging.archive.files.pathOf(row.file));
    assert.ok(kept.subarray(row.data_set_start).equals(content));
  });

  it('is a success for what is there already, and a conflict for other content, which is kept beside', async () => {
    const image = { study: 3, series: 1, number: 1, patientName: 'First^Person' };
    await post(multipart([fileOf(image)]));
    const again = await post(multipart([fileOf(image), fileOf(image)]));
    assert.deepEqual([again.status, again.stored.length], [200, 2]);
    const other = await post(multipart([fileOf({ ...image, patientName: 'Other^Person' })]));
    assert.deepEqual([other.status, other.failed], [409, { [uidOf(3, 1, 1)]: 0x0111 }]);
    const { rows } = await node.database.pool.query(
      'select count(*)::int from image_conflict where sop_instance_uid = $1',
      [uidOf(3, 1, 1)],
    );
    assert.deepEqual(rows, [{ count: 1 }]);
  });

  it('stores what is good however much beside it is not', async () => {
    const count = filesOnDisk().length;
    const good = [1, 2, 3].map((number) => fileOf({ study: 4, series: 1, number }));
    const mismatched = Buffer.concat([
      metaFor({ sopClassUid: CT_IMAGE_STORAGE, sopInstanceUid: '2.25.99', transferSyntaxUid: EXPLICIT }),
      syntheticInstance({ study: 4, series: 2, number: 1 }).content,
    ]);
    const truncated = fileOf({ study: 4, series: 2, number: 2 }).subarray(0, 400);
    const { status, stored, failed, others } = await post(
      multipart([
        readFileSync(path.join(FIXTURES, 'README.md')),
        good[0] ?? Buffer.alloc(0),
        mismatched,
        { head: 'Content-Type: application/dicom+json', body: '[]' },
        good[1] ?? Buffer.alloc(0),
        truncated,
        { head: 'no header at all', body: 'x' },
        good[2] ?? Buffer.alloc(0),
      ]),
    );
    assert.equal(status, 202);
    assert.deepEqual(stored, [uidOf(4, 1, 1), uidOf(4, 1, 2), uidOf(4, 1, 3)]);
    assert.deepEqual(failed, { '2.25.99': 0xa900, [uidOf(4, 2, 2)]: 0xc000 });
    assert.deepEqual(others, [0xc000, 0xc000, 0xc000]);
    assert.equal(filesOnDisk().length, count + 3);
  });

  it('for one study takes no other, and what it refuses leaves nothing behind', async () => {
    const count = filesOnDisk().length;
    const files = [fileOf({ study: 5, series: 1, number: 1 }), fileOf({ study: 6, series: 1, number: 1 })];
    const { status, stored, failed } = await post(multipart(files), { path: '/studies/2.25.1.5' });
    assert.deepEqual([status, stored, failed], [202, [uidOf(5, 1, 1)], { [uidOf(6, 1, 1)]: 0xa901 }]);
    assert.deepEqual(await rowsOf(uidOf(6, 1, 1)), []);
    assert.equal(filesOnDisk().length, count + 1);
  });

  it('of which nothing can be read is a bad request', async () => {
    const nothing = await post(multipart([Buffer.from('no DICOM')]));
    assert.deepEqual([nothing.status, nothing.others], [400, [0xc000]]);
    for (const [type, body] of [
      [`${MULTIPART}frontier`, '--other\r\n\r\nx\r\n--other--'],
      [`${MULTIPART}frontier`, '--frontier--'],
      ['multipart/related; type="application/dicom"', '--frontier--'],
    ] as const) {
      assert.equal((await post(Buffer.from(body), { type })).status, 400, type);
    }
  });

  it('of other media types is refused, with those that are taken', async () => {
    for (const type of [
      'application/dicom+json',
      'application/json',
      'multipart/related; type="application/dicom+json"; boundary=x',
    ]) {
      const answer = await web.fetch('/studies', { method: 'POST', headers: { 'content-type': type }, body: '[]' });
      assert.equal(answer.status, 415);
      assert.match(await answer.text(), /application\/dicom[^+]/);
    }
  });

  it('whose body ends early stores what had come, and no part of the rest', async () => {
    const whole = multipart([1, 2].map((number) => fileOf({ study: 7, series: 1, number })));
    const { status, stored, failed, others } = await post(Buffer.from(whole.subarray(0, whole.byteLength - 60)));
    assert.deepEqual(others, []);
    assert.deepEqual([status, stored, failed], [202, [uidOf(7, 1, 1)], { [uidOf(7, 1, 2)]: 0xc000 }]);
    const between = await post(
      Buffer.concat([
        whole.subarray(0, whole.byteLength - 4), // '--' and the end of the line
        Buffer.from('\r\nContent-Ty'),
      ]),
    );
    assert.deepEqual([between.status, between.stored.length, between.others], [202, 2, [0xc000]]);
    const inHead = await post(Buffer.from(multipart([fileOf({ study: 7, series: 1, number: 3 })]).subarray(0, 20)));
    assert.equal(inHead.status, 400);
  });

  it('whose sender goes away leaves no file of what was on its way', async () => {
    const count = filesOnDisk().length;
    const whole = multipart([fileOf({ study: 8, series: 1, number: 1, pixelBytes: 4_000_000 })]);
    const headers = {
      authorization: 'Bearer admin',
      'content-type': `${MULTIPART}frontier`,
      'content-length': whole.byteLength,
    };
    const request = httpRequest(`${web.url}/dicom-web/studies`, { method: 'POST', headers });
    const gone = new Promise((resolve) => request.once('error', resolve));
    request.write(whole.subarray(0, 2_000_000));
    while (filesOnDisk().length === count) await new Promise((resolve) => setImmediate(resolve));
    request.destroy(new Error('gone'));
    await gone;
    while (filesOnDisk().length > count) await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual(await rowsOf(uidOf(8, 1, 1)), []);
  });

  it('on a full disk says so', async () => {
    const full = await startTestImaging({ name: 'stow-full', freeBytesMin: Number.MAX_SAFE_INTEGER });
    const fullWeb = await serveImages(full);
    try {
      const body = multipart([fileOf({ study: 9, series: 1, number: 1 })]);
      const answer = await fullWeb.fetch('/studies', {
        method: 'POST',
        headers: { 'content-type': `${MULTIPART}frontier` },
        body,
      });
      assert.equal(answer.status, 507);
      const json = Object(await answer.json());
      assert.equal(json['00081198'].Value[0]['00081197'].Value[0], 0xa700);
    } finally {
      await fullWeb.close();
      await full.close();
    }
  });

  it('with hundreds of parts stores them all', async () => {
    const files = Array.from({ length: 300 }, (_, index) => fileOf({ study: 10, series: index % 3, number: index }));
    const { status, stored } = await post(multipart(files));
    assert.deepEqual([status, new Set(stored).size], [200, 300]);
  });
});

it('only those who keep the archive may store, and each request is in the audit log', async () => {
  const tokensByRole = {
    admin: 'admin',
    governance: 'governance',
    'data-engineer': 'data-engineer',
    clinician: 'clinician',
  };
  await assertRouteAuthorisation({ server: web.server, url: web.url, tokensByRole });
  const body = multipart([fileOf({ study: 11, series: 1, number: 1 }), Buffer.from('no DICOM')]);
  const options = { method: 'POST', headers: { 'content-type': `${MULTIPART}frontier` }, body };
  assert.equal((await web.fetch('/studies', { ...options, role: 'clinician' })).status, 403);
  assert.equal((await web.fetch('/studies', { ...options, role: 'admin' })).status, 202);
  const { rows } = await node.database.pool.query(
    'select actor, action, details from audit_record order by sequence desc limit 1',
  );
  assert.deepEqual(rows, [
    {
      actor: 'user:admin',
      action: 'images.store',
      details: JSON.stringify({ calledAe: OWN_AE, failedCount: 1, storedCount: 1 }),
    },
  ]);
});
