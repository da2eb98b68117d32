/** RLE compression (PS3.5 annex G): a header of 16 numbers, then a segment per byte of each sample, packed as in TIFF (PackBits). */
import { DicomError } from '../dicom-error.ts';

const HEADER_BYTES = 64;
const SEGMENTS_MAX = 15;

export type RleShape = {
  readonly pixelCount: number;
  readonly samplesPerPixel: number;
  readonly bytesPerSample: number;
  /** For encoding: runs do not go over the end of a row (G.3.1) [pixels]. */
  readonly columns: number;
};

/** Samples of each pixel together, little endian. Throws `malformed`; takes no more memory than the shape needs. */
export function decodeRle(encoded: Buffer, shape: RleShape): Buffer {
  const { pixelCount, samplesPerPixel, bytesPerSample } = shape;
  const count = samplesPerPixel * bytesPerSample;
  if (encoded.byteLength < HEADER_BYTES || encoded.readUInt32LE(0) !== count)
    throw new DicomError('malformed', 'The number of RLE segments is not what the image needs.');
  const decoded = Buffer.alloc(pixelCount * count);
  for (let segment = 0; segment < count; segment += 1) {
    const start = encoded.readUInt32LE(4 + segment * 4);
    const next = segment + 1 < count ? encoded.readUInt32LE(8 + segment * 4) : encoded.byteLength;
    if (start < HEADER_BYTES || next < start || next > encoded.byteLength)
      throw new DicomError('malformed', 'An RLE segment lies outside its frame.');
    const sample = Math.floor(segment / bytesPerSample);
    const significance = bytesPerSample - 1 - (segment % bytesPerSample); // the most significant byte comes first (G.2)
    const first = sample * bytesPerSample + significance;
    unpack(encoded.subarray(start, next), decoded, { first, stride: count, pixelCount });
  }
  return decoded;
}

function unpack(
  packed: Buffer,
  target: Buffer,
  { first, stride, pixelCount }: { first: number; stride: number; pixelCount: number },
): void {
  const end = first + pixelCount * stride;
  let to = first;
  let at = 0;
  while (to < end) {
    const control = packed[at];
    if (control === undefined) throw new DicomError('truncated', 'An RLE segment ends before its image.');
    at += 1;
    if (control < 128) {
      for (let stop = at + control + 1; at < stop && to < end; at += 1, to += stride) target[to] = packed[at] ?? 0;
    } else if (control > 128) {
      const byte = packed[at] ?? 0;
      at += 1;
      for (let left = 257 - control; left > 0 && to < end; left -= 1, to += stride) target[to] = byte;
    }
    // 128 says nothing.
  }
}

/** `samples`: as `decodeRle` gives them. Throws `unsupported` where there are more segments than the header names. */
export function encodeRle(samples: Buffer, shape: RleShape): Buffer {
  const { samplesPerPixel, bytesPerSample, columns, pixelCount } = shape;
  const count = samplesPerPixel * bytesPerSample;
  if (count > SEGMENTS_MAX) throw new DicomError('unsupported', 'RLE has at most 15 segments.');
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt32LE(count, 0);
  const segments: Buffer[] = [header];
  let offset = HEADER_BYTES;
  for (let segment = 0; segment < count; segment += 1) {
    const first =
      Math.floor(segment / bytesPerSample) * bytesPerSample + bytesPerSample - 1 - (segment % bytesPerSample);
    const plane = Buffer.alloc(pixelCount);
    for (let pixel = 0; pixel < pixelCount; pixel += 1) plane[pixel] = samples[pixel * count + first] ?? 0;
    const packed = pack(plane, columns);
    header.writeUInt32LE(offset, 4 + segment * 4);
    segments.push(packed);
    offset += packed.byteLength;
  }
  return Buffer.concat(segments);
}

/** Padded to an even length (G.3.1). */
function pack(plane: Buffer, columns: number): Buffer {
  const packed = Buffer.alloc(
    plane.byteLength + Math.ceil(plane.byteLength / columns) * (Math.ceil(columns / 128) + 1) + 1,
  );
  let to = 0;
  for (let row = 0; row < plane.byteLength; row += columns) {
    to = packRow(plane.subarray(row, row + columns), packed, to);
  }
  return packed.subarray(0, to + (to % 2));
}

function packRow(row: Buffer, packed: Buffer, start: number): number {
  let to = start;
  let at = 0;
  while (at < row.byteLength) {
    const run = runAt(row, at);
    if (run >= 2) {
      packed[to] = 257 - run;
      packed[to + 1] = row[at] ?? 0;
      to += 2;
      at += run;
      continue;
    }
    let end = at + 1;
    while (end < row.byteLength && end - at < 128 && runAt(row, end) < 3) end += 1;
    packed[to] = end - at - 1;
    row.copy(packed, to + 1, at, end);
    to += 1 + end - at;
    at = end;
  }
  return to;
}

/** How often the byte at `at` is repeated there, at most 128. */
function runAt(row: Buffer, at: number): number {
  let end = at + 1;
  while (end < row.byteLength && end - at < 128 && row[end] === row[at]) end += 1;
  return end - at;
}
