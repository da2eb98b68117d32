/**
 * Comments and application data inside compressed frames: JPEG's COM and APPn segments (ISO/IEC 10918-1 B.2.4), JPEG 2000's COM
 * (ISO/IEC 15444-1 A.9.2). Programs write names of files, machines and patients there. Their content becomes zero; lengths stay, so
 * that offset tables stay true and no pixel changes.
 */
import type { ByteSource } from '../byte-source.ts';
import type { ByteRange } from '../data-set.ts';

/** Bytes that replace those of the source from `start` on. */
export type Patch = { readonly start: number; readonly bytes: Buffer };

/** Segments that decoders need: how colours were transformed. */
const NEEDED_SIGNATURES = ['JFIF\0', 'Adobe', 'mrfx', 'SPIFF\0'];
const MARKER_BYTES = 4;

const JPEG = { start: 0xffd8, scan: 0xffda };
const JPEG_2000 = { start: 0xff4f, tile: 0xff90, comment: 0xff64 };

export function commentPatches(source: ByteSource, fragments: readonly ByteRange[]): Patch[] {
  return fragments.flatMap(({ start, length }) => {
    if (length < MARKER_BYTES) return [];
    const first = source.bytes(start, 2).readUInt16BE(0);
    if (first === JPEG.start) return patchesIn(source, { start, length }, isJpegComment, JPEG.scan);
    if (first === JPEG_2000.start) return patchesIn(source, { start, length }, isJpeg2000Comment, JPEG_2000.tile);
    return [];
  });
}

type IsComment = (marker: number, content: Buffer) => number;

/** Offset in the content from which it is a comment; its length where it is none. */
function isJpegComment(marker: number, content: Buffer): number {
  const isComment = marker === 0xfffe;
  const isApplication = marker >= 0xffe0 && marker <= 0xffef;
  const text = content.toString('latin1', 0, 8);
  const isNeeded = isApplication && NEEDED_SIGNATURES.some((signature) => text.startsWith(signature));
  return (isComment || isApplication) && !isNeeded ? 0 : content.byteLength;
}

function isJpeg2000Comment(marker: number, content: Buffer): number {
  return marker === JPEG_2000.comment ? 2 : content.byteLength; // after Rcom, which says how to read the rest
}

function patchesIn(source: ByteSource, range: ByteRange, isComment: IsComment, last: number): Patch[] {
  const patches: Patch[] = [];
  const end = range.start + range.length;
  let at = range.start + 2;
  while (at + MARKER_BYTES <= end) {
    const head = source.bytes(at, MARKER_BYTES);
    const marker = head.readUInt16BE(0);
    const length = head.readUInt16BE(2);
    if (marker === last || marker < 0xff01 || length < 2 || at + 2 + length > end) break;
    const content = source.bytes(at + MARKER_BYTES, length - 2);
    const from = isComment(marker, content);
    if (content.subarray(from).some((byte) => byte !== 0))
      patches.push({ start: at + MARKER_BYTES + from, bytes: Buffer.alloc(content.byteLength - from) });
    at += 2 + length;
  }
  return patches;
}

/** The source with patches in place of what they cover. */
export function patchedSource(source: ByteSource, patches: readonly Patch[]): ByteSource {
  if (patches.length === 0) return source;
  return {
    sizeBytes: source.sizeBytes,
    bytes(start, length) {
      const end = start + length;
      const covered = patches.filter((patch) => patch.start < end && patch.start + patch.bytes.byteLength > start);
      if (covered.length === 0) return source.bytes(start, length);
      const bytes = Buffer.from(source.bytes(start, length));
      for (const patch of covered) {
        const from = Math.max(start, patch.start);
        patch.bytes.copy(bytes, from - start, from - patch.start, Math.min(end - patch.start, patch.bytes.byteLength));
      }
      return bytes;
    },
  };
}
