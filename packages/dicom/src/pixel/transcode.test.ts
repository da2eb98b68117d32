import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { memorySource } from '../byte-source.ts';
import { numberOf, textOf } from '../data-set.ts';
import { DicomError } from '../dicom-error.ts';
import { readPart10 } from '../part10.ts';
import { writePart10 } from '../part10-writer.ts';
import { openPixels } from './pixels.ts';
import { render } from './render.ts';
import { transcoded } from './transcode.ts';

const FIXTURES = path.resolve(import.meta.dirname, '../../../../fixtures/dicom');
const EXPLICIT = '1.2.840.10008.1.2.1';
const LOSSLESS = {
  RLE: '1.2.840.10008.1.2.5',
  JPEG: '1.2.840.10008.1.2.4.70',
  'JPEG-LS': '1.2.840.10008.1.2.4.80',
  'JPEG 2000': '1.2.840.10008.1.2.4.90',
  HTJ2K: '1.2.840.10008.1.2.4.201',
} as const;

const fixture = (name: string) => readPart10(memorySource(readFileSync(path.join(FIXTURES, name))), 512);

function rewritten(name: string, uid: string) {
  const original = fixture(name);
  const content = Buffer.concat([...writePart10({ ...transcoded(original, uid), meta: original.meta })]);
  return { original, content, made: readPart10(memorySource(content), 512) };
}

describe('an image in another transfer syntax', () => {
  for (const [coding, uid] of Object.entries(LOSSLESS)) {
    test(`has every pixel it had: ${coding}`, () => {
      for (const name of [
        'MR_small.dcm',
        'MR_small_bigendian.dcm',
        'pixels/SC_rgb_small_odd_big_endian.dcm',
        'pixels/SC_rgb_jpeg_gdcm.dcm',
        'pixels/sm_image_jpegls_nobot.dcm',
      ]) {
        const { original, made } = rewritten(name, uid);
        assert.equal(made.transferSyntax.uid, uid);
        const [before, after] = [openPixels(original), openPixels(made)];
        for (let index = 0; index < before.description.frameCount; index += 1) {
          assert.deepEqual(after.frame(index), before.frame(index), `${name}, frame ${index}`);
        }
      }
    });
  }

  test('is smaller when it is compressed, and says that its colours were transformed', () => {
    const { content, made } = rewritten('MR_small.dcm', LOSSLESS['JPEG-LS']);
    assert.ok(content.byteLength < 7000);
    assert.equal(textOf(made.dataSet, 0x00280004), 'MONOCHROME2');
    assert.equal(
      textOf(rewritten('pixels/SC_rgb_jpeg_gdcm.dcm', LOSSLESS['JPEG 2000']).made.dataSet, 0x00280004),
      'YBR_RCT',
    );
  });

  test('has an offset table that leads to its frames', () => {
    const { made } = rewritten('pixels/sm_image_jpegls_nobot.dcm', LOSSLESS.RLE);
    const value = made.dataSet.elements.get(0x7fe00010)?.value;
    assert.ok(value?.kind === 'fragments');
    const [table, ...frames] = value.fragments;
    assert.ok(table !== undefined && frames.length === 25);
    const offsets = made.source.bytes(table.start, table.length);
    const first = (frames[0]?.start ?? 0) - 8;
    assert.deepEqual(
      frames.map(({ start }) => start - 8 - first),
      Array.from({ length: 25 }, (_, index) => offsets.readUInt32LE(index * 4)),
    );
  });

  test('is RGB where its chrominance was coded at half its width, in the colours that are shown of it', () => {
    const { original, made } = rewritten('pixels/SC_rgb_dcmtk_+eb+cy+np.dcm', EXPLICIT);
    assert.equal(textOf(original.dataSet, 0x00280004), 'YBR_FULL_422');
    const frame = openPixels(made).frame(0);
    assert.equal(frame.photometricInterpretation, 'RGB');
    const shown = render(openPixels(original), { ...original, frameIndex: 0 });
    assert.deepEqual(Buffer.from(frame.values), shown.bytes);
  });

  test('is decoded to what it was before it was compressed, with attributes that say so', () => {
    const { made } = rewritten('pixels/SC_rgb_gdcm_KY.dcm', EXPLICIT);
    assert.equal(textOf(made.dataSet, 0x00280004), 'RGB');
    assert.equal(numberOf(made.dataSet, 0x00280006), 0);
    assert.equal(made.dataSet.elements.get(0x7fe00010)?.vr, 'OB');
    const native = rewritten('MR_small_jp2klossless.dcm', EXPLICIT).made;
    const value = native.dataSet.elements.get(0x7fe00010)?.value;
    const original = fixture('MR_small.dcm');
    const expected = original.dataSet.elements.get(0x7fe00010)?.value;
    assert.ok(value?.kind === 'range' && expected?.kind === 'range');
    assert.deepEqual(
      native.source.bytes(value.range.start, value.range.length),
      original.source.bytes(expected.range.start, expected.range.length),
    );
  });

  test('is only written otherwise between native syntaxes, and left alone in its own', () => {
    const { made } = rewritten('MR_small_bigendian.dcm', '1.2.840.10008.1.2');
    assert.deepEqual(openPixels(made).frame(0), openPixels(fixture('MR_small.dcm')).frame(0));
    const same = fixture('pixels/JPGExtended.dcm');
    assert.equal(transcoded(same, same.transferSyntax.uid), same);
  });

  test('is refused where all compressed frames together would take more memory than there is for them', () => {
    const original = fixture('pixels/SC_rgb_rle_16bit_2frame.dcm');
    const uid = LOSSLESS['JPEG-LS'];
    const value = transcoded(original, uid).dataSet.elements.get(0x7fe00010)?.value;
    assert.ok(value?.kind === 'fragments');
    const [, ...frames] = value.fragments.map(({ length }) => length);
    const sizeBytes = frames.reduce((sum, length) => sum + length, 0);
    assert.doesNotThrow(() => transcoded(original, uid, sizeBytes));
    assert.throws(() => transcoded(original, uid, sizeBytes - 1), {
      code: 'limit',
      message: `An image is not compressed to more than ${sizeBytes - 1} bytes.`,
    });
  });

  test('is refused where pixels would be lost or no codec is there', () => {
    const unsupported = (thrown: unknown) => thrown instanceof DicomError && thrown.code === 'unsupported';
    for (const uid of ['1.2.840.10008.1.2.4.50', '1.2.840.10008.1.2.4.91', '1.2.840.10008.1.2.4.100']) {
      assert.throws(() => transcoded(fixture('MR_small.dcm'), uid), unsupported, uid);
    }
    assert.throws(() => transcoded(fixture('pixels/rtdose_expb_1frame.dcm'), LOSSLESS['JPEG-LS']), unsupported);
    assert.throws(() => transcoded(fixture('pixels/SC_rgb_rle_16bit_2frame.dcm'), LOSSLESS['JPEG 2000']), unsupported);
  });
});
