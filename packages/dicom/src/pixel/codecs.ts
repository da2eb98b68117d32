/** Which codec a transfer syntax needs, and its frames as samples (PS3.5 8.2, A.4). */
import { DicomError } from '../dicom-error.ts';
import { codestreamHeader, codestreamIn } from './codestream.ts';
import { type Decoder, decodeNatively, type Encoder, encodeNatively } from './native-codecs.ts';
import type { PhotometricInterpretation, PixelDescription } from './pixel-description.ts';
import type { PixelFrame } from './pixel-frame.ts';
import { bytesOfValues, type Cells, interleaved } from './pixel-values.ts';
import { decodeRle, encodeRle } from './rle.ts';

const RLE_LOSSLESS = '1.2.840.10008.1.2.5';
const ENCAPSULATED_UNCOMPRESSED = '1.2.840.10008.1.2.1.98';

const DECODERS: Readonly<Record<string, Decoder>> = {
  '1.2.840.10008.1.2.4.50': 'DecodeJpeg',
  '1.2.840.10008.1.2.4.51': 'DecodeJpeg',
  '1.2.840.10008.1.2.4.57': 'DecodeJpeg',
  '1.2.840.10008.1.2.4.70': 'DecodeJpeg',
  '1.2.840.10008.1.2.4.80': 'DecodeJpegLs',
  '1.2.840.10008.1.2.4.81': 'DecodeJpegLs',
  '1.2.840.10008.1.2.4.90': 'DecodeJpeg2000',
  '1.2.840.10008.1.2.4.91': 'DecodeJpeg2000',
  '1.2.840.10008.1.2.4.201': 'DecodeHtJpeg2000',
  '1.2.840.10008.1.2.4.202': 'DecodeHtJpeg2000',
  '1.2.840.10008.1.2.4.203': 'DecodeHtJpeg2000',
};

/** Samples of each pixel together, little endian; how they lie in their cells may differ from the description. */
export type DecodedSamples = {
  readonly bytes: Buffer;
  readonly cells: Cells;
  readonly photometric: PhotometricInterpretation;
};

/** Throws `unsupported`, `malformed`, `truncated`; memory is bounded by `description`, which the frame must agree with. */
export function decodeFrame(encoded: Buffer, description: PixelDescription, transferSyntaxUid: string): DecodedSamples {
  const decoder = DECODERS[transferSyntaxUid];
  if (decoder !== undefined) return decodedBy(decoder, encoded, description);
  if (transferSyntaxUid === RLE_LOSSLESS) return decodedRle(encoded, description);
  throw new DicomError('unsupported', 'There is no codec for the transfer syntax.');
}

/** Of compressed syntaxes; native ones need no codec. */
export function canDecode(transferSyntaxUid: string): boolean {
  return transferSyntaxUid === RLE_LOSSLESS || Object.hasOwn(DECODERS, transferSyntaxUid);
}

export function isNativeSyntax(transferSyntaxUid: string): boolean {
  return transferSyntaxUid === ENCAPSULATED_UNCOMPRESSED;
}

function decodedBy(decoder: Decoder, frame: Buffer, description: PixelDescription): DecodedSamples {
  const encoded = codestreamIn(frame);
  const header = codestreamHeader(encoded);
  const { rows, columns, samplesPerPixel } = description;
  if (header.rows !== rows || header.columns !== columns || header.samplesPerPixel !== samplesPerPixel)
    throw new DicomError('malformed', 'The size in a frame is not that of the image.');
  const bitsAllocated = header.bits <= 8 ? 8 : 16;
  if (header.bits > 16) throw new DicomError('unsupported', 'Compressed samples of more than 16 bits are not decoded.');
  const { bytes, shape } = decodeNatively(decoder, encoded, {
    rows,
    columns,
    samplesPerPixel,
    bitsAllocated,
    bitsStored: header.bits,
    isSigned: header.isSigned,
    isPlanar: false,
    photometricInterpretation: description.photometricInterpretation,
  });
  if (
    shape.bitsAllocated !== bitsAllocated ||
    bytes.byteLength !== (rows * columns * samplesPerPixel * bitsAllocated) / 8
  )
    throw new DicomError('malformed', 'A frame decodes to another size than the image has.');
  const samples = shape.isPlanar ? interleaved(bytes, samplesPerPixel, bitsAllocated / 8) : bytes;
  const { isSigned } = description;
  // A codestream without sign may hold signed values: then their sign is the highest bit that is stored (PS3.5 8.2.1, 8.2.4).
  const bitsStored = isSigned && !header.isSigned ? Math.min(header.bits, description.bitsStored) : header.bits;
  return {
    bytes: samples,
    cells: { bitsAllocated, bitsStored, highBit: bitsStored - 1, isSigned },
    photometric: decodedColour(description.photometricInterpretation),
  };
}

/** Codecs undo the colour transform of JPEG 2000, and make as many chrominance as luminance samples. */
function decodedColour(photometric: PhotometricInterpretation): PhotometricInterpretation {
  if (photometric === 'YBR_RCT' || photometric === 'YBR_ICT') return 'RGB';
  return photometric === 'YBR_FULL_422' ? 'YBR_FULL' : photometric;
}

function decodedRle(encoded: Buffer, description: PixelDescription): DecodedSamples {
  const { rows, columns, samplesPerPixel, bitsAllocated } = description;
  if (bitsAllocated !== 8 && bitsAllocated !== 16 && bitsAllocated !== 32)
    throw new DicomError('unsupported', 'RLE is of whole bytes.');
  const shape = { pixelCount: rows * columns, samplesPerPixel, bytesPerSample: bitsAllocated / 8, columns };
  return { bytes: decodeRle(encoded, shape), cells: description, photometric: description.photometricInterpretation };
}

/** Lossless ones only: what is lost is decided by people, not by a transfer syntax that a program prefers. */
const ENCODERS: Readonly<Record<string, Encoder>> = {
  '1.2.840.10008.1.2.4.70': 'EncodeJpeg',
  '1.2.840.10008.1.2.4.80': 'EncodeJpegLs',
  '1.2.840.10008.1.2.4.90': 'EncodeJpeg2000',
  '1.2.840.10008.1.2.4.201': 'EncodeHtJpeg2000',
};

/** Its colour transform needs a bit more than the samples have, which the codec then lacks. */
const COLOUR_BITS_MAX = 15;

export function canEncode(transferSyntaxUid: string): boolean {
  return transferSyntaxUid === RLE_LOSSLESS || Object.hasOwn(ENCODERS, transferSyntaxUid);
}

export type EncodedFrame = { readonly bytes: Buffer; readonly photometricInterpretation: PhotometricInterpretation };

/** One frame compressed without loss, of even length. Throws `unsupported`. */
export function encodeFrame(
  { values, rows, columns, samplesPerPixel, photometricInterpretation }: PixelFrame,
  { bitsAllocated, bitsStored, isSigned }: PixelDescription,
  transferSyntaxUid: string,
): EncodedFrame {
  const encoder = ENCODERS[transferSyntaxUid];
  const isJpeg2000 = encoder === 'EncodeJpeg2000' || encoder === 'EncodeHtJpeg2000';
  const isWhole = bitsAllocated === 8 || bitsAllocated === 16;
  if (!isWhole && !(encoder === undefined && bitsAllocated === 32))
    throw new DicomError('unsupported', 'Only pixels of whole bytes are compressed.');
  if (isJpeg2000 && samplesPerPixel === 3 && bitsStored > COLOUR_BITS_MAX)
    throw new DicomError('unsupported', `JPEG 2000 of colours in more than ${COLOUR_BITS_MAX} bits is not written.`);
  const bytes = bytesOfValues(values, bitsAllocated);
  if (encoder === undefined) {
    const shape = { pixelCount: rows * columns, samplesPerPixel, bytesPerSample: bitsAllocated / 8, columns };
    return { bytes: encodeRle(bytes, shape), photometricInterpretation };
  }
  const encoded = encodeNatively(
    encoder,
    isSigned && !isJpeg2000 ? withoutSign(bytes, bitsAllocated, bitsStored) : bytes,
    {
      shape: {
        rows,
        columns,
        samplesPerPixel,
        bitsAllocated,
        bitsStored,
        isSigned: isSigned && isJpeg2000,
        isPlanar: false,
        photometricInterpretation,
      },
      options: { lossy: false },
    },
  );
  return {
    bytes: encoded.byteLength % 2 === 0 ? encoded : Buffer.concat([encoded, Buffer.alloc(1)]),
    photometricInterpretation:
      isJpeg2000 && photometricInterpretation === 'RGB' ? 'YBR_RCT' : photometricInterpretation,
  };
}

/** JPEG and JPEG-LS know no sign: the bits above the stored ones must be clear. */
function withoutSign(bytes: Buffer, bitsAllocated: number, bitsStored: number): Buffer {
  const mask = 2 ** bitsStored - 1;
  const cleared = Buffer.from(bytes);
  for (let at = 0; at < cleared.byteLength; at += bitsAllocated / 8) {
    if (bitsAllocated === 8) cleared[at] = (cleared[at] ?? 0) & mask;
    else cleared.writeUInt16LE(cleared.readUInt16LE(at) & mask, at);
  }
  return cleared;
}
