/** Values apart from their data set: what a BulkDataURI stands for (PS3.18 10.4.1.1.5), and frames (10.4.1.1.6). */
import { type DataSet, inLittleEndian, itemsOf, wordBytesOf } from '../data-set.ts';
import { bytesOf, type SourceRange } from '../data-set-writer.ts';
import { DicomError } from '../dicom-error.ts';
import { canEncode, encodeFrame } from '../pixel/codecs.ts';
import { openPixels, type PixelSource, type Pixels } from '../pixel/pixels.ts';
import { transcoded } from '../pixel/transcode.ts';
import { transferSyntaxOf } from '../transfer-syntax.ts';

const PATH = /^[0-9A-Fa-f]{8}(\.[1-9][0-9]{0,6}\.[0-9A-Fa-f]{8}){0,32}$/;

/**
 * The value at `path`, as `BulkDataUri` names it, in little endian and in blocks; `undefined` where there is none. Encapsulated pixels
 * come as their fragments: whoever wants them decoded transcodes first.
 */
export function bulkDataAt(
  object: Pick<PixelSource, 'dataSet' | 'source'>,
  path: string,
): Iterable<Buffer> | undefined {
  if (!PATH.test(path)) return undefined;
  const steps = path.split('.');
  let holder: DataSet | undefined = object.dataSet;
  for (let at = 0; at + 2 < steps.length; at += 2) {
    holder = itemsOf(holder, tagIn(steps[at]))[Number(steps[at + 1]) - 1];
    if (holder === undefined) return undefined;
  }
  const element = holder.elements.get(tagIn(steps.at(-1)));
  if (element === undefined) return undefined;
  const { value } = element;
  switch (value.kind) {
    case 'items':
      return undefined;
    case 'bytes':
      return [inLittleEndian(element, value.bytes, holder)];
    case 'fragments':
      return bytesOf(value.fragments.slice(1), object.source); // behind the table of offsets
    case 'range': {
      const word = holder.littleEndian || element.vr === 'UN' ? undefined : wordBytesOf(element, holder);
      const range: SourceRange = word === undefined ? value.range : { ...value.range, swapBytes: word };
      return bytesOf([range], object.source);
    }
  }
}

function tagIn(step: string | undefined): number {
  return Number.parseInt(step ?? '', 16);
}

export type Frames = { readonly frameCount: number; frame(index: number): Buffer };

/**
 * The frames of an image as they stand in `transferSyntaxUid`, made one at a time: native ones little endian, those of one bit
 * beginning with a byte of their own. Throws as `openPixels` and `transcoded`.
 */
export function framesIn(object: PixelSource, transferSyntaxUid: string): Frames {
  const isWanted = transferSyntaxUid === object.transferSyntax.uid;
  if (!isWanted && transferSyntaxOf(transferSyntaxUid).pixels === 'encapsulated') {
    if (!canEncode(transferSyntaxUid))
      throw new DicomError('unsupported', 'Pixels are not compressed in this transfer syntax.');
    const { description, frame } = openPixels(object);
    return {
      frameCount: description.frameCount,
      frame: (index) => encodeFrame(frame(index), description, transferSyntaxUid).bytes,
    };
  }
  const made = isWanted ? object : transcoded(object, transferSyntaxUid);
  const pixels = openPixels(made);
  const { frameCount, bitsAllocated } = pixels.description;
  const isBits = bitsAllocated === 1 && made.transferSyntax.pixels === 'native';
  return { frameCount, frame: (index) => (isBits ? packed(pixels, index) : pixels.encodedFrame(index)) };
}

/** Eight pixels to a byte, the first in the lowest bit (PS3.5 8.1.1). */
function packed(pixels: Pixels, index: number): Buffer {
  const { values } = pixels.frame(index);
  const bytes = Buffer.alloc(Math.ceil(values.length / 8));
  for (let at = 0; at < values.length; at += 1) {
    if (values[at] !== 0) bytes[at >>> 3] = (bytes[at >>> 3] ?? 0) | (1 << (at & 7));
  }
  return bytes;
}
