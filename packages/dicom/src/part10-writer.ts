/**
 * Writes files of DICOM PS3.10: an empty preamble, meta information made anew, and the data set, whose large values stream from
 * their source. Nothing of another file's meta information comes along but what the caller hands over: it names machines and
 * programs, and its length and syntax would be wrong.
 */
import { deflateRawSync } from 'node:zlib';
import type { ByteSource } from './byte-source.ts';
import { type DataSet, type Element, textOf } from './data-set.ts';
import { bytesOf, encodeDataSet } from './data-set-writer.ts';
import { DicomError } from './dicom-error.ts';
import { bytesElement, type ElementBuilder, textElement } from './element-values.ts';
import { IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME } from './implementation.ts';
import { INFLATED_BYTES_MAX } from './part10.ts';
import { TAGS, type Tag } from './tag.ts';
import { EXPLICIT_LITTLE_ENDIAN, type TransferSyntax, transferSyntaxOf } from './transfer-syntax.ts';

const PREAMBLE_BYTES = 128;
const PREFIX = 'DICM';
const SOP_CLASS_UID = 0x00080016;
const SOP_INSTANCE_UID = 0x00080018;
const MEDIA_STORAGE_SOP_CLASS_UID = 0x00020002;
const MEDIA_STORAGE_SOP_INSTANCE_UID = 0x00020003;
/** What of given meta information is written again: who sent and received the object, and private information (PS3.10 7.1). */
const KEPT_META: readonly Tag[] = [0x00020016, 0x00020017, 0x00020018, 0x00020100, 0x00020102];

export type Part10Content = {
  readonly meta?: DataSet;
  readonly dataSet: DataSet;
  readonly transferSyntax: TransferSyntax;
  /** What the ranges of `dataSet` refer to. */
  readonly source: ByteSource;
};

/**
 * The file in blocks. UIDs of class and instance are those of the data set, else of `meta`, as a DICOMDIR has them.
 *
 * Throws `malformed` where neither names them, or where pixels are encapsulated in a native syntax or the other way round; what is
 * wrong with the data set is thrown before the first block.
 */
export function writePart10(content: Part10Content): Iterable<Buffer> {
  const { meta, dataSet, transferSyntax } = content;
  const sopClassUid = textOf(dataSet, SOP_CLASS_UID) ?? uidIn(meta, MEDIA_STORAGE_SOP_CLASS_UID);
  const sopInstanceUid = textOf(dataSet, SOP_INSTANCE_UID) ?? uidIn(meta, MEDIA_STORAGE_SOP_INSTANCE_UID);
  if (sopClassUid === undefined || sopInstanceUid === undefined)
    throw new DicomError('malformed', 'A file needs SOPClassUID and SOPInstanceUID for its meta information.');
  const head = metaFor({
    sopClassUid,
    sopInstanceUid,
    transferSyntaxUid: transferSyntax.uid,
    others: KEPT_META.flatMap((tag) => meta?.elements.get(tag) ?? []),
  });
  return joined(head, writeDataSet(content));
}

/** What stands behind the meta information, in blocks. Throws as `writePart10`. */
export function writeDataSet({ dataSet, transferSyntax, source }: Omit<Part10Content, 'meta'>): Iterable<Buffer> {
  assertPixelsFit(dataSet, transferSyntax);
  const body = bytesOf(encodeDataSet(dataSet, transferSyntax), source);
  return transferSyntax.deflated ? [deflated(body)] : body;
}

/** All that stands before the data set: preamble, prefix, and the file meta information (PS3.10 7.1). */
export function metaFor(options: {
  sopClassUid: string;
  sopInstanceUid: string;
  transferSyntaxUid: string;
  others?: readonly Element[];
}): Buffer {
  constantMeta ??= builtMeta([
    bytesElement('FileMetaInformationVersion', Buffer.from([0, 1])),
    textElement('ImplementationClassUID', IMPLEMENTATION_CLASS_UID),
    textElement('ImplementationVersionName', IMPLEMENTATION_VERSION_NAME),
  ]);
  const [version, ...implementation] = constantMeta;
  const elements = [
    ...(version === undefined ? [] : [version]),
    ...builtMeta([
      textElement('MediaStorageSOPClassUID', options.sopClassUid),
      textElement('MediaStorageSOPInstanceUID', options.sopInstanceUid),
      textElement('TransferSyntaxUID', options.transferSyntaxUid),
    ]),
    ...implementation,
    ...(options.others ?? []),
  ];
  const group = { ...META_CONTEXT, elements: new Map(elements.map((element) => [element.tag, element])) };
  const pieces = encodeDataSet(group, transferSyntaxOf(EXPLICIT_LITTLE_ENDIAN)); // whatever follows
  const encoded = Buffer.concat(pieces.filter((piece) => Buffer.isBuffer(piece)));
  const groupLength = Buffer.from('02000000554c040000000000', 'hex');
  groupLength.writeUInt32LE(encoded.byteLength, 8);
  return Buffer.concat([Buffer.alloc(PREAMBLE_BYTES), Buffer.from(PREFIX), groupLength, encoded]);
}

const META_CONTEXT = { littleEndian: true, characterSets: [] } as const;
/** The same in every file. */
let constantMeta: readonly Element[] | undefined;

function builtMeta(builders: readonly ElementBuilder[]): Element[] {
  return builders.flatMap((build) => build(META_CONTEXT) ?? []); // ASCII, which any character set holds
}

function uidIn(meta: DataSet | undefined, tag: Tag): string | undefined {
  return meta === undefined ? undefined : textOf(meta, tag);
}

/** PS3.5 A.4: fragments in encapsulated syntaxes, one value in native ones. */
function assertPixelsFit({ elements }: DataSet, { pixels }: TransferSyntax): void {
  const value = elements.get(TAGS.pixelData)?.value;
  if (value === undefined || pixels === undefined) return;
  if ((value.kind === 'fragments') !== (pixels === 'encapsulated'))
    throw new DicomError('malformed', 'The pixel data is not written as its transfer syntax has it.');
}

function* joined(head: Buffer, body: Iterable<Buffer>): Generator<Buffer> {
  yield head;
  yield* body;
}

/** PS3.5 A.5: deflated without a header, and padded to an even length. Made in memory; what is larger our own reader would refuse. */
function deflated(body: Iterable<Buffer>): Buffer {
  const blocks: Buffer[] = [];
  let sizeBytes = 0;
  for (const block of body) {
    sizeBytes += block.byteLength;
    if (sizeBytes > INFLATED_BYTES_MAX)
      throw new DicomError('limit', `A data set of more than ${INFLATED_BYTES_MAX} bytes is not deflated.`);
    blocks.push(block);
  }
  const packed = deflateRawSync(Buffer.concat(blocks));
  return packed.byteLength % 2 === 0 ? packed : Buffer.concat([packed, Buffer.alloc(1)]);
}
