/** Files of DICOM PS3.10: preamble, meta information, data set. Reads also what many programs write: without preamble or meta. */
import { inflateRawSync } from 'node:zlib';
import { type ByteSource, memorySource } from './byte-source.ts';
import { type DataSet, textOf } from './data-set.ts';
import { readDataSet } from './data-set-reader.ts';
import { DicomError } from './dicom-error.ts';
import { TAGS, type Tag } from './tag.ts';
import {
  EXPLICIT_BIG_ENDIAN,
  EXPLICIT_LITTLE_ENDIAN,
  IMPLICIT_LITTLE_ENDIAN,
  type TransferSyntax,
  transferSyntaxOf,
} from './transfer-syntax.ts';

const PREAMBLE_BYTES = 128;
const PREFIX = 'DICM';
const META_GROUP = 2;
const HEADER_BYTES = 8;
/** Where data sets begin: command, meta, directory, identifying, patient. */
const FIRST_GROUPS: ReadonlySet<number> = new Set([0, 2, 4, 8, 0x10]);
/** An inflated data set is held in memory; a deflated one that claims more is a bomb or no data set. */
const INFLATED_BYTES_MAX = 512 * 1024 * 1024;
/** Pixel data and other bulk stay in the file; every header we know has smaller values. */
const RANGE_BYTES_MIN = 64 * 1024;

export type Part10File = {
  /** Group 2; empty where the file has none. */
  readonly meta: DataSet;
  readonly dataSet: DataSet;
  readonly transferSyntax: TransferSyntax;
  /** What the ranges of `dataSet` refer to: the source, or the inflated data set. */
  readonly source: ByteSource;
};

/** Throws `truncated`, `malformed` or `limit`. Values of `rangeBytesMin` bytes and more stay in the source. */
export function readPart10(source: ByteSource, rangeBytesMin = RANGE_BYTES_MIN): Part10File {
  const prefixed = hasPrefix(source);
  const { dataSet: meta, end } = readMeta(source, prefixed ? PREAMBLE_BYTES + PREFIX.length : 0);
  if (!prefixed && meta.elements.size === 0) assertDataSet(source);
  const transferSyntax = transferSyntaxOf(textOf(meta, TAGS.transferSyntaxUid) ?? guessTransferSyntax(source, end));
  const body = transferSyntax.deflated ? inflated(source, end) : { source, start: end };
  const { dataSet } = readDataSet(body.source, {
    start: body.start,
    encoding: transferSyntax,
    limits: { rangeBytesMin },
  });
  return { meta, dataSet, transferSyntax, source: body.source };
}

export type HeadOptions = {
  readonly start: number;
  readonly transferSyntaxUid: string;
  readonly rangeBytesMin: number;
  readonly stopsAt: (tag: Tag) => boolean;
};

/** The beginning of a data set; the source may end behind it. Throws as `readPart10`. */
export function readHead(source: ByteSource, options: HeadOptions): DataSet {
  const { start, transferSyntaxUid, ...limits } = options;
  const encoding = transferSyntaxOf(transferSyntaxUid);
  const body = encoding.deflated ? inflated(source, start) : { source, start };
  return readDataSet(body.source, { start: body.start, encoding, limits }).dataSet;
}

function hasPrefix(source: ByteSource): boolean {
  if (source.sizeBytes < PREAMBLE_BYTES + PREFIX.length) return false;
  return source.bytes(PREAMBLE_BYTES, PREFIX.length).toString('latin1') === PREFIX;
}

/** Meta information is explicit little endian whatever follows; its group length is not trusted. */
function readMeta(source: ByteSource, start: number): { dataSet: DataSet; end: number } {
  const encoding = transferSyntaxOf(EXPLICIT_LITTLE_ENDIAN);
  if (source.sizeBytes < start + 2 || source.bytes(start, 2).readUInt16LE(0) !== META_GROUP) {
    return { dataSet: { elements: new Map(), littleEndian: true, characterSets: [] }, end: start };
  }
  return readDataSet(source, {
    start,
    encoding,
    limits: { rangeBytesMin: RANGE_BYTES_MIN, stopsAt: (tag) => tag >>> 16 !== META_GROUP },
  });
}

/** A data set without preamble and meta information begins in one of the first groups; anything else is another kind of file. */
function assertDataSet(source: ByteSource): void {
  if (source.sizeBytes < HEADER_BYTES) throw new DicomError('truncated', 'This is no DICOM file: it is too short.');
  const head = source.bytes(0, HEADER_BYTES);
  const groups = [head.readUInt16LE(0), head.readUInt16BE(0)];
  if (!groups.some((group) => FIRST_GROUPS.has(group))) {
    throw new DicomError('malformed', 'This is no DICOM file: it begins with neither a preamble nor a data set.');
  }
}

/** Explicit where two letters stand in the place of a VR, big endian where the group says so; else implicit, the default. */
function guessTransferSyntax(source: ByteSource, at: number): string {
  const head = source.bytes(at, Math.min(HEADER_BYTES, source.sizeBytes - at));
  if (!/^[A-Z]{2}$/.test(head.toString('latin1', 4, 6))) return IMPLICIT_LITTLE_ENDIAN;
  return FIRST_GROUPS.has(head.readUInt16BE(0)) ? EXPLICIT_BIG_ENDIAN : EXPLICIT_LITTLE_ENDIAN;
}

function inflated(source: ByteSource, start: number): { source: ByteSource; start: number } {
  const deflated = source.bytes(start, source.sizeBytes - start);
  try {
    return { source: memorySource(inflateRawSync(deflated, { maxOutputLength: INFLATED_BYTES_MAX })), start: 0 };
  } catch (cause) {
    if (cause instanceof RangeError)
      throw new DicomError('limit', `The data set inflates to more than ${INFLATED_BYTES_MAX} bytes.`);
    throw new DicomError('malformed', 'The deflated data set cannot be inflated.', { cause });
  }
}
