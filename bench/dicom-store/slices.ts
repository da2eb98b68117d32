/** CT-like slices of 525 kB, each with UIDs of its own, and one instance of many frames. */
import { closeSync, openSync, writeFileSync, writeSync } from 'node:fs';
import path from 'node:path';
import {
  bytesElement,
  dataSetOf,
  encodeDataSet,
  memorySource,
  metaFor,
  numberElement,
  textElement,
  transferSyntaxOf,
  writePart10,
} from '@lantern/dicom';

const SIDE = 512;
const CT_IMAGE_STORAGE = '1.2.840.10008.5.1.4.1.1.2';
const MULTI_FRAME_WORD_STORAGE = '1.2.840.10008.5.1.4.1.1.7.3';
const EXPLICIT_LITTLE_ENDIAN = '1.2.840.10008.1.2.1';
const WRITE_BYTES = 16 * 1024 * 1024;
const MODULUS = 65_521;

/** Something like a picture: it must not be all alike, and costs nothing to make. */
function pixels(seed: number): Buffer {
  const words = new Uint16Array(SIDE * SIDE);
  let state = seed + 1;
  for (let index = 0; index < words.length; index += 1) {
    state = (state * 17_364 + 1) % MODULUS;
    words[index] = state & 0xfff;
  }
  return Buffer.from(words.buffer);
}

function headerOf(uids: { sopClass: string; study: number; number: number }) {
  const { sopClass, study, number } = uids;
  const texts: Record<string, string> = {
    ImageType: 'ORIGINAL\\PRIMARY\\AXIAL',
    SOPClassUID: sopClass,
    SOPInstanceUID: `2.25.7.${study}.1.${number}`,
    StudyDate: '20261102',
    StudyTime: '101500',
    AccessionNumber: `A${study}`,
    Modality: 'CT',
    Manufacturer: 'BENCH',
    StudyDescription: 'CT thorax',
    SeriesDescription: 'axial 1.0',
    PatientName: `Bench^Study${study}`,
    PatientID: `B${study}`,
    PatientBirthDate: '19700101',
    PatientSex: 'O',
    StudyInstanceUID: `2.25.7.${study}`,
    SeriesInstanceUID: `2.25.7.${study}.1`,
    SeriesNumber: '1',
    InstanceNumber: String(number),
  };
  const values = Object.entries(texts).map(([keyword, text]) => textElement(keyword, text.split('\\')));
  return [
    ...values,
    numberElement('SamplesPerPixel', 1),
    textElement('PhotometricInterpretation', 'MONOCHROME2'),
    numberElement('Rows', SIDE),
    numberElement('Columns', SIDE),
    numberElement('BitsAllocated', 16),
    numberElement('BitsStored', 12),
    numberElement('HighBit', 11),
    numberElement('PixelRepresentation', 0),
  ];
}

export function writeSlices(folder: string, { count, study }: { count: number; study: number }): void {
  for (let number = 1; number <= count; number += 1) {
    const dataSet = dataSetOf([
      ...headerOf({ sopClass: CT_IMAGE_STORAGE, study, number }),
      bytesElement('PixelData', pixels(number), 'OW'),
    ]);
    const transferSyntax = transferSyntaxOf(EXPLICIT_LITTLE_ENDIAN);
    const file = writePart10({ dataSet, transferSyntax, source: memorySource(Buffer.alloc(0)) });
    writeFileSync(path.join(folder, `${number}.dcm`), Buffer.concat([...file]));
  }
}

/** Written piece by piece, as it does not fit into one buffer. */
export function writeBigInstance(folder: string, pixelBytes: number): void {
  const frameBytes = SIDE * SIDE * 2;
  const frames = Math.floor(pixelBytes / frameBytes);
  const encoded = encodeDataSet(
    dataSetOf([
      ...headerOf({ sopClass: MULTI_FRAME_WORD_STORAGE, study: 9, number: 1 }),
      numberElement('NumberOfFrames', frames),
    ]),
    transferSyntaxOf(EXPLICIT_LITTLE_ENDIAN),
  );
  const uids = { sopClassUid: MULTI_FRAME_WORD_STORAGE, sopInstanceUid: '2.25.7.9.1.1' };
  const element = Buffer.from('e07f10004f57000000000000', 'hex');
  element.writeUInt32LE(frames * frameBytes, 8);
  const descriptor = openSync(path.join(folder, 'big.dcm'), 'w');
  writeSync(descriptor, metaFor({ ...uids, transferSyntaxUid: EXPLICIT_LITTLE_ENDIAN }));
  for (const piece of encoded) if (Buffer.isBuffer(piece)) writeSync(descriptor, piece);
  writeSync(descriptor, element);
  const block = Buffer.alloc(WRITE_BYTES, pixels(3));
  for (let left = frames * frameBytes; left > 0; left -= block.byteLength)
    writeSync(descriptor, block, 0, Math.min(left, block.byteLength));
  closeSync(descriptor);
}
