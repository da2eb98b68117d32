/**
 * What the index keeps of an instance: read from the head of its data set, so that no pixel is looked at. The attributes are
 * those that PS3.4 C.6 and PS3.18 10.6.3.3 want of the levels patient, study and series.
 */
import { AppError } from '@lantern/contract';
import {
  type ByteSource,
  type DataSet,
  dicomJson,
  isUid,
  type JsonDataSet,
  numberOf,
  readHead,
  tagOfKeyword,
  textOf,
} from '@lantern/dicom';
import { nameKey } from './name-key.ts';

const STUDY_KEYWORDS = [
  'TimezoneOffsetFromUTC',
  'StudyInstanceUID',
  'StudyID',
  'StudyDate',
  'StudyTime',
  'StudyDescription',
  'AccessionNumber',
  'IssuerOfAccessionNumberSequence',
  'ReferringPhysicianName',
  'PatientName',
  'PatientID',
  'IssuerOfPatientID',
  'PatientBirthDate',
  'PatientSex',
  'PatientAge',
] as const;

const SERIES_KEYWORDS = [
  'SeriesInstanceUID',
  'SeriesNumber',
  'Modality',
  'SeriesDescription',
  'SeriesDate',
  'SeriesTime',
  'BodyPartExamined',
  'Laterality',
  'ProtocolName',
  'Manufacturer',
  'ManufacturerModelName',
  'StationName',
  'InstitutionName',
  'PerformedProcedureStepStartDate',
  'PerformedProcedureStepStartTime',
  'RequestAttributesSequence',
] as const;

/** Content items and waveforms begin here (PS3.6 group 0040); the request attributes of a series stand before. */
const HEAD_ENDS_AT = 0x0040a000;
/** Values of the head are short; a large one belongs to pixels and stays where it is. */
const VALUE_BYTES_MAX = 16 * 1024;
/** PS3.5 6.2: no VR that the index keeps is longer. Longer ones break the standard, and an index entry would not hold them. */
const TEXT_LENGTH_MAX = 1024;

/** Studies, and series, that arrive at the same time. */
const REMEMBERED_COUNT_MAX = 200;
/** Of what is remembered by: plain headers have some five hundred bytes of it. */
const KEY_LENGTH_MAX = 4096;

export type StudyHeader = {
  readonly studyInstanceUid: string;
  readonly patientId: string;
  readonly patientName: string;
  readonly patientNameKey: string;
  readonly patientBirthDate: string;
  readonly patientSex: string;
  readonly studyDate: string;
  readonly studyTime: string;
  readonly accessionNumber: string;
  readonly studyId: string;
  readonly studyDescription: string;
  readonly referringPhysicianName: string;
  readonly referringPhysicianNameKey: string;
  readonly attributes: JsonDataSet;
};

export type SeriesHeader = {
  readonly seriesInstanceUid: string;
  readonly modality: string;
  readonly seriesNumber: number | null;
  readonly seriesDescription: string;
  readonly bodyPartExamined: string;
  readonly attributes: JsonDataSet;
};

export type InstanceHeader = {
  readonly study: StudyHeader;
  readonly series: SeriesHeader;
  readonly sopInstanceUid: string;
  readonly sopClassUid: string;
  readonly instanceNumber: number | null;
  readonly rows: number | null;
  readonly columns: number | null;
  readonly frameCount: number | null;
};

/**
 * start     where the data set begins in `source`
 * isWhole   whether `source` holds all of it, or only its beginning
 *
 * Throws `input.invalid` where a UID is missing or none, and what the reader throws; `truncated` may mean that `source` is short.
 */
export function readInstanceHeader(
  source: ByteSource,
  options: { readonly start: number; readonly isWhole: boolean; readonly transferSyntaxUid: string },
): InstanceHeader {
  const head = readHead(source, {
    ...options,
    rangeBytesMin: VALUE_BYTES_MAX,
    stopsAt: (tag) => tag >= HEAD_ENDS_AT,
  });
  return {
    study: studyHeader(head),
    series: seriesHeader(head),
    sopInstanceUid: requiredUid(head, 'SOPInstanceUID'),
    sopClassUid: requiredUid(head, 'SOPClassUID'),
    instanceNumber: wholeNumber(head, 'InstanceNumber'),
    rows: wholeNumber(head, 'Rows'),
    columns: wholeNumber(head, 'Columns'),
    frameCount: wholeNumber(head, 'NumberOfFrames'),
  };
}

const studyHeader = remembering(STUDY_KEYWORDS, newStudyHeader);
const seriesHeader = remembering(SERIES_KEYWORDS, newSeriesHeader);

function newStudyHeader(head: DataSet): StudyHeader {
  const text = (keyword: string) => textIn(head, keyword);
  return {
    studyInstanceUid: requiredUid(head, 'StudyInstanceUID'),
    patientId: text('PatientID'),
    patientName: text('PatientName'),
    patientNameKey: nameKey(text('PatientName')),
    patientBirthDate: text('PatientBirthDate'),
    patientSex: text('PatientSex'),
    studyDate: text('StudyDate'),
    studyTime: text('StudyTime'),
    accessionNumber: text('AccessionNumber'),
    studyId: text('StudyID'),
    studyDescription: text('StudyDescription'),
    referringPhysicianName: text('ReferringPhysicianName'),
    referringPhysicianNameKey: nameKey(text('ReferringPhysicianName')),
    attributes: attributesOf(head, STUDY_KEYWORDS),
  };
}

function newSeriesHeader(head: DataSet): SeriesHeader {
  return {
    seriesInstanceUid: requiredUid(head, 'SeriesInstanceUID'),
    modality: textIn(head, 'Modality'),
    seriesNumber: wholeNumber(head, 'SeriesNumber'),
    seriesDescription: textIn(head, 'SeriesDescription'),
    bodyPartExamined: textIn(head, 'BodyPartExamined'),
    attributes: attributesOf(head, SERIES_KEYWORDS),
  };
}

/**
 * `make`, which reads no other elements than `keywords`, remembered by their bytes: slices of a series differ in none of them, and
 * to make what the index keeps of study and series costs more than all else that is read of a slice.
 */
function remembering<T>(keywords: readonly string[], make: (head: DataSet) => T): (head: DataSet) => T {
  const memory = new Map<string, T>();
  return (head) => {
    const key = keyOf(head, keywords);
    const known = key === undefined ? undefined : memory.get(key);
    if (known !== undefined) return known;
    const made = make(head);
    if (memory.size >= REMEMBERED_COUNT_MAX) memory.clear();
    if (key !== undefined) memory.set(key, made);
    return made;
  };
}

/** `undefined` where something is no plain value, or all together is long. */
function keyOf({ elements, characterSets, littleEndian }: DataSet, keywords: readonly string[]): string | undefined {
  let key = `${littleEndian} ${characterSets.join('\\')}`;
  for (const keyword of keywords) {
    const element = elements.get(tagOf(keyword));
    if (element === undefined) {
      key += '\n-';
      continue;
    }
    const { vr, value } = element;
    if (value.kind !== 'bytes' || key.length + value.bytes.byteLength > KEY_LENGTH_MAX) return undefined;
    key += `\n${vr}${value.bytes.byteLength}:${value.bytes.toString('latin1')}`;
  }
  return key;
}

function tagOf(keyword: string): number {
  const tag = tagOfKeyword(keyword);
  if (tag === undefined) throw new AppError('internal', `PS3.6 has no element ${keyword}.`);
  return tag;
}

/** PostgreSQL holds no NUL in a text. */
function textIn(head: DataSet, keyword: string): string {
  return (textOf(head, tagOf(keyword)) ?? '').replaceAll('\0', '').slice(0, TEXT_LENGTH_MAX).toWellFormed();
}

function requiredUid(head: DataSet, keyword: string): string {
  const uid = textOf(head, tagOf(keyword))?.trim();
  if (uid === undefined) throw new AppError('input.invalid', `${keyword}: is missing.`, { field: keyword });
  if (!isUid(uid)) throw new AppError('input.invalid', `${keyword}: is no UID.`, { field: keyword });
  return uid;
}

/** `null` where it is none, or larger than the standard allows (IS: 32 bits). */
function wholeNumber(head: DataSet, keyword: string): number | null {
  const number = numberOf(head, tagOf(keyword));
  return number !== undefined && Number.isInteger(number) && Math.abs(number) < 2 ** 31 ? number : null;
}

function attributesOf(head: DataSet, keywords: readonly string[]): JsonDataSet {
  const elements = new Map(
    keywords.flatMap((keyword) => {
      const element = head.elements.get(tagOf(keyword));
      return element === undefined ? [] : [[element.tag, element] as const];
    }),
  );
  return withoutNul(dicomJson({ ...head, elements }));
}

function withoutNul(json: JsonDataSet): JsonDataSet {
  const text = JSON.stringify(json);
  return text.includes('\\u0000') ? JSON.parse(text.replaceAll('\\u0000', '')) : json;
}
