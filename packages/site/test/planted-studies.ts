/**
 * Studies of patients who do not exist, with a token of chance in every place where a person may be named: header, sequences,
 * descriptions, private elements, UIDs, texts of reports, trailing and hidden places. Seeded, so that a failure can be made again.
 */
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

const EXPLICIT_LITTLE_ENDIAN = '1.2.840.10008.1.2.1';
const CT = '1.2.840.10008.5.1.4.1.1.2';
const SECONDARY_CAPTURE = '1.2.840.10008.5.1.4.1.1.7';
const BASIC_TEXT_SR = '1.2.840.10008.5.1.4.1.1.88.11';
const LETTERS = 'BCDFGHJKLMNPQRSTVWXZ'; // without vowels: no word of medicine comes of it
const TOKEN_LENGTH = 12;
const UID_DIGITS = 16;
const SIDE = 16;

type ElementBuilder = Parameters<typeof dataSetOf>[0][number];

export type PlantedStudy = {
  readonly instances: readonly Instance[];
  /** Where -> what. */
  readonly tokens: ReadonlyMap<string, string>;
};

export function plantedStudy(seed: number, index: number): PlantedStudy {
  const draw = chance(seed * 1000 + index);
  const tokens = new Map<string, string>();
  const plant = (place: string) => {
    const known = tokens.get(place);
    const token = known ?? Array.from({ length: TOKEN_LENGTH }, () => LETTERS[draw(LETTERS.length)]).join('');
    tokens.set(place, token);
    return token;
  };
  const uid = (place: string) => {
    const digits = tokens.get(place) ?? `${1 + draw(9)}${Array.from({ length: UID_DIGITS }, () => draw(10)).join('')}`;
    tokens.set(place, digits);
    return `1.2.826.0.1.${digits}`;
  };
  const common = { plant, uid };
  return {
    tokens,
    instances: [
      instanceOf(CT, uid('SOP of slice 1'), [...header(common), ...image('MONOCHROME2', 16)]),
      instanceOf(CT, uid('SOP of slice 2'), [...header(common), ...image('MONOCHROME2', 16)]),
      instanceOf(SECONDARY_CAPTURE, uid('SOP of capture'), [
        ...header(common),
        textElement('ConversionType', 'WSD'),
        ...image('MONOCHROME2', 8),
      ]),
      instanceOf(BASIC_TEXT_SR, uid('SOP of report'), [...header(common), ...report(plant)]),
    ],
  };
}

type Planter = { readonly plant: (place: string) => string; readonly uid: (place: string) => string };

function header({ plant, uid }: Planter): ElementBuilder[] {
  const name = `${plant('family name')}^${plant('given name')}`;
  const texts: Readonly<Record<string, string>> = {
    PatientName: name,
    PatientID: plant('PatientID'),
    IssuerOfPatientID: plant('IssuerOfPatientID'),
    OtherPatientNames: `${plant('other name')}^X`,
    PatientAddress: `1 ${plant('street')} Road`,
    PatientTelephoneNumbers: plant('telephone'),
    PatientMotherBirthName: plant("mother's name"),
    EthnicGroup: 'unknown',
    Occupation: plant('Occupation'),
    PatientComments: `called ${plant('nickname')}`,
    AdditionalPatientHistory: `seen by ${plant('history')}`,
    PatientBirthDate: '19610203',
    PatientSex: 'F',
    StudyInstanceUID: uid('StudyInstanceUID'),
    SeriesInstanceUID: uid('SeriesInstanceUID'),
    FrameOfReferenceUID: uid('FrameOfReferenceUID'),
    StudyDate: '20260115',
    StudyTime: '101112',
    AccessionNumber: plant('AccessionNumber'),
    StudyID: plant('StudyID'),
    StudyDescription: `CT of ${plant('family name')} ${plant('StudyDescription')}`,
    SeriesDescription: `${plant('given name')} thorax ${plant('SeriesDescription')}`,
    ProtocolName: `protocol ${plant('ProtocolName')}`,
    ImageComments: `${plant('PatientID')} ${plant('ImageComments')}`,
    Modality: 'CT',
    Manufacturer: 'Acme',
    ReferringPhysicianName: `${plant('ReferringPhysician')}^A`,
    PerformingPhysicianName: `${plant('PerformingPhysician')}^B`,
    OperatorsName: `${plant('Operator')}^C`,
    RequestingPhysician: `${plant('RequestingPhysician')}^D`,
    InstitutionName: plant('InstitutionName'),
    InstitutionAddress: plant('InstitutionAddress'),
    InstitutionalDepartmentName: plant('Department'),
    StationName: plant('StationName'),
    DeviceSerialNumber: plant('DeviceSerialNumber'),
    PerformedProcedureStepID: plant('PerformedProcedureStepID'),
    PerformedProcedureStepDescription: plant('PerformedProcedureStepDescription'),
    AdmissionID: plant('AdmissionID'),
    CurrentPatientLocation: plant('CurrentPatientLocation'),
    MedicalRecordLocator: plant('MedicalRecordLocator'),
    RegionOfResidence: plant('RegionOfResidence'),
    ResponsiblePerson: `${plant('ResponsiblePerson')}^F`,
    NameOfPhysiciansReadingStudy: `${plant('reading physician')}^G`,
    PhysiciansOfRecord: `${plant('physician of record')}^H`,
    PlacerOrderNumberImagingServiceRequest: plant('placer order number'),
    FillerOrderNumberImagingServiceRequest: plant('filler order number'),
    RequestedProcedureID: plant('RequestedProcedureID'),
    SeriesNumber: '1',
    InstanceNumber: '1',
  };
  return [
    ...Object.entries(texts).map(([keyword, text]) => textElement(keyword, text)),
    sequenceElement('OtherPatientIDsSequence', [[textElement('PatientID', plant('other PatientID'))]]),
    sequenceElement('RequestAttributesSequence', [
      [
        textElement('ScheduledProcedureStepID', plant('ScheduledProcedureStepID')),
        textElement('RequestedProcedureDescription', `asked for by ${plant('nested description')}`),
        sequenceElement('RequestedProcedureCodeSequence', [
          [textElement('CodeValue', 'P1'), textElement('CodeMeaning', plant('CodeMeaning'))],
        ]),
      ],
    ]),
    sequenceElement('ReferencedStudySequence', [
      [textElement('ReferencedSOPClassUID', CT), textElement('ReferencedSOPInstanceUID', uid('referenced study'))],
    ]),
    privateText(0x00090010, 'LO', `ACME ${plant('private creator')}`),
    privateText(0x00091001, 'LO', plant('private text')),
    privateText(0x00091002, 'UN', plant('private bytes')),
  ];
}

function privateText(tag: number, vr: 'LO' | 'UN', text: string): ElementBuilder {
  const bytes = Buffer.from(text.length % 2 === 0 ? text : `${text} `);
  return () => ({ tag, vr, value: { kind: 'bytes', bytes } });
}

function image(photometric: string, bits: number): ElementBuilder[] {
  const numbers = {
    SamplesPerPixel: 1,
    Rows: SIDE,
    Columns: SIDE,
    BitsAllocated: bits,
    BitsStored: bits,
    HighBit: bits - 1,
    PixelRepresentation: 0,
  };
  const pixels = Buffer.alloc((SIDE * SIDE * bits) / 8, 7);
  return [
    textElement('PhotometricInterpretation', photometric),
    ...Object.entries(numbers).map(([keyword, value]) => numberElement(keyword, value)),
    bytesElement('PixelData', pixels, bits === 8 ? 'OB' : 'OW'),
  ];
}

function report(plant: (place: string) => string): ElementBuilder[] {
  const text = `${plant('family name')} was seen. ${plant('report text')}`;
  return [
    textElement('ValueType', 'CONTAINER'),
    textElement('ContinuityOfContent', 'SEPARATE'),
    sequenceElement('ContentSequence', [
      [textElement('RelationshipType', 'CONTAINS'), textElement('ValueType', 'TEXT'), textElement('TextValue', text)],
      [
        textElement('RelationshipType', 'CONTAINS'),
        textElement('ValueType', 'PNAME'),
        textElement('PersonName', `${plant('name in report')}^E`),
      ],
    ]),
  ];
}

function instanceOf(sopClass: string, sopInstance: string, builders: readonly ElementBuilder[]): Instance {
  const dataSet: DataSet = dataSetOf([
    textElement('SOPClassUID', sopClass),
    textElement('SOPInstanceUID', sopInstance),
    ...builders,
  ]);
  const pieces = encodeDataSet(dataSet, transferSyntaxOf(EXPLICIT_LITTLE_ENDIAN));
  const content = Buffer.concat(pieces.filter((piece) => Buffer.isBuffer(piece)));
  return {
    sopClass,
    sopInstance,
    transferSyntax: EXPLICIT_LITTLE_ENDIAN,
    async *open() {
      yield content;
    },
  };
}

/** Whole numbers below a limit, by the generator of Park and Miller. */
function chance(seed: number): (limit: number) => number {
  let state = (seed % 2_147_483_646) + 1;
  return (limit) => {
    state = (state * 48_271) % 2_147_483_647;
    return state % limit;
  };
}
