/**
 * Writes a data set (PS3.5 section 7) in a native or encapsulated encoding. What lies in a source stays there: the result names
 * its range, and `bytesOf` reads it when its turn comes, so that an object of gigabytes costs a block of memory.
 *
 * A value that keeps its byte order is written as it was read, padding included. Sequences and items get undefined lengths:
 * nothing has to be measured before it is written, and a private sequence can still be told from bytes in implicit VR, where it
 * has no VR to say so. Group lengths are dropped: they are retired (PS3.5 7.2) and wrong after any change.
 */
import type { ByteSource } from './byte-source.ts';
import { type ByteRange, type DataSet, type Element, swapped, wordBytesOf } from './data-set.ts';
import { DicomError } from './dicom-error.ts';
import { isWordData } from './dictionary.ts';
import { TAGS, type Tag, tagText } from './tag.ts';
import type { TransferSyntax } from './transfer-syntax.ts';
import { type Vr, vrRule, type WordBytes } from './vr.ts';

const UNDEFINED_LENGTH = 0xffffffff;
const SHORT_LENGTH_MAX = 0xffff;
/** Above this a value is a piece of its own, not copied together with its neighbours. */
const COPIED_BYTES_MAX = 4 * 1024;
/** Blocks grow: most headers fit into the first, which comes out of a pool, and a large one into memory of its own costs a collector. */
const BLOCK_BYTES_FIRST = 2 * 1024;
const BLOCK_GROWTH = 8;
const BLOCK_BYTES_MAX = 64 * 1024;
/** What `bytesOf` reads at once; a multiple of every word. */
const READ_BYTES = 1024 * 1024;

/** A range of the source whose words must be turned round, because it is written in the other byte order. */
export type SourceRange = ByteRange & { readonly swapBytes?: WordBytes };
export type EncodedPiece = Buffer | SourceRange;

type Encoding = Pick<TransferSyntax, 'explicit' | 'littleEndian'>;

/**
 * The pieces of an encoded data set, in order; elements ascend by tag (PS3.5 7.1). Ranges refer to the source of `dataSet`.
 * Throws `malformed` where the encoding cannot hold the data set.
 */
export function encodeDataSet(dataSet: DataSet, encoding: Encoding): EncodedPiece[] {
  const writer = new Writer(encoding);
  writer.elements(dataSet);
  return writer.pieces();
}

/** The bytes of pieces, in blocks of at most a megabyte. */
export function* bytesOf(pieces: Iterable<EncodedPiece>, source: ByteSource): Generator<Buffer> {
  for (const piece of pieces) {
    if (Buffer.isBuffer(piece)) yield piece;
    else {
      for (let done = 0; done < piece.length; done += READ_BYTES) {
        const bytes = source.bytes(piece.start + done, Math.min(READ_BYTES, piece.length - done));
        yield piece.swapBytes === undefined ? bytes : swapped(bytes, piece.swapBytes);
      }
    }
  }
}

class Writer {
  readonly #encoding: Encoding;
  readonly #pieces: EncodedPiece[] = [];
  #block = Buffer.alloc(0);
  #blockBytes = BLOCK_BYTES_FIRST;
  #start = 0;
  #end = 0;

  constructor(encoding: Encoding) {
    this.#encoding = encoding;
  }

  elements(dataSet: DataSet): void {
    for (const element of inOrder(dataSet)) {
      if ((element.tag & 0xffff) !== 0) this.#element(element, dataSet);
    }
  }

  pieces(): EncodedPiece[] {
    this.#flush();
    return this.#pieces;
  }

  #element(element: Element, dataSet: DataSet): void {
    const { tag, value } = element;
    switch (value.kind) {
      case 'bytes':
      case 'range': {
        const length = value.kind === 'bytes' ? value.bytes.byteLength : value.range.length;
        const padded = length + (length % 2);
        const vr = this.#writtenVr(element, padded);
        const word = this.#swapOf(element, dataSet, vr);
        this.#head(tag, vr, padded);
        if (value.kind === 'range') this.#range({ ...value.range, ...(word === undefined ? {} : { swapBytes: word }) });
        else this.#bytes(word === undefined ? value.bytes : swapped(value.bytes, word));
        if (length % 2 === 1) this.#bytes(Buffer.from([paddingOf(element.vr)]));
        return;
      }
      case 'items':
        this.#head(tag, 'SQ', UNDEFINED_LENGTH);
        for (const item of value.items) {
          this.#tagAndLength(TAGS.item, UNDEFINED_LENGTH);
          this.elements(item);
          this.#tagAndLength(TAGS.itemDelimitation, 0);
        }
        this.#tagAndLength(TAGS.sequenceDelimitation, 0);
        return;
      case 'fragments':
        this.#fragments(tag, value.fragments);
    }
  }

  #fragments(tag: Tag, fragments: readonly ByteRange[]): void {
    if (!this.#encoding.explicit || !this.#encoding.littleEndian) {
      throw new DicomError('malformed', 'Encapsulated pixel data can be written in explicit VR little endian only.'); // A.4
    }
    this.#head(tag, 'OB', UNDEFINED_LENGTH);
    for (const fragment of fragments) {
      this.#tagAndLength(TAGS.item, fragment.length + (fragment.length % 2));
      this.#range(fragment);
      if (fragment.length % 2 === 1) this.#bytes(Buffer.from([0]));
    }
    this.#tagAndLength(TAGS.sequenceDelimitation, 0);
  }

  /** What the VR field says. A value too long for the short form is OW where it may be, else UN (PS3.5 6.2.2). */
  #writtenVr({ tag, vr }: Element, length: number): Vr {
    if (!this.#encoding.explicit || vrRule(vr).long || length <= SHORT_LENGTH_MAX) return vr;
    return isWordData(tag) ? 'OW' : 'UN';
  }

  /** UN is little endian in every encoding (PS3.5 6.2.2), also where a value came to be written so. */
  #swapOf(element: Element, dataSet: DataSet, written: Vr): WordBytes | undefined {
    const isLittleNow = element.vr === 'UN' || dataSet.littleEndian;
    const isLittleThen = written === 'UN' || this.#encoding.littleEndian;
    if (isLittleNow === isLittleThen) return undefined;
    return wordBytesOf(element, dataSet);
  }

  #head(tag: Tag, vr: Vr, length: number): void {
    if (length > UNDEFINED_LENGTH || (length === UNDEFINED_LENGTH && vr !== 'SQ' && vr !== 'OB')) {
      throw new DicomError('limit', `${tagText(tag)} is too long for a length of 32 bits.`);
    }
    if (!this.#encoding.explicit) {
      this.#tagAndLength(tag, length);
      return;
    }
    this.#tag(tag);
    this.#room(8);
    this.#end += this.#block.write(vr, this.#end, 'latin1');
    if (vrRule(vr).long) {
      this.#number(0, 2);
      this.#number(length, 4);
    } else this.#number(length, 2);
  }

  #tagAndLength(tag: Tag, length: number): void {
    this.#tag(tag);
    this.#number(length, 4);
  }

  #tag(tag: Tag): void {
    this.#number(tag >>> 16, 2);
    this.#number(tag & 0xffff, 2);
  }

  #number(number: number, bytes: 2 | 4): void {
    this.#room(bytes);
    const [block, at] = [this.#block, this.#end];
    const { littleEndian } = this.#encoding;
    if (bytes === 2) this.#end = littleEndian ? block.writeUInt16LE(number, at) : block.writeUInt16BE(number, at);
    else this.#end = littleEndian ? block.writeUInt32LE(number, at) : block.writeUInt32BE(number, at);
  }

  #bytes(bytes: Buffer): void {
    if (bytes.byteLength > COPIED_BYTES_MAX) {
      this.#flush();
      this.#pieces.push(bytes);
      return;
    }
    this.#room(bytes.byteLength);
    bytes.copy(this.#block, this.#end);
    this.#end += bytes.byteLength;
  }

  #range(range: SourceRange): void {
    if (range.length === 0) return;
    this.#flush();
    this.#pieces.push(range);
  }

  #room(bytes: number): void {
    if (this.#end + bytes <= this.#block.byteLength) return;
    this.#flush();
    this.#block = Buffer.allocUnsafe(Math.max(this.#blockBytes, bytes));
    this.#blockBytes = Math.min(this.#blockBytes * BLOCK_GROWTH, BLOCK_BYTES_MAX);
    this.#start = 0;
    this.#end = 0;
  }

  #flush(): void {
    if (this.#end > this.#start) this.#pieces.push(this.#block.subarray(this.#start, this.#end));
    this.#start = this.#end;
  }
}

function inOrder({ elements }: DataSet): Iterable<Element> {
  let last = -1;
  for (const tag of elements.keys()) {
    if (tag < last) return [...elements.values()].sort((a, b) => a.tag - b.tag);
    last = tag;
  }
  return elements.values();
}

/** PS3.5 6.2: text is padded with a space, UIDs and bytes with NUL. */
function paddingOf(vr: Vr): number {
  return vrRule(vr).kind === 'text' && vr !== 'UI' ? 0x20 : 0;
}
