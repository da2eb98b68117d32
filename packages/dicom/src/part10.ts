/** Files of DICOM PS3.10: preamble, meta information, data set. Reads also what many programs write: without preamble or meta. */
import { constants, inflateRawSync } from 'node:zlib';
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
/** An inflated data set is held in memory, and inflating it holds up the process; one that claims more is a bomb or no data set. */
export const INFLATED_BYTES_MAX = 256 * 1024 * 1024;
/** What is inflated of a deflated data set to find its head: at first, and at most. */
const HEAD_DEFLATED_BYTES_FIRST = 16 * 1024;
const HEAD_INFLATED_BYTES_MAX = 128 * 1024 * 1024;
/** A head names its study, series and what they refer to. */
const HEAD_ELEMENT_COUNT_MAX = 200_000;
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
  /** Whether the source has all of the data set; else the head must end within it. */
  readonly isWhole: boolean;
  readonly transferSyntaxUid: string;
  readonly rangeBytesMin: number;
  readonly stopsAt: (tag: Tag) => boolean;
};

/** The beginning of a data set. Throws as `readPart10`; `truncated` may mean that more has to be read. */
export function readHead(source: ByteSource, options: HeadOptions): DataSet {
  const { start, isWhole, transferSyntaxUid, ...limits } = options;
  const encoding = transferSyntaxOf(transferSyntaxUid);
  const read = (from: ByteSource, at: number, hasAll: boolean) => {
    const { dataSet, end } = readDataSet(from, {
      start: at,
      encoding,
      limits: { ...limits, elementCountMax: HEAD_ELEMENT_COUNT_MAX },
    });
    if (!hasAll && end === from.sizeBytes) throw new DicomError('truncated', 'The head may go on.');
    return dataSet;
  };
  if (!encoding.deflated) return read(source, start, isWhole);
  const deflatedBytes = source.sizeBytes - start;
  for (let bytes = HEAD_DEFLATED_BYTES_FIRST; bytes < deflatedBytes; bytes *= 2) {
    try {
      return read(beginningOf(source.bytes(start, bytes)), 0, false);
    } catch (caught) {
      if (!(caught instanceof DicomError) || caught.code !== 'truncated') throw caught;
    }
  }
  return read(beginningOf(source.bytes(start, deflatedBytes)), 0, isWhole);
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
  return { source: inflatedFrom(deflated, { maxOutputLength: INFLATED_BYTES_MAX }), start: 0 };
}

/** What inflates from the beginning of a deflated data set. */
function beginningOf(deflated: Buffer): ByteSource {
  return inflatedFrom(deflated, { maxOutputLength: HEAD_INFLATED_BYTES_MAX, finishFlush: constants.Z_SYNC_FLUSH });
}

function inflatedFrom(deflated: Buffer, options: { maxOutputLength: number; finishFlush?: number }): ByteSource {
  try {
    return memorySource(inflateRawSync(deflated, options));
  } catch (cause) {
    if (cause instanceof RangeError)
      throw new DicomError('limit', `The data set inflates to more than ${options.maxOutputLength} bytes.`);
    throw new DicomError('malformed', 'The deflated data set cannot be inflated.', { cause });
  }
}
