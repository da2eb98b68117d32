/** Lookup tables of images (PS3.3 C.11.1, C.11.2, C.7.6.3.1.5, C.7.9): first input value, then an output for each that follows. */
import type { ByteSource } from '../byte-source.ts';
import { type DataSet, type Element, inLittleEndian, numbersIn } from '../data-set.ts';
import { DicomError } from '../dicom-error.ts';
import type { Tag } from '../tag.ts';

export type LookupTable = {
  /** The input that has the first output; inputs below have it too, inputs beyond the last have the last. */
  readonly first: number;
  readonly outputs: Uint16Array;
  /** Of an output: 8 to 16. */
  readonly bits: number;
};

type TableTags = { readonly descriptor: Tag; readonly data: Tag; readonly segmented?: Tag };

/** `undefined` where the data set has none. `isSigned`: inputs are. Throws `malformed`. */
export function lookupTableOf(
  dataSet: DataSet,
  source: ByteSource,
  { tags, isSigned }: { tags: TableTags; isSigned: boolean },
): LookupTable | undefined {
  const descriptor = dataSet.elements.get(tags.descriptor);
  if (descriptor === undefined) return undefined;
  const [count = 0, first = 0, bits = 16] = numbersIn(descriptor, dataSet.littleEndian).map(
    (number) => Number(number) & 0xffff,
  );
  const length = count === 0 ? 0x10000 : count; // C.11.1.1
  const data = bytesOfElement(dataSet, source, tags.data);
  const outputs =
    data === undefined
      ? expanded(wordsOf(bytesOfElement(dataSet, source, tags.segmented) ?? Buffer.alloc(0)), length)
      : outputsOf(data, length, bits);
  if (outputs.length < length) throw new DicomError('malformed', 'A lookup table has fewer entries than it says.');
  return { first: isSigned ? (first << 16) >> 16 : first, outputs, bits };
}

/** Entries of eight bits may be packed by two in a word, or stand in one each (C.7.6.3.1.6). */
function outputsOf(data: Buffer, length: number, bits: number): Uint16Array {
  if (bits <= 8 && data.byteLength <= length + 1) return Uint16Array.from(data.subarray(0, length));
  return wordsOf(data).subarray(0, length);
}

function wordsOf(bytes: Buffer): Uint16Array {
  return Uint16Array.from({ length: bytes.byteLength >>> 1 }, (_, index) => bytes.readUInt16LE(index * 2));
}

function bytesOfElement(dataSet: DataSet, source: ByteSource, tag: Tag | undefined): Buffer | undefined {
  const element: Element | undefined = tag === undefined ? undefined : dataSet.elements.get(tag);
  if (element === undefined) return undefined;
  const { value } = element;
  if (value.kind === 'bytes') return inLittleEndian(element, value.bytes, dataSet);
  if (value.kind !== 'range') return undefined;
  return inLittleEndian(element, source.bytes(value.range.start, value.range.length), dataSet);
}

const DISCRETE = 0;
const LINEAR = 1;
const INDIRECT = 2;

/** Segments of a table (C.7.9.2): values, lines to a value, and repetitions of earlier segments. */
function expanded(segments: Uint16Array, length: number): Uint16Array {
  const outputs = new Uint16Array(length);
  let filled = 0;
  const append = (value: number) => {
    if (filled < length) outputs[filled] = value;
    filled += 1;
  };
  /** Returns where the next segment begins. */
  const segment = (at: number): number => {
    const [code, count = 0] = [segments[at], segments[at + 1]];
    if (code === DISCRETE) {
      for (let index = 0; index < count; index += 1) append(segments[at + 2 + index] ?? 0);
      return at + 2 + count;
    }
    if (code !== LINEAR || filled === 0) throw new DicomError('malformed', 'A segment of a lookup table is none.');
    const from = outputs[Math.min(filled, length) - 1] ?? 0;
    const to = segments[at + 2] ?? 0;
    for (let index = 1; index <= count; index += 1) append(Math.round(from + ((to - from) * index) / count));
    return at + 3;
  };
  let at = 0;
  while (at < segments.length && filled < length) {
    if (segments[at] !== INDIRECT) {
      at = segment(at);
      continue;
    }
    // A repetition may not repeat repetitions, so this ends.
    let from = (segments[at + 2] ?? 0) | ((segments[at + 3] ?? 0) << 16);
    for (let left = segments[at + 1] ?? 0; left > 0 && filled < length; left -= 1) from = segment(from);
    at += 4;
  }
  return outputs.subarray(0, Math.min(filled, length));
}

/** The output for an input. */
export function lookUp({ first, outputs }: LookupTable, input: number): number {
  const index = Math.min(Math.max(Math.round(input) - first, 0), outputs.length - 1);
  return outputs[index] ?? 0;
}
