/**
 * Where each frame lies in encapsulated pixel data (PS3.5 A.4): the fragments of a frame, found without reading the pixels. Tables
 * of offsets come first, as they are exact; without one, a fragment is a frame where there are as many, and else a frame begins
 * with each fragment that begins a codestream.
 */
import type { ByteSource } from '../byte-source.ts';
import type { ByteRange, DataSet } from '../data-set.ts';
import { DicomError } from '../dicom-error.ts';
import { PIXEL_TAGS } from './pixel-description.ts';

const ITEM_HEADER_BYTES = 8;
/** How JPEG and JPEG-LS (SOI), and JPEG 2000 (SOC) begin. */
const BEGINNINGS: ReadonlySet<number> = new Set([0xffd8, 0xff4f]);

/** The fragments of each frame. Throws `malformed` where they cannot be told apart. */
export function frameRanges(dataSet: DataSet, source: ByteSource, frameCount: number): ByteRange[][] {
  const value = dataSet.elements.get(PIXEL_TAGS.pixelData)?.value;
  if (value?.kind !== 'fragments') throw new DicomError('malformed', 'PixelData is not encapsulated.');
  const [table, ...fragments] = value.fragments;
  if (table === undefined || fragments.length === 0) throw new DicomError('malformed', 'PixelData has no fragments.');
  if (frameCount === 1) return [fragments];
  const offsets = extendedOffsets(dataSet, source) ?? basicOffsets(source, table);
  const starts =
    (offsets.length === frameCount ? startsAt(offsets, fragments) : undefined) ??
    (fragments.length === frameCount ? fragments.map((_, index) => index) : codestreamStarts(fragments, source));
  if (starts.length !== frameCount)
    throw new DicomError('malformed', 'The fragments of PixelData cannot be told apart by frame.');
  return starts.map((start, index) => fragments.slice(start, starts[index + 1]));
}

/** PS3.5 A.4: offsets of 32 bits from the first fragment's item. */
function basicOffsets(source: ByteSource, { start, length }: ByteRange): number[] {
  const bytes = source.bytes(start, length);
  return Array.from({ length: Math.floor(length / 4) }, (_, index) => bytes.readUInt32LE(index * 4));
}

/** PS3.3 C.7.6.3.1.8: the same with 64 bits; it then stands alone, and each frame is one fragment. */
function extendedOffsets(dataSet: DataSet, source: ByteSource): number[] | undefined {
  const value = dataSet.elements.get(PIXEL_TAGS.extendedOffsetTable)?.value;
  if (value === undefined || value.kind === 'items' || value.kind === 'fragments') return undefined;
  const bytes = value.kind === 'bytes' ? value.bytes : source.bytes(value.range.start, value.range.length);
  return Array.from({ length: Math.floor(bytes.byteLength / 8) }, (_, index) =>
    Number(bytes.readBigUInt64LE(index * 8)),
  );
}

/** Offsets as indices of fragments; `undefined` where one is none, as some programs write. */
function startsAt(offsets: readonly number[], fragments: readonly ByteRange[]): number[] | undefined {
  const first = (fragments[0]?.start ?? 0) - ITEM_HEADER_BYTES;
  const byOffset = new Map(fragments.map(({ start }, index) => [start - ITEM_HEADER_BYTES - first, index]));
  const starts = offsets.map((offset) => byOffset.get(offset) ?? -1);
  return starts.every((start, index) => start > (starts[index - 1] ?? -1)) && starts[0] === 0 ? starts : undefined;
}

function codestreamStarts(fragments: readonly ByteRange[], source: ByteSource): number[] {
  return fragments.flatMap(({ start, length }, index) =>
    length >= 2 && BEGINNINGS.has(source.bytes(start, 2).readUInt16BE(0)) ? [index] : [],
  );
}
