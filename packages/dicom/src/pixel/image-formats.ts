/** Rendered images as PNG (ISO/IEC 15948) and JPEG, for PS3.18 rendered resources. */
import { crc32, deflateSync } from 'node:zlib';
import { encodeNatively } from './native-codecs.ts';
import type { RenderedImage } from './render.ts';

const PNG_SIGNATURE = Buffer.from('89504e470d0a1a0a', 'hex');
const GRAY = 0;
const RGB = 2;
/** Each row names what it is to be filtered by; the one above is best for images that change slowly. */
const FILTER_UP = 2;

export function pngOf({ rows, columns, samplesPerPixel, bytes }: RenderedImage): Buffer {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(columns, 0);
  header.writeUInt32BE(rows, 4);
  header[8] = 8; // bits
  header[9] = samplesPerPixel === 1 ? GRAY : RGB;
  const stride = columns * samplesPerPixel;
  const filtered = Buffer.alloc(rows * (stride + 1));
  for (let row = 0; row < rows; row += 1) {
    const to = row * (stride + 1);
    filtered[to] = FILTER_UP;
    for (let at = 0; at < stride; at += 1) {
      const above = row === 0 ? 0 : (bytes[(row - 1) * stride + at] ?? 0);
      filtered[to + 1 + at] = (bytes[row * stride + at] ?? 0) - above;
    }
  }
  return Buffer.concat([PNG_SIGNATURE, chunk('IHDR', header), chunk('IDAT', deflateSync(filtered)), chunk('IEND')]);
}

function chunk(type: string, content = Buffer.alloc(0)): Buffer {
  const typed = Buffer.concat([Buffer.from(type, 'latin1'), content]);
  const ends = Buffer.alloc(8);
  ends.writeUInt32BE(content.byteLength, 0);
  ends.writeUInt32BE(crc32(typed), 4);
  return Buffer.concat([ends.subarray(0, 4), typed, ends.subarray(4)]);
}

/** Baseline JPEG; `quality` 1 to 100. Throws `malformed` where the codec fails. */
export function jpegOf({ rows, columns, samplesPerPixel, bytes }: RenderedImage, quality: number): Buffer {
  const shape = {
    rows,
    columns,
    samplesPerPixel,
    bitsAllocated: 8,
    bitsStored: 8,
    isSigned: false,
    isPlanar: false,
    photometricInterpretation: samplesPerPixel === 1 ? 'MONOCHROME2' : 'RGB',
  };
  return encodeNatively('EncodeJpeg', bytes, { shape, options: { lossy: true, quality } });
}
