/** Overlay planes (PS3.3 C.9.2): graphics and regions in single bits, beside an image or, until 2004, in unused bits of its pixels. */
import type { ByteSource } from '../byte-source.ts';
import { type DataSet, numberOf, numbersOf, textOf } from '../data-set.ts';
import { DicomError } from '../dicom-error.ts';
import type { Tag } from '../tag.ts';
import { FRAME_BYTES_MAX } from './pixel-description.ts';

const FIRST_GROUP = 0x6000;
const LAST_GROUP = 0x60fe;

export type Overlay = {
  readonly group: number;
  readonly kind: 'graphics' | 'region';
  readonly label: string | undefined;
  readonly rows: number;
  readonly columns: number;
  /** Where its first pixel lies in the image, counted from 1; may be outside [row, column]. */
  readonly origin: readonly [number, number];
  readonly frameCount: number;
  /** Which frame of the image its first one belongs to, counted from 1. */
  readonly firstFrame: number;
  /** One byte per pixel, 0 or 1 [rows, columns]; `index` from 0. Throws `truncated`. */
  frame(index: number): Uint8Array;
};

/** Overlays with data of their own; the retired ones in unused bits of pixels are left out. Throws `malformed`, `limit`. */
export function overlaysOf(dataSet: DataSet, source: ByteSource): Overlay[] {
  const groups = Array.from({ length: (LAST_GROUP - FIRST_GROUP) / 2 + 1 }, (_, index) => FIRST_GROUP + index * 2);
  return groups.flatMap((group) => overlayIn(dataSet, source, group) ?? []);
}

function overlayIn(dataSet: DataSet, source: ByteSource, group: number): Overlay | undefined {
  const tag = (element: number): Tag => ((group << 16) | element) >>> 0;
  const value = dataSet.elements.get(tag(0x3000))?.value;
  if (value === undefined || value.kind === 'items' || value.kind === 'fragments') return undefined;
  const rows = numberOf(dataSet, tag(0x0010)) ?? 0;
  const columns = numberOf(dataSet, tag(0x0011)) ?? 0;
  if (rows === 0 || columns === 0) throw new DicomError('malformed', 'An overlay has no size.');
  if (rows * columns > FRAME_BYTES_MAX) throw new DicomError('limit', 'An overlay is too large.');
  const [row = 1, column = 1] = numbersOf(dataSet, tag(0x0050));
  const size = value.kind === 'bytes' ? value.bytes.byteLength : value.range.length;
  const read = (start: number, length: number) =>
    value.kind === 'bytes'
      ? value.bytes.subarray(start, start + length)
      : source.bytes(value.range.start + start, length);
  return {
    group,
    kind: textOf(dataSet, tag(0x0040)) === 'R' ? 'region' : 'graphics',
    label: textOf(dataSet, tag(0x1500)),
    rows,
    columns,
    origin: [row, column],
    frameCount: numberOf(dataSet, tag(0x0015)) ?? 1,
    firstFrame: numberOf(dataSet, tag(0x0051)) ?? 1,
    frame: (index) => {
      const first = index * rows * columns;
      const start = first >>> 3;
      const end = Math.ceil((first + rows * columns) / 8);
      if (end > size) throw new DicomError('truncated', 'An overlay has fewer bits than its size needs.');
      const bytes = read(start, end - start);
      return Uint8Array.from({ length: rows * columns }, (_, pixel) => {
        const bit = first - start * 8 + pixel;
        return ((bytes[bit >>> 3] ?? 0) >>> (bit & 7)) & 1;
      });
    },
  };
}
