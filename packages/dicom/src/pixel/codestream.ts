/**
 * What a compressed frame says of itself in its first bytes: JPEG and JPEG-LS (ISO/IEC 10918-1 B.2.2, 14495-1 C.2.2), JPEG 2000
 * and HTJ2K (15444-1 A.5.1). It is read before a codec sees the frame, as codecs believe the sizes in it, and as it is this header
 * that decides where the attributes around it say something else (PS3.5 8.2).
 */
import { DicomError } from '../dicom-error.ts';

export type CodestreamHeader = {
  readonly rows: number;
  readonly columns: number;
  readonly samplesPerPixel: number;
  readonly bits: number;
  readonly isSigned: boolean;
};

const SOI = 0xffd8;
const SOC = 0xff4f;
const SIZ = 0xff51;
/** Frame headers: all of JPEG's processes, and that of JPEG-LS. */
const FRAME_HEADERS: ReadonlySet<number> = new Set([
  0xc0, 0xc1, 0xc2, 0xc3, 0xc5, 0xc6, 0xc7, 0xc9, 0xca, 0xcb, 0xcd, 0xce, 0xcf, 0xf7,
]);

const BOX_JP = 0x6a502020;
const BOX_CODESTREAM = 0x6a703263;

/**
 * The codestream in a frame: some programs put the file format of JPEG 2000 around it, which PS3.5 A.4.4 forbids and readers take.
 * Boxes of ISO/IEC 15444-1 annex I.
 */
export function codestreamIn(encoded: Buffer): Buffer {
  let at = 0;
  while (encoded.byteLength >= 12 && encoded.readUInt32BE(4) === BOX_JP && at + 8 <= encoded.byteLength) {
    const length = encoded.readUInt32BE(at);
    if (encoded.readUInt32BE(at + 4) === BOX_CODESTREAM) return encoded.subarray(at + (length === 1 ? 16 : 8));
    if (length < 8) break; // to the end of the file, or of 64 bits: no box before the codestream is so long
    at += length;
  }
  return encoded;
}

/** Throws `malformed` where there is no such header. */
export function codestreamHeader(encoded: Buffer): CodestreamHeader {
  const header = encoded.byteLength < 4 ? undefined : headerIn(encoded);
  if (header === undefined) throw new DicomError('malformed', 'A frame does not begin as its transfer syntax has it.');
  return header;
}

function headerIn(encoded: Buffer): CodestreamHeader | undefined {
  const start = encoded.readUInt16BE(0);
  if (start === SOI) return jpegHeader(encoded);
  return start === SOC && encoded.readUInt16BE(2) === SIZ ? jpeg2000Header(encoded) : undefined;
}

function jpegHeader(encoded: Buffer): CodestreamHeader | undefined {
  let at = 2;
  while (at + 9 < encoded.byteLength) {
    if (encoded[at] !== 0xff) return undefined;
    const marker = encoded[at + 1] ?? 0;
    if (marker === 0xff) {
      at += 1; // a marker may be filled up
      continue;
    }
    if (FRAME_HEADERS.has(marker)) {
      return {
        bits: encoded.readUInt8(at + 4),
        rows: encoded.readUInt16BE(at + 5),
        columns: encoded.readUInt16BE(at + 7),
        samplesPerPixel: encoded.readUInt8(at + 9),
        isSigned: false, // JPEG knows no sign: bits are taken as PixelRepresentation says (PS3.5 8.2.1)
      };
    }
    at += 2 + encoded.readUInt16BE(at + 2);
  }
  return undefined;
}

function jpeg2000Header(encoded: Buffer): CodestreamHeader | undefined {
  if (encoded.byteLength < 43) return undefined;
  const depth = encoded.readUInt8(42);
  return {
    columns: encoded.readUInt32BE(8) - encoded.readUInt32BE(16),
    rows: encoded.readUInt32BE(12) - encoded.readUInt32BE(20),
    samplesPerPixel: encoded.readUInt16BE(40),
    bits: (depth & 0x7f) + 1,
    isSigned: depth > 0x7f,
  };
}
