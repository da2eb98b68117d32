/**
 * The attributes that images are found by and that answers show, each at its level of the hierarchy (PS3.4 tables C.6-1 to C.6-5,
 * PS3.18 tables 10.6.3-3 to 10.6.3-5): one table for C-FIND and QIDO-RS.
 */
import { AppError } from '@lantern/contract';
import { tagOfKeyword } from '@lantern/dicom';

/** From the top; in the study root model the attributes of patients belong to studies. */
export const QUERY_LEVELS = ['PATIENT', 'STUDY', 'SERIES', 'IMAGE'] as const;
export type QueryLevel = (typeof QUERY_LEVELS)[number];

/** How a value is compared (PS3.4 C.2.2.2). */
export type Comparison = 'text' | 'name' | 'date' | 'time' | 'uid' | 'number' | 'sequence' | 'never';

/** Where the index has it: a column; its JSON of a level; or worked out for each answer. */
export type Source =
  | { readonly kind: 'column'; readonly column: string }
  | { readonly kind: 'json' }
  | { readonly kind: 'computed'; readonly part: ComputedPart };

/** What is counted or gathered from below, in a statement only where it is asked for. */
export type ComputedPart =
  | 'modalities'
  | 'sopClasses'
  | 'studiesOfPatient'
  | 'seriesOfPatient'
  | 'instancesOfPatient'
  | 'seriesOfStudy'
  | 'instancesOfStudy'
  | 'instancesOfSeries'
  | 'availability'
  | 'retrieveAe'
  | 'retrieveUrl';

export type QueryAttribute = {
  readonly keyword: string;
  /** As DICOM JSON names it: eight hex digits in upper case. */
  readonly tag: string;
  readonly vr: string;
  readonly level: QueryLevel;
  readonly comparison: Comparison;
  readonly source: Source;
};

const column = (name: string): Source => ({ kind: 'column', column: name });
const computed = (part: ComputedPart): Source => ({ kind: 'computed', part });
const json: Source = { kind: 'json' };

const COMPARISONS: Readonly<Record<string, Comparison>> = {
  PN: 'name',
  DA: 'date',
  TM: 'time',
  UI: 'uid',
  IS: 'number',
  US: 'number',
  SQ: 'sequence',
};

type Row = readonly [keyword: string, vr: string, source: Source, comparison?: Comparison];

const ROWS: Readonly<Record<QueryLevel, readonly Row[]>> = {
  PATIENT: [
    ['PatientName', 'PN', column('st.patient_name_key')],
    ['PatientID', 'LO', column('st.patient_id')],
    ['IssuerOfPatientID', 'LO', json],
    ['PatientBirthDate', 'DA', column('st.patient_birth_date')],
    ['PatientSex', 'CS', column('st.patient_sex')],
    ['NumberOfPatientRelatedStudies', 'IS', computed('studiesOfPatient'), 'never'],
    ['NumberOfPatientRelatedSeries', 'IS', computed('seriesOfPatient'), 'never'],
    ['NumberOfPatientRelatedInstances', 'IS', computed('instancesOfPatient'), 'never'],
    ['InstanceAvailability', 'CS', computed('availability'), 'never'],
    ['RetrieveAETitle', 'AE', computed('retrieveAe'), 'never'],
  ],
  STUDY: [
    ['StudyDate', 'DA', column('st.study_date')],
    ['StudyTime', 'TM', column('st.study_time')],
    ['AccessionNumber', 'SH', column('st.accession_number')],
    ['IssuerOfAccessionNumberSequence', 'SQ', json],
    ['ModalitiesInStudy', 'CS', computed('modalities')],
    ['SOPClassesInStudy', 'UI', computed('sopClasses')],
    ['ReferringPhysicianName', 'PN', column('st.referring_physician_name_key')],
    ['TimezoneOffsetFromUTC', 'SH', json, 'never'],
    ['StudyDescription', 'LO', column('st.study_description')],
    ['RetrieveURL', 'UR', computed('retrieveUrl'), 'never'],
    ['PatientAge', 'AS', json],
    ['StudyInstanceUID', 'UI', column('st.study_instance_uid')],
    ['StudyID', 'SH', column('st.study_id')],
    ['NumberOfStudyRelatedSeries', 'IS', computed('seriesOfStudy'), 'never'],
    ['NumberOfStudyRelatedInstances', 'IS', computed('instancesOfStudy'), 'never'],
  ],
  SERIES: [
    ['SeriesDate', 'DA', json],
    ['SeriesTime', 'TM', json],
    ['Modality', 'CS', column('se.modality')],
    ['Manufacturer', 'LO', json],
    ['InstitutionName', 'LO', json],
    ['StationName', 'SH', json],
    ['SeriesDescription', 'LO', column('se.series_description')],
    ['ManufacturerModelName', 'LO', json],
    ['BodyPartExamined', 'CS', column('se.body_part_examined')],
    ['ProtocolName', 'LO', json],
    ['SeriesInstanceUID', 'UI', column('se.series_instance_uid')],
    ['SeriesNumber', 'IS', column('se.series_number')],
    ['Laterality', 'CS', json],
    ['NumberOfSeriesRelatedInstances', 'IS', computed('instancesOfSeries'), 'never'],
    ['PerformedProcedureStepStartDate', 'DA', json],
    ['PerformedProcedureStepStartTime', 'TM', json],
    ['RequestAttributesSequence', 'SQ', json],
  ],
  IMAGE: [
    ['SOPClassUID', 'UI', column('im.sop_class_uid')],
    ['SOPInstanceUID', 'UI', column('im.sop_instance_uid')],
    ['AvailableTransferSyntaxUID', 'UI', column('im.transfer_syntax_uid')],
    ['InstanceNumber', 'IS', column('im.instance_number')],
    ['NumberOfFrames', 'IS', column('im.frame_count')],
    ['Rows', 'US', column('im.image_rows')],
    ['Columns', 'US', column('im.image_columns')],
  ],
};

/** Dates and times that are compared as one where both are ranges (PS3.4 C.2.2.2.5.4). */
export const DATE_TIME_PAIRS: readonly (readonly [date: string, time: string])[] = [
  ['StudyDate', 'StudyTime'],
  ['SeriesDate', 'SeriesTime'],
  ['PerformedProcedureStepStartDate', 'PerformedProcedureStepStartTime'],
];

/** The key that names one entity of a level (PS3.4 C.2.2.1.1). */
export const UNIQUE_KEYS: Readonly<Record<QueryLevel, string>> = {
  PATIENT: 'PatientID',
  STUDY: 'StudyInstanceUID',
  SERIES: 'SeriesInstanceUID',
  IMAGE: 'SOPInstanceUID',
};

export function hexTag(tag: number): string {
  return tag.toString(16).toUpperCase().padStart(8, '0');
}

function tagOf(keyword: string): string {
  const tag = tagOfKeyword(keyword);
  if (tag === undefined) throw new AppError('internal', `PS3.6 has no element ${keyword}.`);
  return hexTag(tag);
}

let byTag: ReadonlyMap<string, QueryAttribute> | undefined;

/** Every attribute by its tag, in the order of tags. */
export function queryAttributes(): ReadonlyMap<string, QueryAttribute> {
  byTag ??= new Map(
    QUERY_LEVELS.flatMap((level) =>
      ROWS[level].map(([keyword, vr, source, comparison = COMPARISONS[vr] ?? 'text']): [string, QueryAttribute] => {
        const tag = tagOf(keyword);
        return [tag, { keyword, tag, vr, level, comparison, source }];
      }),
    ).toSorted(([left], [right]) => (left < right ? -1 : 1)),
  );
  return byTag;
}

/** Attributes of `level` and those above it. */
export function isWithin(attribute: QueryAttribute, level: QueryLevel): boolean {
  return QUERY_LEVELS.indexOf(attribute.level) <= QUERY_LEVELS.indexOf(level);
}
