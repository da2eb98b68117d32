/** A file of PS3.10 while it arrives: its meta information first, then the data set as it comes, so that nothing has to be held. */
import { memorySource } from './byte-source.ts';
import { type DataSet, textOf } from './data-set.ts';
import { readDataSet } from './data-set-reader.ts';
import { DicomError } from './dicom-error.ts';
import { isUid } from './network/uid.ts';
import { TAGS } from './tag.ts';
import { EXPLICIT_LITTLE_ENDIAN, transferSyntaxOf } from './transfer-syntax.ts';

const PREAMBLE_BYTES = 128;
const PREFIX = 'DICM';
const META_GROUP = 2;
const MEDIA_STORAGE_SOP_CLASS_UID = 0x00020002;
const MEDIA_STORAGE_SOP_INSTANCE_UID = 0x00020003;
/** A few hundred bytes are the rule; private information may make it some thousand. */
const META_BYTES_MAX = 256 * 1024;
/** Meta information is usually within the first piece; where pieces are tiny it is not parsed again for each. */
const FIRST_TRY_BYTES = 512;

export type IncomingFile = {
  readonly sopClassUid: string;
  readonly sopInstanceUid: string;
  readonly transferSyntaxUid: string;
  /** Can be read once. */
  readonly dataSet: AsyncIterable<Uint8Array>;
};

/**
 * `pieces` must stay as they are after they were taken. Throws `malformed` where there is no meta information, or it lacks a UID,
 * `truncated`, `limit`, and what the source throws.
 */
export async function readIncomingFile(pieces: AsyncIterable<Uint8Array>): Promise<IncomingFile> {
  const iterator = pieces[Symbol.asyncIterator]();
  let held: Buffer = Buffer.alloc(0);
  let triedBytes = FIRST_TRY_BYTES;
  for (;;) {
    const { done, value } = await iterator.next();
    if (done !== true) held = held.byteLength === 0 ? viewOf(value) : Buffer.concat([held, value]);
    if (done !== true && held.byteLength < triedBytes) continue;
    const meta = metaIn(held, done === true);
    if (meta !== undefined) {
      return {
        sopClassUid: uidIn(meta.dataSet, MEDIA_STORAGE_SOP_CLASS_UID),
        sopInstanceUid: uidIn(meta.dataSet, MEDIA_STORAGE_SOP_INSTANCE_UID),
        transferSyntaxUid: uidIn(meta.dataSet, TAGS.transferSyntaxUid),
        dataSet: rest(held.subarray(meta.end), done === true ? undefined : iterator),
      };
    }
    if (held.byteLength > META_BYTES_MAX) throw tooLong();
    triedBytes = Math.min(2 * held.byteLength, META_BYTES_MAX + 1);
  }
}

function tooLong(): DicomError {
  return new DicomError('limit', `Meta information of more than ${META_BYTES_MAX} bytes.`);
}

function viewOf(piece: Uint8Array): Buffer {
  return Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength);
}

/** `undefined` where more has to come. */
function metaIn(held: Buffer, isWhole: boolean): { dataSet: DataSet; end: number } | undefined {
  const start = PREAMBLE_BYTES + PREFIX.length;
  if (held.byteLength >= start && held.toString('latin1', PREAMBLE_BYTES, start) !== PREFIX)
    throw new DicomError('malformed', 'This is no file of PS3.10: it has no prefix behind a preamble.');
  try {
    if (held.byteLength < start) throw new DicomError('truncated', 'The file ends within its preamble.');
    const read = readDataSet(memorySource(held), {
      start,
      encoding: transferSyntaxOf(EXPLICIT_LITTLE_ENDIAN), // whatever follows (PS3.10 7.1)
      limits: { rangeBytesMin: META_BYTES_MAX, stopsAt: (tag) => tag >>> 16 !== META_GROUP },
    });
    if (read.end > META_BYTES_MAX) throw tooLong();
    if (read.end < held.byteLength || isWhole) return read;
  } catch (caught) {
    if (isWhole || !(caught instanceof DicomError) || caught.code !== 'truncated') throw caught;
  }
  return undefined;
}

function uidIn(meta: DataSet, tag: number): string {
  const uid = textOf(meta, tag) ?? '';
  if (!isUid(uid)) throw new DicomError('malformed', 'The meta information of the file lacks a UID.');
  return uid;
}

async function* rest(first: Buffer, iterator: AsyncIterator<Uint8Array> | undefined): AsyncGenerator<Uint8Array> {
  if (first.byteLength > 0) yield first;
  if (iterator === undefined) return;
  for (;;) {
    const { done, value } = await iterator.next();
    if (done === true) return;
    yield value;
  }
}
