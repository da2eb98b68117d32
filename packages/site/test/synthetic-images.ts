/** Instances made of nothing: small, valid in what the archive looks at, and different in every value. */
import {
  bytesElement,
  type DataSet,
  dataSetOf,
  encodeDataSet,
  type Instance,
  numberElement,
  sequenceElement,
  textElement,
  transferSyntaxOf,
} from '@lantern/dicom';

export const CT_IMAGE_STORAGE = '1.2.840.10008.5.1.4.1.1.2';
const EXPLICIT_LITTLE_ENDIAN = '1.2.840.10008.1.2.1';

export type SyntheticImage = {
  readonly study: number;
  readonly series: number;
  readonly number: number;
  readonly patientId?: string;
  readonly patientName?: string;
  readonly pixelBytes?: number;
  readonly others?: Readonly<Record<string, string>>;
  /** The one item of RequestAttributesSequence. */
  readonly request?: Readonly<Record<string, string>>;
};

function sopInstanceUid({ study, series, number }: SyntheticImage): string {
  return `${studyInstanceUid(study)}.${series}.${number}`;
}

const studyInstanceUid = (study: number): string => `2.25.1.${study}`;

function syntheticDataSet(image: SyntheticImage): DataSet {
  const { study, series, number, pixelBytes = 128 } = image;
  const texts: Record<string, string> = {
    SOPClassUID: CT_IMAGE_STORAGE,
    SOPInstanceUID: sopInstanceUid(image),
    StudyDate: `2026${String(1 + (study % 12)).padStart(2, '0')}15`,
    StudyTime: '101112',
    AccessionNumber: `A${1000 + study}`,
    Modality: 'CT',
    ReferringPhysicianName: 'Grey^Meredith',
    StudyDescription: `Study ${study}`,
    SeriesDescription: `Series ${series}`,
    PatientName: image.patientName ?? `Doe^Jane^${study}`,
    PatientID: image.patientId ?? `P${study}`,
    PatientBirthDate: '19610203',
    PatientSex: 'F',
    BodyPartExamined: 'CHEST',
    StudyInstanceUID: studyInstanceUid(study),
    SeriesInstanceUID: `${studyInstanceUid(study)}.${series}`,
    StudyID: String(study),
    SeriesNumber: String(series),
    InstanceNumber: String(number),
    ...image.others,
  };
  const side = Math.max(1, Math.floor(Math.sqrt(pixelBytes / 2)));
  return dataSetOf([
    ...textElements(texts),
    ...(image.request === undefined
      ? []
      : [sequenceElement('RequestAttributesSequence', [textElements(image.request)])]),
    numberElement('Rows', side),
    numberElement('Columns', side),
    numberElement('BitsAllocated', 16),
    bytesElement('PixelData', Buffer.alloc(pixelBytes, number % 251), 'OW'),
  ]);
}

function textElements(texts: Readonly<Record<string, string>>) {
  return Object.entries(texts).map(([keyword, text]) => textElement(keyword, text));
}

/** As a sender offers it. */
export function syntheticInstance(image: SyntheticImage): Instance & { readonly content: Buffer } {
  const pieces = encodeDataSet(syntheticDataSet(image), transferSyntaxOf(EXPLICIT_LITTLE_ENDIAN));
  const content = Buffer.concat(pieces.filter((piece) => Buffer.isBuffer(piece)));
  return {
    sopClass: CT_IMAGE_STORAGE,
    sopInstance: sopInstanceUid(image),
    transferSyntax: EXPLICIT_LITTLE_ENDIAN,
    content,
    async *open() {
      yield content;
    },
  };
}
