import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { derivationOf, fixture } from '../../test/derivations.ts';
import { memorySource } from '../byte-source.ts';
import { itemsOf, numberOf, textOf } from '../data-set.ts';
import { DicomError } from '../dicom-error.ts';
import { textElement, withElements } from '../element-values.ts';
import { readPart10 } from '../part10.ts';
import { openPixels } from '../pixel/pixels.ts';
import { part10Of } from './derived-object.ts';
import { type CapturedPixels, type SecondaryCapture, secondaryCaptureOf } from './secondary-capture.ts';

const { dataSet: source } = fixture('MR_small.dcm');
const SOP_CLASS_UID = 0x00080016;
const SOURCE_IMAGE_SEQUENCE = 0x00082112;

const capture = (pixels: CapturedPixels, changes: Partial<SecondaryCapture> = {}) =>
  secondaryCaptureOf(derivationOf(source), {
    rows: 2,
    columns: 3,
    pixels,
    conversionType: 'WSD',
    burnedInAnnotation: false,
    ...changes,
  });
const refused = (field: string) => (thrown: unknown) =>
  thrown instanceof DicomError && thrown.code === 'object' && thrown.message.startsWith(field);

const grey8 = [Uint8Array.of(0, 1, 2, 253, 254, 255), Uint8Array.of(9, 8, 7, 6, 5, 4)];
const grey16 = [Uint16Array.of(0, 1, 257, 4094, 4095, 12), Uint16Array.of(6, 5, 4, 3, 2, 1)];
const rgb = [1, 2].map((step) => Uint8Array.from({ length: 18 }, (_, index) => index * step));

describe('a secondary capture', () => {
  test('has the class for its frames and pixels, and the pixels that it was made of', () => {
    const cases: readonly [CapturedPixels, string][] = [
      [{ kind: 'grey8', frames: grey8.slice(1) }, '1.2.840.10008.5.1.4.1.1.7'],
      [{ kind: 'grey8', frames: grey8 }, '1.2.840.10008.5.1.4.1.1.7.2'],
      [{ kind: 'grey16', bitsStored: 12, frames: grey16 }, '1.2.840.10008.5.1.4.1.1.7.3'],
      [{ kind: 'rgb', frames: rgb }, '1.2.840.10008.5.1.4.1.1.7.4'],
    ];
    for (const [pixels, sopClassUid] of cases) {
      const file = readPart10(memorySource(part10Of(capture(pixels))));
      assert.equal(textOf(file.dataSet, SOP_CLASS_UID), sopClassUid);
      const opened = openPixels(file);
      const frames = pixels.frames.map((_, index) => [...opened.frame(index).values]);
      assert.deepEqual(
        frames,
        pixels.frames.map((frame) => [...frame]),
      );
    }
  });

  test('refers to the images that it was made of, and says that one of them had lost something', () => {
    const lossy = withElements(source, [
      textElement('LossyImageCompression', '01'),
      textElement('LossyImageCompressionRatio', '12.5'),
      textElement('LossyImageCompressionMethod', 'ISO_10918_1'),
    ]);
    const object = capture({ kind: 'grey8', frames: grey8 }, { sources: [source, lossy] });
    assert.equal(itemsOf(object, SOURCE_IMAGE_SEQUENCE).length, 2);
    assert.equal(textOf(object, 0x00282110), '01');
    assert.equal(numberOf(object, 0x00282112), 12.5);
    assert.equal(textOf(object, 0x00282114), 'ISO_10918_1');
    assert.equal(textOf(capture({ kind: 'grey8', frames: grey8 }), 0x00282110), '00');
  });

  test('is refused where pixels do not fit', () => {
    assert.throws(() => capture({ kind: 'grey8', frames: [] }), refused('PixelData'));
    assert.throws(() => capture({ kind: 'grey8', frames: [Uint8Array.of(1)] }), refused('PixelData'));
    assert.throws(() => capture({ kind: 'rgb', frames: grey8 }), refused('PixelData'));
    assert.throws(() => capture({ kind: 'grey16', bitsStored: 11, frames: grey16 }), refused('PixelData'));
    assert.throws(() => capture({ kind: 'grey16', bitsStored: 8, frames: grey16 }), refused('BitsStored'));
  });

  test('is refused where an image that it was made of is of another patient or study', () => {
    for (const keyword of ['PatientID', 'StudyInstanceUID']) {
      const stranger = withElements(source, [textElement(keyword, '2.25.1')]);
      assert.throws(() => capture({ kind: 'grey8', frames: grey8 }, { sources: [stranger] }), refused(keyword));
    }
  });
});
