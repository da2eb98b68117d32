/** A file of PS3.10 as an instance to be sent: what stands behind its meta information is the data set, byte for byte. */
import { createReadStream } from 'node:fs';
import { type ByteSource, openFileSource } from '../byte-source.ts';
import { type DataSet, textOf } from '../data-set.ts';
import { readDataSet } from '../data-set-reader.ts';
import { DicomError } from '../dicom-error.ts';
import { TAGS } from '../tag.ts';
import { EXPLICIT_LITTLE_ENDIAN, transferSyntaxOf } from '../transfer-syntax.ts';
import type { Instance } from './handlers.ts';
import { isUid } from './uid.ts';

const SOP_CLASS_UID = 0x00080016;
const SOP_INSTANCE_UID = 0x00080018;
const MEDIA_STORAGE_SOP_CLASS_UID = 0x00020002;
const MEDIA_STORAGE_SOP_INSTANCE_UID = 0x00020003;
const META_GROUP = 2;
const PREAMBLE_BYTES = 128;
const PREFIX = 'DICM';
/** Read at once; large enough to keep a fast link busy, small enough for a hundred associations. */
const READ_BYTES = 256 * 1024;

/**
 * Its UIDs are those of the data set, which receivers compare: meta information that was not kept up with it is not rare. Throws
 * `malformed` or `truncated` where the file is none of PS3.10. The rest is read only when it is sent.
 */
export function instanceOfFile(file: string): Instance {
  const { start, ...uids } = readBeginning(file);
  return { ...uids, open: () => createReadStream(file, { start, highWaterMark: READ_BYTES }) };
}

function readBeginning(file: string): Omit<Instance, 'open'> & { start: number } {
  const source = openFileSource(file);
  try {
    assertPrefix(source);
    const { dataSet: meta, end: start } = readDataSet(source, {
      start: PREAMBLE_BYTES + PREFIX.length,
      encoding: transferSyntaxOf(EXPLICIT_LITTLE_ENDIAN), // whatever follows (PS3.10 7.1)
      limits: { rangeBytesMin: READ_BYTES, stopsAt: (tag) => tag >>> 16 !== META_GROUP },
    });
    const transferSyntax = uidIn(meta, TAGS.transferSyntaxUid);
    const head = headOf(source, start, transferSyntax);
    return {
      sopClass: textOf(head, SOP_CLASS_UID) ?? uidIn(meta, MEDIA_STORAGE_SOP_CLASS_UID),
      sopInstance: textOf(head, SOP_INSTANCE_UID) ?? uidIn(meta, MEDIA_STORAGE_SOP_INSTANCE_UID),
      transferSyntax,
      start,
    };
  } finally {
    source.close();
  }
}

/** As far as the UIDs; nothing of a deflated data set, which would have to be inflated whole. */
function headOf(source: ByteSource, start: number, transferSyntax: string): DataSet {
  const encoding = transferSyntaxOf(transferSyntax);
  if (encoding.deflated) return { elements: new Map(), littleEndian: true, characterSets: [] };
  const limits = { rangeBytesMin: READ_BYTES, stopsAt: (tag: number) => tag > SOP_INSTANCE_UID };
  return readDataSet(source, { start, encoding, limits }).dataSet;
}

function assertPrefix(source: ByteSource): void {
  if (source.bytes(PREAMBLE_BYTES, PREFIX.length).toString('latin1') === PREFIX) return;
  throw new DicomError('malformed', 'The file has no preamble, and so no meta information.');
}

function uidIn(meta: DataSet, tag: number): string {
  const uid = textOf(meta, tag) ?? '';
  if (!isUid(uid)) throw new DicomError('malformed', 'The meta information of the file lacks a UID.');
  return uid;
}
