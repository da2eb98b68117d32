/**
 * An image in another transfer syntax (PS3.5 annex A): pixels decoded, or compressed without loss. All else stays as it is. Large
 * values stay in the source; decoded frames are made when the result is read, so that memory holds one of them, while compressed
 * ones, whose sizes must be known first, are made at once.
 */
import type { ByteSource } from '../byte-source.ts';
import type { ByteRange, DataSet, Element } from '../data-set.ts';
import { DicomError } from '../dicom-error.ts';
import { numberElement, type Removal, textElement, withElements } from '../element-values.ts';
import { transferSyntaxOf } from '../transfer-syntax.ts';
import { canDecode, canEncode, encodeFrame, isNativeSyntax } from './codecs.ts';
import { rgbOfYbr } from './colour.ts';
import { PIXEL_TAGS, type PixelDescription } from './pixel-description.ts';
import { bytesOfValues } from './pixel-values.ts';
import { openPixels, type PixelSource, type Pixels } from './pixels.ts';

/**
 * What all compressed frames of an image may take: they are held in memory until they are written, of each image that somebody asks
 * for. A whole study of CT fits; a film that does not is given as it is, or frame by frame.
 */
const ENCODED_BYTES_MAX = 256 * 1024 * 1024;
const OFFSET_TABLES: readonly Removal[] = [
  { remove: PIXEL_TAGS.extendedOffsetTable },
  { remove: PIXEL_TAGS.extendedOffsetTableLengths },
];

/** Whether there are codecs for the way; an image may still be none of those that they take. */
export function canTranscode(fromUid: string, toUid: string): boolean {
  if (fromUid === toUid) return true;
  const [from, to] = [transferSyntaxOf(fromUid), transferSyntaxOf(toUid)];
  const isReadable = from.pixels === 'native' || isNativeSyntax(fromUid) || canDecode(fromUid);
  return isReadable && (to.pixels === 'native' || canEncode(toUid));
}

/** Ready to be written. Throws `unsupported` where there is no codec for one of the syntaxes, `limit`, and what decoding throws. */
export function transcoded(
  object: PixelSource,
  transferSyntaxUid: string,
  encodedBytesMax = ENCODED_BYTES_MAX,
): PixelSource {
  const transferSyntax = transferSyntaxOf(transferSyntaxUid);
  const value = object.dataSet.elements.get(PIXEL_TAGS.pixelData)?.value;
  if (transferSyntaxUid === object.transferSyntax.uid) return object;
  const isEncapsulated = value?.kind === 'fragments';
  if (transferSyntax.pixels === 'native') {
    return isEncapsulated ? { ...decoded(object), transferSyntax } : { ...object, transferSyntax };
  }
  if (!canEncode(transferSyntaxUid))
    throw new DicomError('unsupported', 'Pixels are not compressed in this transfer syntax.');
  if (value === undefined) return { ...object, transferSyntax };
  return { ...encoded(object, transferSyntaxUid, encodedBytesMax), transferSyntax };
}

type Content = Pick<PixelSource, 'dataSet' | 'source'>;

function decoded(object: PixelSource): Content {
  const pixels = openPixels(object);
  const { description } = pixels;
  const frames = frameSource(pixels);
  const range = { start: object.source.sizeBytes, length: frames.sizeBytes };
  const photometricInterpretation = becomesRgb(description) ? 'RGB' : pixels.frame(0).photometricInterpretation;
  const dataSet = withElements(object.dataSet, [
    textElement('PhotometricInterpretation', photometricInterpretation),
    numberElement('HighBit', description.bitsStored - 1),
    ...planar(description),
    ...OFFSET_TABLES,
    () => ({ tag: PIXEL_TAGS.pixelData, vr: nativeVr(description), value: { kind: 'range', range } }),
  ]);
  return { dataSet, source: joined(object.source, frames) };
}

/**
 * Colour whose chrominance was coded at half its width comes out at full width, as YBR_FULL. Ultrasound and other images may not
 * have that uncompressed (PS3.3 C.8.5.6.1.2), but all may be RGB; no exact value is lost, as the coding kept none.
 */
function becomesRgb({ photometricInterpretation, bitsAllocated }: PixelDescription): boolean {
  return photometricInterpretation === 'YBR_FULL_422' && bitsAllocated === 8;
}

/** PS3.5 A.2: OB for cells of up to eight bits may be, OW for larger ones must be. */
function nativeVr({ bitsAllocated }: PixelDescription): Element['vr'] {
  return bitsAllocated > 8 ? 'OW' : 'OB';
}

/** Decoded and compressed samples stand together by pixel. */
function planar({ samplesPerPixel }: PixelDescription) {
  return samplesPerPixel === 1 ? [] : [numberElement('PlanarConfiguration', 0)];
}

/** The decoded frames one after the other; the last one that was asked for is kept. */
function frameSource({ description, frame }: Pixels): ByteSource {
  const { rows, columns, samplesPerPixel, bitsAllocated, frameCount } = description;
  const frameBytes = (rows * columns * samplesPerPixel * bitsAllocated) / 8;
  let last: { readonly index: number; readonly bytes: Buffer } | undefined;
  const at = (index: number): Buffer => {
    if (last?.index === index) return last.bytes;
    const decoded = bytesOfValues(frame(index).values, bitsAllocated);
    last = { index, bytes: becomesRgb(description) ? rgbOfYbr(decoded) : decoded };
    return last.bytes;
  };
  return {
    sizeBytes: frameBytes * frameCount,
    bytes: (start, length) => {
      const end = start + length;
      const parts: Buffer[] = [];
      for (let index = Math.floor(start / frameBytes); index * frameBytes < end; index += 1) {
        const first = index * frameBytes;
        parts.push(at(index).subarray(Math.max(start - first, 0), Math.min(end - first, frameBytes)));
      }
      return Buffer.concat(parts);
    },
  };
}

/** Values one after the other, none read over its end: a copy of them all would take their memory twice. */
function valuesSource(values: readonly Buffer[]): ByteSource {
  const starts: number[] = [];
  let sizeBytes = 0;
  for (const { byteLength } of values) {
    starts.push(sizeBytes);
    sizeBytes += byteLength;
  }
  return {
    sizeBytes,
    bytes(start, length) {
      const index = starts.findLastIndex((one) => one <= start);
      const at = start - (starts[index] ?? 0);
      return values[index]?.subarray(at, at + length) ?? Buffer.alloc(0);
    },
  };
}

/** Two sources as one; no value may go over the seam. */
function joined(first: ByteSource, second: ByteSource): ByteSource {
  return {
    sizeBytes: first.sizeBytes + second.sizeBytes,
    bytes: (start, length) =>
      start >= first.sizeBytes ? second.bytes(start - first.sizeBytes, length) : first.bytes(start, length),
  };
}

function encoded(object: PixelSource, transferSyntaxUid: string, encodedBytesMax: number): Content {
  const pixels = openPixels(object);
  const { description } = pixels;
  const frames: Buffer[] = [];
  let sizeBytes = 0;
  let photometric: string = description.photometricInterpretation;
  for (let index = 0; index < description.frameCount; index += 1) {
    const frame = encodeFrame(pixels.frame(index), description, transferSyntaxUid);
    sizeBytes += frame.bytes.byteLength;
    if (sizeBytes > encodedBytesMax)
      throw new DicomError('limit', `An image is not compressed to more than ${encodedBytesMax} bytes.`);
    frames.push(frame.bytes);
    photometric = frame.photometricInterpretation;
  }
  const content = valuesSource([offsetTable(frames), ...frames]);
  const fragments = fragmentsOf(frames, object.source.sizeBytes);
  const dataSet: DataSet = withElements(object.dataSet, [
    textElement('PhotometricInterpretation', photometric),
    numberElement('HighBit', description.bitsStored - 1),
    ...planar(description),
    ...OFFSET_TABLES,
    () => ({ tag: PIXEL_TAGS.pixelData, vr: 'OB', value: { kind: 'fragments', fragments } }),
  ]);
  return { dataSet, source: joined(object.source, content) };
}

const ITEM_HEADER_BYTES = 8;

/** PS3.5 A.4: where the item of each frame begins, counted from that of the first. Frames have even lengths. */
function offsetTable(frames: readonly Buffer[]): Buffer {
  const table = Buffer.alloc(frames.length * 4);
  let offset = 0;
  for (const [index, frame] of frames.entries()) {
    table.writeUInt32LE(offset, index * 4);
    offset += ITEM_HEADER_BYTES + frame.byteLength;
  }
  return table;
}

/** The table and the frames as they lie in the source that `start` bytes come before. */
function fragmentsOf(frames: readonly Buffer[], start: number): ByteRange[] {
  const lengths = [frames.length * 4, ...frames.map((frame) => frame.byteLength)];
  let at = start;
  return lengths.map((length) => {
    const range = { start: at, length };
    at += length;
    return range;
  });
}
