/**
 * The frames of an image, one at a time, whatever its transfer syntax; the file is never read as a whole. Works on the top data set
 * of an object and on an item with pixels of its own, as of IconImageSequence.
 */
import assert from 'node:assert/strict';
import type { ByteSource } from '../byte-source.ts';
import { type DataSet, swapped, wordBytesOf } from '../data-set.ts';
import { DicomError } from '../dicom-error.ts';
import type { TransferSyntax } from '../transfer-syntax.ts';
import { decodeFrame, isNativeSyntax } from './codecs.ts';
import { frameRanges } from './frame-ranges.ts';
import {
  frameBits,
  type PhotometricInterpretation,
  PIXEL_TAGS,
  type PixelDescription,
  pixelDescriptionOf,
} from './pixel-description.ts';
import type { PixelFrame } from './pixel-frame.ts';
import { nativeValues, type PixelValues, valuesOfCells } from './pixel-values.ts';

/** Compressed, a frame is not larger than uncompressed by more than a header; claims beyond are damage. */
const ENCODED_FRAME_BYTES_MAX = 512 * 1024 * 1024;

export type Pixels = {
  readonly description: PixelDescription;
  /** `index` from 0. Throws `malformed`, `truncated`, `unsupported`. */
  frame(index: number): PixelFrame;
  /** The frame as it stands in the file: compressed, or native cells in the byte order of the data set. */
  encodedFrame(index: number): Buffer;
};

export type PixelSource = {
  readonly dataSet: DataSet;
  readonly source: ByteSource;
  readonly transferSyntax: TransferSyntax;
};

/** Throws `malformed` where there are no pixels or their description breaks a rule, `unsupported`, `limit`. */
export function openPixels(object: PixelSource): Pixels {
  const description = pixelDescriptionOf(object.dataSet);
  const element = object.dataSet.elements.get(PIXEL_TAGS[description.element]);
  if (element === undefined || element.value.kind === 'items')
    throw new DicomError('malformed', 'The data set has no pixels.');
  return element.value.kind === 'fragments'
    ? encapsulatedPixels(object, description)
    : nativePixels(object, description);
}

function frameOf(
  description: PixelDescription,
  values: PixelValues,
  photometric: PhotometricInterpretation,
): PixelFrame {
  const { rows, columns, samplesPerPixel } = description;
  assert.equal(values.length, rows * columns * samplesPerPixel, 'A frame has another number of values.');
  return { rows, columns, samplesPerPixel, photometricInterpretation: photometric, values };
}

function assertFrame(index: number, { frameCount }: PixelDescription): void {
  assert.ok(Number.isInteger(index) && index >= 0 && index < frameCount, 'There is no such frame.');
}

function encapsulatedPixels({ dataSet, source, transferSyntax }: PixelSource, description: PixelDescription): Pixels {
  const ranges = frameRanges(dataSet, source, description.frameCount);
  const encodedFrame = (index: number): Buffer => {
    assertFrame(index, description);
    const fragments = ranges[index] ?? [];
    if (fragments.reduce((sum, { length }) => sum + length, 0) > ENCODED_FRAME_BYTES_MAX)
      throw new DicomError('limit', `A compressed frame has more than ${ENCODED_FRAME_BYTES_MAX} bytes.`);
    return Buffer.concat(fragments.map(({ start, length }) => source.bytes(start, length)));
  };
  const frame = (index: number): PixelFrame => {
    const encoded = encodedFrame(index);
    const { photometricInterpretation } = description;
    if (isNativeSyntax(transferSyntax.uid))
      return frameOf(description, nativeValues(encoded, 0, description), fullColour(photometricInterpretation));
    const { bytes, cells, photometric } = decodeFrame(encoded, description, transferSyntax.uid);
    return frameOf(description, valuesOfCells(bytes, cells), photometric);
  };
  return { description, frame, encodedFrame };
}

function nativePixels({ dataSet, source }: PixelSource, description: PixelDescription): Pixels {
  const read = nativeReader(dataSet, source, description);
  const bits = frameBits(description);
  const at = (index: number) => {
    assertFrame(index, description);
    const firstBit = index * bits;
    const start = Math.floor(firstBit / 8);
    return { start, firstBit: firstBit - start * 8, length: Math.ceil((firstBit + bits) / 8) - start };
  };
  return {
    description,
    frame: (index) => {
      const { start, length, firstBit } = at(index);
      const values = nativeValues(read(start, length), firstBit, description);
      return frameOf(description, values, fullColour(description.photometricInterpretation));
    },
    encodedFrame: (index) => {
      const { start, length } = at(index);
      return read(start, length);
    },
  };
}

/** Reads part of the pixel data in little endian, where words begin at an even place. */
function nativeReader(dataSet: DataSet, source: ByteSource, description: PixelDescription) {
  const element = dataSet.elements.get(PIXEL_TAGS[description.element]);
  const value = element?.value;
  assert.ok(element !== undefined && (value?.kind === 'bytes' || value?.kind === 'range'));
  const size = value.kind === 'bytes' ? value.bytes.byteLength : value.range.length;
  const raw = (start: number, end: number) =>
    value.kind === 'bytes' ? value.bytes.subarray(start, end) : source.bytes(value.range.start + start, end - start);
  const word = dataSet.littleEndian || element.vr === 'UN' ? undefined : wordBytesOf(element, dataSet);
  return (start: number, length: number): Buffer => {
    const end = start + length;
    if (end > size) throw new DicomError('truncated', 'There are fewer pixels than the image needs.');
    if (word === undefined) return raw(start, end);
    const first = start - (start % word);
    const last = Math.min(size, end + ((word - (end % word)) % word));
    return swapped(raw(first, last), word).subarray(start - first, end - first);
  };
}

/** As `nativeValues` gives them: YBR_PARTIAL_422 keeps its name, as its ranges are others than those of YBR_FULL. */
function fullColour(photometric: PhotometricInterpretation): PhotometricInterpretation {
  return photometric === 'YBR_FULL_422' ? 'YBR_FULL' : photometric;
}
