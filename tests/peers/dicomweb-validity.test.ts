/**
 * Objects that were stored by STOW-RS and are given by WADO-RS, as they are and transcoded to whatever we have a codec for, beside
 * dciodvfy and dcentvfy: they may find no error that they do not find in what was sent.
 */
import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { DicomError, openFileSource, readPart10, textOf } from '@lantern/dicom';
import { type ImageWeb, serveImages } from '../../packages/site/test/image-web.ts';
import { startTestImaging, type TestImaging } from '../../packages/site/test/imaging-harness.ts';
import { errorsIn, studyErrorCount, verifierMissing } from './dicom-verifier.ts';

const FIXTURES = path.resolve(import.meta.dirname, '../../fixtures/dicom');
const [STUDY, SERIES, INSTANCE] = [0x0020000d, 0x0020000e, 0x00080018];
/** As it is, uncompressed, and compressed without loss; HTJ2K (2024) is a transfer syntax that dciodvfy does not know yet. */
const SYNTAXES = {
  'as it is': '*',
  'explicit little endian': '1.2.840.10008.1.2.1',
  RLE: '1.2.840.10008.1.2.5',
  'JPEG lossless': '1.2.840.10008.1.2.4.70',
  'JPEG-LS': '1.2.840.10008.1.2.4.80',
  'JPEG 2000': '1.2.840.10008.1.2.4.90',
};

type Stored = { readonly file: string; readonly path: string };

let node: TestImaging;
let web: ImageWeb;
let folder = '';
const stored: Stored[] = [];

function pathOf(file: string): string | undefined {
  const source = openFileSource(file);
  try {
    const { dataSet } = readPart10(source);
    const [study, series, instance] = [STUDY, SERIES, INSTANCE].map((tag) => textOf(dataSet, tag));
    return `/studies/${study}/series/${series}/instances/${instance}`;
  } catch (caught) {
    if (caught instanceof DicomError) return undefined;
    throw caught;
  } finally {
    source.close();
  }
}

describe('objects of DICOMweb', { skip: verifierMissing, timeout: 600_000 }, () => {
  before(async () => {
    folder = await mkdtemp(path.join(os.tmpdir(), 'lantern-validity-'));
    node = await startTestImaging({ name: 'dicomweb-validity' });
    web = await serveImages(node);
    for (const entry of await readdir(FIXTURES, { recursive: true })) {
      const file = path.join(FIXTURES, entry);
      const where = entry.endsWith('.dcm') ? pathOf(file) : undefined;
      if (where === undefined) continue;
      const headers = { 'content-type': 'application/dicom' };
      const { status } = await web.fetch('/studies', { method: 'POST', headers, body: await readFile(file) });
      if (status === 200) stored.push({ file, path: where });
    }
  });

  after(async () => {
    await web?.close();
    await node?.close();
    await rm(folder, { recursive: true, force: true });
  });

  async function given({ path: where }: Stored, syntax: string): Promise<string | undefined> {
    const accept = `application/dicom; transfer-syntax=${syntax}`;
    const answer = await web.fetch(where, { headers: { accept } });
    if (answer.status === 406) return undefined; // it says why: no image, or none of those that the codec takes
    assert.equal(answer.status, 200, where);
    const output = path.join(folder, `${where.split('/').at(-1)}.dcm`);
    await writeFile(output, Buffer.from(await answer.arrayBuffer()));
    return output;
  }

  for (const [name, syntax] of Object.entries(SYNTAXES)) {
    it(`have no new error: ${name}`, async (t) => {
      const worse: string[] = [];
      let verified = 0;
      for (const one of stored) {
        const [output, before] = [await given(one, syntax), errorsIn(one.file)];
        if (output === undefined || before === undefined) continue;
        verified += 1;
        for (const [error, count] of errorsIn(output) ?? new Map([['cannot be read', 1]]))
          if (count > (before.get(error) ?? 0)) worse.push(`${path.basename(one.file)}: ${error}`);
      }
      t.diagnostic(`${verified} of ${stored.length} objects`);
      assert.deepEqual(worse, []);
      assert.ok(verified >= 10, `${verified} objects`);
    });
  }

  it('are of one study, series and patient as they were', async () => {
    const outputs: string[] = [];
    for (const one of stored) outputs.push((await given(one, '*')) ?? '');
    assert.ok(stored.length >= 20, `${stored.length} objects`);
    const [before, after] = [studyErrorCount(stored.map(({ file }) => file)), studyErrorCount(outputs)];
    assert.ok(after <= before, `${after} errors, ${before} before`);
  });
});
