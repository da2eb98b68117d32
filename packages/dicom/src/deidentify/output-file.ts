/**
 * A de-identified object as a file (PS3.10 7.1): empty preamble, file meta information made anew, then the data set in the encoding
 * in which it was read. Nothing of the original file but its elements comes along: no preamble, no bytes after the end, none of its
 * meta information, which names machines and programs.
 *
 * A deflated data set is written as explicit VR little endian, which every reader knows.
 */
import type { ByteSource } from '../byte-source.ts';
import { type ByteRange, type DataSet, type Element, textOf } from '../data-set.ts';
import { DicomError } from '../dicom-error.ts';
import { TAGS, type Tag } from '../tag.ts';
import { EXPLICIT_LITTLE_ENDIAN, transferSyntaxOf } from '../transfer-syntax.ts';
import { type Vr, vrRule } from '../vr.ts';
import type { DeidentifiedObject } from './deidentify.ts';
import { asciiElement } from './dummy-values.ts';

const PREAMBLE_BYTES = 128;
const PIECE_BYTES = 1024 * 1024;
const FIRST_BUFFER_BYTES = 16 * 1024;
const UNDEFINED_LENGTH = 0xffffffff;
const SHORT_LENGTH_MAX = 0xffff;
/** Made once, for this program (PS3.5 B.2). */
const IMPLEMENTATION_CLASS_UID = '2.25.246311057841739804122417702330142071289';
const IMPLEMENTATION_VERSION_NAME = 'LANTERN';
const SOP_CLASS = 0x00080016;
const SOP_INSTANCE = 0x00080018;

/** The file in pieces, in order; what lies in the source is read as it is needed. Each piece is the taker's to keep. */
export function* outputFile(object: DeidentifiedObject): Generator<Buffer> {
  const syntax = transferSyntaxOf(object.transferSyntaxUid);
  const uid = syntax.deflated ? EXPLICIT_LITTLE_ENDIAN : object.transferSyntaxUid;
  yield fileHead(object.dataSet, uid);
  yield* new Writer(object.source, syntax).dataSet(object.dataSet);
}

function fileHead(dataSet: DataSet, transferSyntaxUid: string): Buffer {
  const elements = [
    { tag: 0x00020001, vr: 'OB', value: { kind: 'bytes', bytes: Buffer.from([0, 1]) } } as const,
    ...copied(dataSet, SOP_CLASS, 0x00020002),
    ...copied(dataSet, SOP_INSTANCE, 0x00020003),
    asciiElement(TAGS.transferSyntaxUid, 'UI', transferSyntaxUid),
    asciiElement(0x00020012, 'UI', IMPLEMENTATION_CLASS_UID),
    asciiElement(0x00020013, 'SH', IMPLEMENTATION_VERSION_NAME),
  ];
  const encoding = { explicit: true, littleEndian: true };
  const meta = {
    elements: new Map(elements.map((element) => [element.tag, element])),
    littleEndian: true,
    characterSets: [],
  };
  const group = Buffer.concat([...new Writer(undefined, encoding).dataSet(meta)]);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(group.byteLength);
  const groupLength = { tag: 0x00020000, vr: 'UL', value: { kind: 'bytes', bytes: length } } as const;
  const first = { ...meta, elements: new Map([[groupLength.tag, groupLength]]) };
  return Buffer.concat([
    Buffer.alloc(PREAMBLE_BYTES),
    Buffer.from('DICM'),
    ...new Writer(undefined, encoding).dataSet(first),
    group,
  ]);
}

/** Data sets that are no objects of their own have no SOP UIDs. */
function copied(dataSet: DataSet, from: Tag, to: Tag): Element[] {
  const uid = textOf(dataSet, from);
  return uid === undefined ? [] : [asciiElement(to, 'UI', uid)];
}

type Encoding = { readonly explicit: boolean; readonly littleEndian: boolean };

/** Gathers what is small in one buffer; only bulk is a piece of its own. */
class Writer {
  readonly #source: ByteSource | undefined;
  readonly #encoding: Encoding;
  #buffer = Buffer.alloc(FIRST_BUFFER_BYTES);
  #length = 0;

  constructor(source: ByteSource | undefined, encoding: Encoding) {
    this.#source = source;
    this.#encoding = encoding;
  }

  *dataSet(dataSet: DataSet): Generator<Buffer> {
    yield* this.#elements(dataSet);
    yield this.#taken();
  }

  *#elements({ elements }: DataSet): Generator<Buffer> {
    for (const element of elements.values()) yield* this.#element(element);
  }

  *#element({ tag, vr, value }: Element): Generator<Buffer> {
    switch (value.kind) {
      case 'bytes':
        this.#head(tag, vr, value.bytes.byteLength);
        if (value.bytes.byteLength < PIECE_BYTES) this.#bytes(value.bytes);
        else yield* this.#bulk(value.bytes);
        return;
      case 'range':
        this.#head(tag, vr, value.range.length);
        yield* this.#range(value.range);
        return;
      case 'items':
        // Undefined lengths: nothing has to be measured before it is written.
        this.#head(tag, 'SQ', UNDEFINED_LENGTH);
        for (const item of value.items) {
          this.#tagAndLength(TAGS.item, UNDEFINED_LENGTH);
          yield* this.#elements(item);
          this.#tagAndLength(TAGS.itemDelimitation, 0);
        }
        this.#tagAndLength(TAGS.sequenceDelimitation, 0);
        return;
      case 'fragments':
        this.#head(tag, 'OB', UNDEFINED_LENGTH);
        for (const fragment of value.fragments) {
          this.#tagAndLength(TAGS.item, fragment.length);
          yield* this.#range(fragment);
        }
        this.#tagAndLength(TAGS.sequenceDelimitation, 0);
    }
  }

  *#bulk(bytes: Buffer): Generator<Buffer> {
    yield this.#taken();
    yield bytes;
  }

  *#range({ start, length }: ByteRange): Generator<Buffer> {
    if (this.#source === undefined) throw new DicomError('malformed', 'A value lies in a source that is not there.');
    yield this.#taken();
    for (let done = 0; done < length; done += PIECE_BYTES) {
      yield this.#source.bytes(start + done, Math.min(PIECE_BYTES, length - done));
    }
  }

  #head(tag: Tag, vr: Vr, length: number): void {
    if (length > UNDEFINED_LENGTH) throw new DicomError('limit', 'A value is too long for its length field.');
    if (!this.#encoding.explicit) {
      this.#tagAndLength(tag, length);
      return;
    }
    // A value too long for the short form is of no known VR (PS3.5 6.2.2, note 2).
    const written = vrRule(vr).long || length <= SHORT_LENGTH_MAX ? vr : 'UN';
    this.#tag(tag);
    this.#room(8);
    this.#length += this.#buffer.write(written, this.#length, 'latin1');
    if (vrRule(written).long) {
      this.#buffer.writeUInt16LE(0, this.#length);
      this.#length += 2;
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
    if (this.#encoding.littleEndian) this.#length = this.#buffer.writeUIntLE(number, this.#length, bytes);
    else this.#length = this.#buffer.writeUIntBE(number, this.#length, bytes);
  }

  #bytes(bytes: Buffer): void {
    this.#room(bytes.byteLength);
    bytes.copy(this.#buffer, this.#length);
    this.#length += bytes.byteLength;
  }

  #room(bytes: number): void {
    if (this.#length + bytes <= this.#buffer.byteLength) return;
    const larger = Buffer.allocUnsafe(Math.max(FIRST_BUFFER_BYTES, 2 * (this.#length + bytes)));
    this.#buffer.copy(larger, 0, 0, this.#length);
    this.#buffer = larger;
  }

  #taken(): Buffer {
    const taken = this.#buffer.subarray(0, this.#length);
    this.#buffer = this.#buffer.subarray(this.#length);
    this.#length = 0;
    return taken;
  }
}
