/** Radiographs made of nothing, small, with pixels that a test knows, as the archive of a site receives them. */
import path from 'node:path';
import { bytesElement, dataSetOf, encodeDataSet, numberElement, textElement, transferSyntaxOf } from '@lantern/dicom';
import { createLogger, systemClock } from '@lantern/service';
import { createArchive } from '../src/archive/archive.ts';
import { takeIn } from './imaging-harness.ts';
import type { TestSite } from './site-harness.ts';

const CR_IMAGE_STORAGE = '1.2.840.10008.5.1.4.1.1.1';
const EXPLICIT_LITTLE_ENDIAN = '1.2.840.10008.1.2.1';
const MAX = 4095;

export type Radiograph = {
  /** Tells it from all others. */
  readonly study: number;
  readonly patientId: string;
  /** "20260131" */
  readonly day: string;
  readonly accession?: string;
  readonly rows: number;
  readonly columns: number;
  /** Row-major, 0 to 4095. */
  readonly pixels: readonly number[];
  readonly texts?: Readonly<Record<string, string>>;
};

const sopInstanceUid = (study: number): string => `2.25.9.${study}.1.1`;

function elementsOf({ study, patientId, day, accession = '', rows, columns, pixels, texts }: Radiograph) {
  const cells = Buffer.alloc(pixels.length * 2);
  for (const [index, value] of pixels.entries()) cells.writeUInt16LE(Math.min(MAX, value), index * 2);
  const all: Record<string, string> = {
    SOPClassUID: CR_IMAGE_STORAGE,
    SOPInstanceUID: sopInstanceUid(study),
    StudyDate: day,
    StudyTime: '101112',
    AccessionNumber: accession,
    Modality: 'CR',
    Manufacturer: 'Acme',
    SeriesDescription: 'Chest PA',
    BodyPartExamined: 'CHEST',
    PatientName: `Doe${study}^Jane`,
    PatientID: patientId,
    PatientBirthDate: '19610203',
    PatientSex: 'F',
    StudyInstanceUID: `2.25.9.${study}`,
    SeriesInstanceUID: `2.25.9.${study}.1`,
    StudyID: String(study),
    SeriesNumber: '1',
    InstanceNumber: '1',
    PhotometricInterpretation: 'MONOCHROME2',
    ...texts,
  };
  const numbers: Record<string, number | readonly number[]> = {
    SamplesPerPixel: 1,
    Rows: rows,
    Columns: columns,
    BitsAllocated: 16,
    BitsStored: 12,
    HighBit: 11,
    PixelRepresentation: 0,
    PixelSpacing: [1, 1],
  };
  return [
    ...Object.entries(all).map(([keyword, text]) => textElement(keyword, text.split('\\'))),
    ...Object.entries(numbers).map(([keyword, number]) => numberElement(keyword, number)),
    bytesElement('PixelData', cells, 'OW'),
  ];
}

/** Into the archive of a site, and ended: their studies are complete at the next sweep. */
export async function receiveRadiographs(site: TestSite, images: readonly Radiograph[]): Promise<void> {
  const dir = path.join(site.settings.dataDir, 'images');
  const log = createLogger({ name: 'test', level: 'silent' });
  const archive = createArchive({ database: site.database, clock: systemClock, log, dir, freeBytesMin: 0 });
  try {
    for (const image of images) {
      const pieces = encodeDataSet(dataSetOf(elementsOf(image)), transferSyntaxOf(EXPLICIT_LITTLE_ENDIAN));
      const content = Buffer.concat(pieces.filter((piece) => Buffer.isBuffer(piece)));
      const sopInstance = sopInstanceUid(image.study);
      await takeIn(
        { archive },
        { sopClass: CR_IMAGE_STORAGE, sopInstance, transferSyntax: EXPLICIT_LITTLE_ENDIAN, content },
      );
    }
  } finally {
    await archive.close();
  }
  await site.database.pool.query(
    `update image_arrival set last_at = last_at - interval '1 hour', first_at = first_at - interval '1 hour' where state = 'receiving'`,
  );
}
