/**
 * Reads a data set (PS3.5 section 7) from a source, without trusting a length: whatever an element claims must lie inside what is
 * around it, nesting and the number of elements are limited, and no memory is taken before the bytes are there.
 */
import type { ByteSource } from './byte-source.ts';
import { type ByteRange, characterSetsOf, type DataSet, type Element, type Value } from './data-set.ts';
import { DicomError } from './dicom-error.ts';
import { implicitVr } from './dictionary.ts';
import { TAGS, type Tag, tagText } from './tag.ts';
import type { TransferSyntax } from './transfer-syntax.ts';
import { type Vr, vrNamed, vrRule } from './vr.ts';

const DEPTH_MAX = 32; // real sequences nest to about ten; bounds the recursion
/** Elements and items: an object of a thousand frames has some hundred thousand. More would hold everybody up for a second. */
const ELEMENT_COUNT_MAX = 500_000;
const FRAGMENT_COUNT_MAX = 1_000_000; // a slide has some hundred thousand frames
const UNDEFINED_LENGTH = 0xffffffff;
const HEADER_BYTES = 8;
/** Of the long form, behind the header. */
const LENGTH_BYTES = 4;
const BLOCK_BYTES = 4 * 1024;

export type ReadLimits = {
  /** Values from this size on stay in the source. */
  readonly rangeBytesMin: number;
  /** Where fewer are to be taken than of a whole object. */
  readonly elementCountMax?: number;
  /** Reading ends before the first element of the top level of which this is true. */
  readonly stopsAt?: (tag: Tag) => boolean;
};

type Encoding = Pick<TransferSyntax, 'explicit' | 'littleEndian'>;

/** `end`: where reading stopped. */
export type ReadResult = { readonly dataSet: DataSet; readonly end: number };

export function readDataSet(
  source: ByteSource,
  options: { start: number; end?: number; encoding: Encoding; limits: ReadLimits },
): ReadResult {
  const reader = new Reader(source, options.limits);
  const end = options.end ?? source.sizeBytes;
  return reader.dataSet({
    at: options.start,
    end,
    encoding: options.encoding,
    depth: 0,
    characterSets: [],
    isSigned: false,
    isOpen: false,
  });
}

type Place = {
  readonly at: number;
  readonly end: number;
  readonly encoding: Encoding;
  readonly depth: number;
  readonly characterSets: readonly string[];
  /** PixelRepresentation in force is 1: decides the VR of some elements in implicit VR. */
  readonly isSigned: boolean;
  /** Inside an item of undefined length, which its delimitation ends. */
  readonly isOpen: boolean;
};

type Header = { readonly tag: Tag; readonly vr: Vr; readonly length: number; readonly valueStart: number };

class Reader {
  readonly #source: ByteSource;
  readonly #limits: ReadLimits;
  #elementCount = 0;
  /** Headers lie close together: a view for each costs more than reading it. */
  #block: Buffer = Buffer.alloc(0);
  #blockStart = 0;

  constructor(source: ByteSource, limits: ReadLimits) {
    this.#source = source;
    this.#limits = limits;
  }

  /** Elements up to `end`, or inside an item of undefined length up to its delimitation. */
  dataSet(place: Place): ReadResult {
    const elements = new Map<Tag, Element>();
    let { at } = place;
    let here = place;
    while (at < place.end) {
      const header = this.#header(at, here);
      if (header.tag === TAGS.itemDelimitation && place.isOpen) {
        return { dataSet: dataSetAt(here, elements), end: header.valueStart };
      }
      if (place.depth === 0 && this.#limits.stopsAt?.(header.tag) === true) break;
      const { value, end } = this.#value(header, here);
      this.#count();
      elements.set(header.tag, { tag: header.tag, vr: header.vr, value });
      if (header.tag === TAGS.pixelRepresentation) here = { ...here, isSigned: isOne(value, here.encoding) };
      if (header.tag === TAGS.specificCharacterSet)
        here = { ...here, characterSets: characterSetsOf(elements, here.characterSets) };
      at = end;
    }
    if (place.isOpen) throw notEnded();
    return { dataSet: dataSetAt(here, elements), end: at };
  }

  #header(at: number, { encoding, end, isSigned }: Place): Header {
    const { littleEndian } = encoding;
    this.#assertInside(at, HEADER_BYTES, end);
    const offset = this.#offsetOf(at, HEADER_BYTES);
    const bytes = this.#block;
    const tag = littleEndian
      ? ((bytes.readUInt16LE(offset) << 16) | bytes.readUInt16LE(offset + 2)) >>> 0
      : bytes.readUInt32BE(offset);
    const isDelimiter = tag >>> 16 === 0xfffe;
    const hasVr = !isDelimiter && encoding.explicit;
    const vr = hasVr ? vrNamed(bytes.readUInt8(offset + 4), bytes.readUInt8(offset + 5)) : undefined;
    if (vr === undefined) {
      // An element without VR among explicit ones: writers that forget it fall back to implicit VR.
      return {
        tag,
        vr: isDelimiter ? 'UN' : implicitVr(tag, isSigned),
        length: longAt(bytes, offset + 4, littleEndian),
        valueStart: at + HEADER_BYTES,
      };
    }
    if (vr !== 'unknown' && !vrRule(vr).long) {
      const length = littleEndian ? bytes.readUInt16LE(offset + 6) : bytes.readUInt16BE(offset + 6);
      return { tag, vr, length, valueStart: at + HEADER_BYTES };
    }
    // VRs of later editions have the long form (PS3.5 6.2.2).
    this.#assertInside(at + HEADER_BYTES, LENGTH_BYTES, end);
    const lengthOffset = this.#offsetOf(at + HEADER_BYTES, LENGTH_BYTES);
    const length = longAt(this.#block, lengthOffset, littleEndian);
    return { tag, vr: vr === 'unknown' ? 'UN' : vr, length, valueStart: at + HEADER_BYTES + LENGTH_BYTES };
  }

  #value(header: Header, place: Place): { value: Value; end: number } {
    const { tag, vr, length, valueStart } = header;
    if (tag >>> 16 === 0xfffe) throw new DicomError('malformed', `${tagText(tag)} stands where an element must.`);
    if (vr === 'SQ') return this.#items(header, place);
    if (length === UNDEFINED_LENGTH) {
      if (tag === TAGS.pixelData) return this.#fragments(valueStart, place);
      // PS3.5 6.2.2 note 2: UN of undefined length is a sequence in implicit VR little endian.
      if (vr === 'UN') return this.#items(header, { ...place, encoding: { explicit: false, littleEndian: true } });
      throw new DicomError('malformed', `${tagText(tag)} of VR ${vr} has no length.`);
    }
    this.#assertInside(valueStart, length, place.end);
    const end = valueStart + length;
    if (length >= this.#limits.rangeBytesMin)
      return { value: { kind: 'range', range: { start: valueStart, length } }, end };
    return { value: { kind: 'bytes', bytes: this.#source.bytes(valueStart, length) }, end };
  }

  #items({ tag, length, valueStart }: Header, place: Place): { value: Value; end: number } {
    if (place.depth >= DEPTH_MAX) throw new DicomError('limit', `Sequences are nested deeper than ${DEPTH_MAX}.`);
    const isOpen = length === UNDEFINED_LENGTH;
    if (!isOpen) this.#assertInside(valueStart, length, place.end);
    const end = isOpen ? place.end : valueStart + length;
    const items: DataSet[] = [];
    let at = valueStart;
    while (at < end) {
      const item = this.#header(at, { ...place, end });
      if (item.tag === TAGS.sequenceDelimitation) return { value: { kind: 'items', items }, end: item.valueStart };
      if (item.tag !== TAGS.item) throw new DicomError('malformed', `${tagText(tag)} holds something that is no item.`);
      const itemIsOpen = item.length === UNDEFINED_LENGTH;
      if (!itemIsOpen) this.#assertInside(item.valueStart, item.length, end);
      const itemEnd = itemIsOpen ? end : item.valueStart + item.length;
      const read = this.dataSet({
        ...place,
        at: item.valueStart,
        end: itemEnd,
        depth: place.depth + 1,
        isOpen: itemIsOpen,
      });
      items.push(read.dataSet);
      this.#count();
      at = itemIsOpen ? read.end : itemEnd;
    }
    if (isOpen) throw notEnded();
    return { value: { kind: 'items', items }, end };
  }

  #fragments(start: number, place: Place): { value: Value; end: number } {
    const fragments: ByteRange[] = [];
    let at = start;
    for (;;) {
      const item = this.#header(at, place);
      if (item.tag === TAGS.sequenceDelimitation)
        return { value: { kind: 'fragments', fragments }, end: item.valueStart };
      if (item.tag !== TAGS.item)
        throw new DicomError('malformed', 'Encapsulated pixel data holds something that is no item.');
      this.#assertInside(item.valueStart, item.length, place.end);
      fragments.push({ start: item.valueStart, length: item.length });
      if (fragments.length > FRAGMENT_COUNT_MAX)
        throw new DicomError('limit', `More than ${FRAGMENT_COUNT_MAX} fragments.`);
      at = item.valueStart + item.length;
    }
  }

  #count(): void {
    this.#elementCount += 1;
    const countMax = this.#limits.elementCountMax ?? ELEMENT_COUNT_MAX;
    if (this.#elementCount > countMax) throw new DicomError('limit', `More than ${countMax} elements and items.`);
  }

  /** Where in the block `at` lies, with `length` bytes from there on. */
  #offsetOf(at: number, length: number): number {
    if (at < this.#blockStart || at + length > this.#blockStart + this.#block.byteLength) {
      this.#block = this.#source.bytes(at, Math.max(length, Math.min(BLOCK_BYTES, this.#source.sizeBytes - at)));
      this.#blockStart = at;
    }
    return at - this.#blockStart;
  }

  #assertInside(at: number, length: number, end: number): void {
    if (at + length > end) throw new DicomError('truncated', 'An element is longer than what it lies in.');
  }
}

function longAt(bytes: Buffer, at: number, littleEndian: boolean): number {
  return littleEndian ? bytes.readUInt32LE(at) : bytes.readUInt32BE(at);
}

function dataSetAt({ encoding, characterSets }: Place, elements: ReadonlyMap<Tag, Element>): DataSet {
  return { elements, littleEndian: encoding.littleEndian, characterSets };
}

function isOne(value: Value, { littleEndian }: Encoding): boolean {
  if (value.kind !== 'bytes' || value.bytes.byteLength !== 2) return false;
  return (littleEndian ? value.bytes.readUInt16LE(0) : value.bytes.readUInt16BE(0)) === 1;
}

function notEnded(): DicomError {
  return new DicomError('truncated', 'A sequence or item of undefined length is not ended.');
}
