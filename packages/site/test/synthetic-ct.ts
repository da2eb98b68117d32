/** A CT series made of nothing, whose slices make a volume, as the archive receives it. */
import { bytesElement, numberElement, sequenceElement, textElement } from '@lantern/dicom';

const CT_IMAGE_STORAGE = '1.2.840.10008.5.1.4.1.1.2';

export type SyntheticSlice = {
  readonly study: number;
  readonly series?: number;
  readonly slice: number;
  /** Texts by keyword, over those made here. */
  readonly texts?: Readonly<Record<string, string>>;
  readonly orientation?: readonly number[];
  readonly thickness?: number;
  readonly otherPatientIds?: readonly string[];
};

const ROWS = 4;
const COLUMNS = 3;
const AXIAL = [1, 0, 0, 0, 1, 0];

/** The stored value of a pixel; rescaled it is 1000 less. */
export function storedValue(slice: number, index: number): number {
  return 1000 + slice * 100 + index;
}

export function ctSlice({ study, series = 1, slice, ...options }: SyntheticSlice) {
  const studyInstanceUid = `2.25.7.${study}`;
  const seriesInstanceUid = `${studyInstanceUid}.${series}`;
  const sopInstanceUid = `${seriesInstanceUid}.${slice}`;
  const texts: Record<string, string> = {
    ImageType: 'ORIGINAL\\PRIMARY\\AXIAL',
    StudyDate: '20260115',
    StudyTime: '101112',
    AccessionNumber: `ACC${study}`,
    Modality: 'CT',
    Manufacturer: 'Acme',
    ReferringPhysicianName: 'Grey^Meredith',
    StudyDescription: `Study ${study}`,
    SeriesDescription: 'Thorax 1.0 B70f',
    PatientName: `Doe${study}^Jane`,
    PatientID: `HOSP${study}`,
    PatientBirthDate: '19610203',
    PatientSex: 'F',
    StudyInstanceUID: studyInstanceUid,
    SeriesInstanceUID: seriesInstanceUid,
    StudyID: String(study),
    SeriesNumber: String(series),
    InstanceNumber: String(slice),
    PhotometricInterpretation: 'MONOCHROME2',
    ...options.texts,
  };
  const pixels = Buffer.alloc(ROWS * COLUMNS * 2);
  for (let index = 0; index < ROWS * COLUMNS; index += 1) pixels.writeUInt16LE(storedValue(slice, index), index * 2);
  const numbers: Record<string, number | readonly number[]> = {
    SamplesPerPixel: 1,
    Rows: ROWS,
    Columns: COLUMNS,
    BitsAllocated: 16,
    BitsStored: 16,
    HighBit: 15,
    PixelRepresentation: 0,
    PixelSpacing: [0.5, 0.25],
    ImagePositionPatient: [10, 20, 30 + 2 * slice],
    ImageOrientationPatient: options.orientation ?? AXIAL,
    SliceThickness: options.thickness ?? 2,
    RescaleSlope: 1,
    RescaleIntercept: -1000,
  };
  const others = options.otherPatientIds ?? [];
  return {
    sopClassUid: CT_IMAGE_STORAGE,
    sopInstanceUid,
    studyInstanceUid,
    builders: [
      ...Object.entries(texts).map(([keyword, text]) => textElement(keyword, text.split('\\'))),
      ...Object.entries(numbers).map(([keyword, number]) => numberElement(keyword, number)),
      ...(others.length === 0
        ? []
        : [
            sequenceElement(
              'OtherPatientIDsSequence',
              others.map((id) => [textElement('PatientID', id)]),
            ),
          ]),
      bytesElement('PixelData', pixels, 'OW'),
    ],
  };
}

const SECONDARY_CAPTURE = '1.2.840.10008.5.1.4.1.1.7';
export const CAPTURE_SIDE = 16;
export const CAPTURE_DARK = 5;

/** Bright, but for the last, which is as dark as it gets. */
function capturePixels(): Buffer {
  const pixels = Buffer.alloc(CAPTURE_SIDE * CAPTURE_SIDE, 200);
  pixels[pixels.length - 1] = CAPTURE_DARK;
  return pixels;
}

/** A captured screen. */
export function screenCapture({
  study,
  number,
  texts,
}: {
  study: number;
  number: number;
  texts?: Record<string, string>;
}) {
  const studyInstanceUid = `2.25.7.${study}`;
  const named: Record<string, string> = {
    ConversionType: 'WSD',
    Modality: 'CT',
    PatientName: `Doe${study}^Jane`,
    PatientID: `HOSP${study}`,
    StudyInstanceUID: studyInstanceUid,
    SeriesInstanceUID: `${studyInstanceUid}.99`,
    InstanceNumber: String(number),
    PhotometricInterpretation: 'MONOCHROME2',
    ...texts,
  };
  const numbers = {
    SamplesPerPixel: 1,
    Rows: CAPTURE_SIDE,
    Columns: CAPTURE_SIDE,
    BitsAllocated: 8,
    BitsStored: 8,
    HighBit: 7,
    PixelRepresentation: 0,
  };
  return {
    sopClassUid: SECONDARY_CAPTURE,
    sopInstanceUid: `${studyInstanceUid}.99.${number}`,
    studyInstanceUid,
    builders: [
      ...Object.entries(named).map(([keyword, text]) => textElement(keyword, text)),
      ...Object.entries(numbers).map(([keyword, value]) => numberElement(keyword, value)),
      bytesElement('PixelData', capturePixels(), 'OB'),
    ],
  };
}
