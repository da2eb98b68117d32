/** Writes objects for tests, apart from the writer under test: explicit or implicit VR, sequences of known or undefined length. */
import type { DataSet, Element } from '../src/data-set.ts';
import type { Tag } from '../src/tag.ts';
import { type Vr, vrRule } from '../src/vr.ts';

export type Syntax = { readonly uid: string; readonly explicit: boolean; readonly littleEndian: boolean };

export const SYNTAXES = {
  explicitLittle: { uid: '1.2.840.10008.1.2.1', explicit: true, littleEndian: true },
  implicitLittle: { uid: '1.2.840.10008.1.2', explicit: false, littleEndian: true },
  explicitBig: { uid: '1.2.840.10008.1.2.2', explicit: true, littleEndian: false },
} as const satisfies Record<string, Syntax>;

const UNDEFINED_LENGTH = 0xffffffff;

export function element(tag: Tag, vr: Vr, content: string | Buffer): Element {
  const bytes = typeof content === 'string' ? Buffer.from(content, 'latin1') : content;
  const padding = vr === 'UI' || vrRule(vr).kind !== 'text' ? 0 : 0x20;
  return {
    tag,
    vr,
    value: { kind: 'bytes', bytes: bytes.length % 2 === 0 ? bytes : Buffer.concat([bytes, Buffer.from([padding])]) },
  };
}

export function sequence(tag: Tag, ...items: readonly (readonly Element[])[]): Element {
  return { tag, vr: 'SQ', value: { kind: 'items', items: items.map(dataSetOf) } };
}

export function dataSetOf(elements: readonly Element[]): DataSet {
  const sorted = elements.toSorted((one, other) => one.tag - other.tag);
  return { elements: new Map(sorted.map((one) => [one.tag, one])), littleEndian: true, characterSets: [] };
}

export type FileOptions = {
  readonly syntax: Syntax;
  readonly preamble?: Buffer;
  readonly meta?: readonly Element[];
  readonly fragments?: readonly Buffer[];
  readonly trailing?: Buffer;
};

export function fileBytes(dataSet: DataSet, options: FileOptions): Buffer {
  const preamble = Buffer.alloc(128);
  options.preamble?.copy(preamble);
  const meta = dataSetOf([
    element(0x00020002, 'UI', '1.2.840.10008.5.1.4.1.1.2'),
    element(0x00020003, 'UI', '1.2.3.4'),
    element(0x00020010, 'UI', options.syntax.uid),
    element(0x00020012, 'UI', '1.2.3.5'),
    ...(options.meta ?? []),
  ]);
  const body = dataSetBytes(dataSet, options.syntax);
  const pixels = options.fragments === undefined ? Buffer.alloc(0) : fragmentBytes(options.fragments);
  return Buffer.concat([
    preamble,
    Buffer.from('DICM'),
    dataSetBytes(meta, SYNTAXES.explicitLittle),
    body,
    pixels,
    options.trailing ?? Buffer.alloc(0),
  ]);
}

function fragmentBytes(fragments: readonly Buffer[]): Buffer {
  const syntax = SYNTAXES.explicitLittle;
  const items = [Buffer.alloc(0), ...fragments].map((bytes) =>
    Buffer.concat([itemHead(0xfffee000, bytes.length, syntax), bytes]),
  );
  return Buffer.concat([headOf(0x7fe00010, 'OB', UNDEFINED_LENGTH, syntax), ...items, itemHead(0xfffee0dd, 0, syntax)]);
}

function dataSetBytes({ elements }: DataSet, syntax: Syntax): Buffer {
  return Buffer.concat([...elements.values()].flatMap((one) => elementBytes(one, syntax)));
}

function elementBytes({ tag, vr, value }: Element, syntax: Syntax): Buffer[] {
  switch (value.kind) {
    case 'bytes':
      return [headOf(tag, vr, value.bytes.length, syntax), inOrder(value.bytes, vr, syntax)];
    case 'items': {
      // Every other sequence has undefined lengths: a third form is the reader's test, not this one's.
      const isOpen = (tag & 1) === 0;
      const items = value.items.flatMap((item) => {
        const bytes = dataSetBytes(item, syntax);
        const end = isOpen ? [itemHead(0xfffee00d, 0, syntax)] : [];
        return [itemHead(0xfffee000, isOpen ? UNDEFINED_LENGTH : bytes.length, syntax), bytes, ...end];
      });
      const length = items.reduce((sum, bytes) => sum + bytes.length, 0);
      const end = isOpen ? [itemHead(0xfffee0dd, 0, syntax)] : [];
      return [headOf(tag, 'SQ', isOpen ? UNDEFINED_LENGTH : length, syntax), ...items, ...end];
    }
    default:
      throw new Error('written by fileBytes');
  }
}

/** Numbers are given little endian. */
function inOrder(bytes: Buffer, vr: Vr, { littleEndian }: Syntax): Buffer {
  const rule = vrRule(vr);
  const size = rule.kind === 'number' ? rule.bytes : vr === 'AT' || vr === 'OW' ? 2 : 1;
  if (littleEndian || size === 1) return bytes;
  const turned = Buffer.from(bytes);
  for (let at = 0; at < turned.length; at += size) turned.subarray(at, at + size).reverse();
  return turned;
}

function headOf(tag: Tag, vr: Vr, length: number, { explicit, littleEndian }: Syntax): Buffer {
  if (!explicit) return itemHead(tag, length, { littleEndian });
  const isLong = vrRule(vr).long;
  const head = Buffer.alloc(isLong ? 12 : 8);
  writeTag(head, tag, littleEndian);
  head.write(vr, 4, 'latin1');
  if (isLong) write32(head, length, 8, littleEndian);
  else if (littleEndian) head.writeUInt16LE(length, 6);
  else head.writeUInt16BE(length, 6);
  return head;
}

function itemHead(tag: Tag, length: number, { littleEndian }: Pick<Syntax, 'littleEndian'>): Buffer {
  const head = Buffer.alloc(8);
  writeTag(head, tag, littleEndian);
  write32(head, length, 4, littleEndian);
  return head;
}

function writeTag(head: Buffer, tag: Tag, littleEndian: boolean): void {
  for (const [word, at] of [
    [tag >>> 16, 0],
    [tag & 0xffff, 2],
  ] as const) {
    if (littleEndian) head.writeUInt16LE(word, at);
    else head.writeUInt16BE(word, at);
  }
}

function write32(head: Buffer, number: number, at: number, littleEndian: boolean): void {
  if (littleEndian) head.writeUInt32LE(number, at);
  else head.writeUInt32BE(number, at);
}
