/** Pixels that we compress and pictures that we render, beside pydicom (with libjpeg, CharLS and OpenJPEG) and DCMTK. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, describe, test } from 'node:test';
import { jpegOf, memorySource, openPixels, pngOf, readPart10, render, transcoded, writePart10 } from '@lantern/dicom';
import { dicomProgramsMissing, run } from './dicom-programs.ts';
import { askPython, peersMissing } from './python.ts';

const FIXTURES = path.resolve(import.meta.dirname, '../../fixtures/dicom');
const COLLECTION = path.join(
  process.env['LANTERN_DATA_DIR'] ?? path.resolve(import.meta.dirname, '../../../shared/data'),
  'dicom/pydicom/test_files',
);
const LOSSLESS = ['1.2.5', '1.2.4.70', '1.2.4.80', '1.2.4.90', '1.2.4.201'].map((end) => `1.2.840.10008.${end}`);
const folder = mkdtempSync(path.join(tmpdir(), 'lantern-pixels-'));
after(() => rmSync(folder, { recursive: true }));

const read = (file: string) => readPart10(memorySource(readFileSync(file)), 4096);

function sumOf(file: string): string {
  const pixels = openPixels(read(file));
  const sum = createHash('sha256');
  for (let index = 0; index < pixels.description.frameCount; index += 1)
    sum.update(Int32Array.from(pixels.frame(index).values));
  return sum.digest('hex');
}

describe('pixels that we compress', { skip: peersMissing }, () => {
  test('are to pydicom what they were, in every lossless transfer syntax', async () => {
    const files: string[] = [];
    const sums: string[] = [];
    for (const name of ['MR_small.dcm', 'pixels/SC_rgb_jpeg_gdcm.dcm', 'pixels/sm_image_jpegls_nobot.dcm']) {
      const original = read(path.join(FIXTURES, name));
      for (const uid of LOSSLESS) {
        const file = path.join(folder, `${path.basename(name)}-${uid}.dcm`);
        writeFileSync(file, Buffer.concat([...writePart10(transcoded(original, uid))]));
        files.push(file);
        sums.push(sumOf(path.join(FIXTURES, name)));
      }
    }
    const { stored } = await askPython<{ stored: string[] }>('dicom_pixels_peer.py', { stored: files });
    assert.deepEqual(stored, sums);
    assert.equal(new Set(sums).size, 3);
  });
});

describe('pictures that we render', () => {
  test('are those of DCMTK, for a window of the image', { skip: dicomProgramsMissing }, async () => {
    for (const name of ['MR_small.dcm', 'MR_small_RLE.dcm', 'pixels/MR_small_jpeg_ls_lossless.dcm']) {
      const file = path.join(FIXTURES, name);
      const theirs = path.join(folder, 'theirs.pgm');
      const native = path.join(folder, 'native.dcm');
      writeFileSync(native, Buffer.concat([...writePart10(transcoded(read(file), '1.2.840.10008.1.2.1'))]));
      const { exitCode, output } = await run('dcm2pnm', ['+Wi', '1', '+op', native, theirs]);
      assert.equal(exitCode, 0, output);
      const object = read(file);
      const { bytes } = render(openPixels(object), { ...object, frameIndex: 0 });
      const expected = readFileSync(theirs).subarray(-bytes.byteLength);
      const difference = bytes.reduce(
        (max, level, index) => Math.max(max, Math.abs(level - (expected[index] ?? 0))),
        0,
      );
      assert.ok(difference <= 1, `${name}: ${difference}`);
      assert.ok(new Set(bytes).size > 100);
    }
  });

  test('have the colours of pydicom: palette, luminance and chrominance, JPEG 2000', {
    skip: peersMissing,
  }, async (t) => {
    if (!existsSync(COLLECTION)) return t.skip('the collection is not at hand (LANTERN_DATA_DIR names its folder)');
    const names = [
      'examples_palette.dcm',
      'examples_ybr_color.dcm',
      'examples_rgb_color.dcm',
      'examples_jpeg2k.dcm',
      'SC_ybr_full_422_uncompressed.dcm',
      'SC_rgb_dcmtk_+eb+cy+s2.dcm',
    ];
    const pictures = names.map((name) => {
      const original = path.join(COLLECTION, name);
      const object = read(original);
      const ours = path.join(folder, `${name}.png`);
      writeFileSync(ours, pngOf(render(openPixels(object), { ...object, frameIndex: 0 })));
      return [ours, original];
    });
    const { differences } = await askPython<{ differences: number[] }>('dicom_pixels_peer.py', { pictures });
    for (const [index, difference] of differences.entries())
      assert.ok(difference <= 3, `${names[index]}: ${difference}`);
  });

  test('are read by Pillow as JPEG', { skip: peersMissing }, async () => {
    const original = path.join(FIXTURES, 'pixels/SC_rgb_jpeg_gdcm.dcm');
    const object = read(original);
    const ours = path.join(folder, 'ours.jpg');
    writeFileSync(ours, jpegOf(render(openPixels(object), { ...object, frameIndex: 0 }), 95));
    const { differences } = await askPython<{ differences: number[] }>('dicom_pixels_peer.py', {
      pictures: [[ours, original]],
    });
    assert.ok((differences[0] ?? 255) < 40, `${differences[0]}`); // sharp edges between pure colours
  });
});
