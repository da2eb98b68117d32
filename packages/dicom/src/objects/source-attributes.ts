/**
 * What an object that is derived from others takes over from them: who the patient is, which study it belongs to, and whether its
 * pixels have a lossy past. It is copied, never told: an algorithm that names a patient is not asked.
 */

import { memorySource } from '../byte-source.ts';
import { type DataSet, type Element, effectiveVr, textOf, textsIn } from '../data-set.ts';
import { readDataSet } from '../data-set-reader.ts';
import { bytesOf, encodeDataSet } from '../data-set-writer.ts';
import { DicomError } from '../dicom-error.ts';
import { tagOfKeyword } from '../dictionary.ts';
import { type ElementBuilder, inUnicode, textElement, withElements } from '../element-values.ts';
import { TAGS, type Tag } from '../tag.ts';
import { brokenTextRule } from '../text-rules.ts';
import { IMPLICIT_LITTLE_ENDIAN, transferSyntaxOf } from '../transfer-syntax.ts';

const STUDY_INSTANCE_UID = 0x0020000d;
const PATIENT_ID = 0x00100020;

/** Types 1 and 2: always there, empty where the source knows nothing, and as the source has them, so that archives match them. */
const REQUIRED = [
  'StudyInstanceUID',
  'PatientName',
  'PatientID',
  'PatientBirthDate',
  'PatientSex',
  'StudyDate',
  'StudyTime',
  'ReferringPhysicianName',
  'StudyID',
  'AccessionNumber',
] as const;

/**
 * Type 3 of Patient, General Study and Patient Study (PS3.3 C.7.1.1, C.7.2.1, C.7.2.2) as far as they say which patient and which
 * study; TimezoneOffsetFromUTC, because copied times are in it. Comments are left behind.
 */
const OPTIONAL = [
  'TimezoneOffsetFromUTC',
  'IssuerOfPatientID',
  'TypeOfPatientID',
  'IssuerOfPatientIDQualifiersSequence',
  'PatientBirthTime',
  'OtherPatientIDsSequence',
  'OtherPatientNames',
  'EthnicGroup',
  'PatientSpeciesDescription',
  'PatientSpeciesCodeSequence',
  'PatientBreedDescription',
  'PatientBreedCodeSequence',
  'BreedRegistrationSequence',
  'ResponsiblePerson',
  'ResponsiblePersonRole',
  'ResponsibleOrganization',
  'PatientSexNeutered',
  'PatientIdentityRemoved',
  'DeidentificationMethod',
  'DeidentificationMethodCodeSequence',
  'LongitudinalTemporalInformationModified',
  'StudyDescription',
  'IssuerOfAccessionNumberSequence',
  'ReferringPhysicianIdentificationSequence',
  'PhysiciansOfRecord',
  'PhysiciansOfRecordIdentificationSequence',
  'NameOfPhysiciansReadingStudy',
  'PhysiciansReadingStudyIdentificationSequence',
  'ProcedureCodeSequence',
  'ReferencedStudySequence',
  'PatientAge',
  'PatientSize',
  'PatientWeight',
  'PregnancyStatus',
  'AdmissionID',
  'IssuerOfAdmissionIDSequence',
  'ServiceEpisodeID',
] as const;

/** Modules of clinical trials (PS3.3 C.7.1.3, C.7.2.3): whole, where the attribute that stands first is there. */
const CLINICAL_TRIAL = [
  [
    'ClinicalTrialSponsorName',
    'ClinicalTrialProtocolID',
    'ClinicalTrialProtocolName',
    'ClinicalTrialSiteID',
    'ClinicalTrialSiteName',
    'ClinicalTrialSubjectID',
    'ClinicalTrialSubjectReadingID',
  ],
  ['ClinicalTrialTimePointID', 'ClinicalTrialTimePointDescription'],
] as const;

/** Patient and study of `source` as a data set of its own, in UTF-8 and little endian. Throws `object` where it is of no study. */
export function patientAndStudyOf(source: DataSet): DataSet {
  if (textOf(source, STUDY_INSTANCE_UID) === undefined)
    throw new DicomError('object', 'StudyInstanceUID: the source instance must have one.');
  const trial = CLINICAL_TRIAL.filter(([first]) => source.elements.has(tagOf(first))).flat();
  const kept = [
    ...elementsOf(source, [...REQUIRED, ...trial]),
    ...elementsOf(source, OPTIONAL).filter((element) => isWellFormed(element, source)),
  ];
  const declared = source.elements.get(TAGS.specificCharacterSet);
  const all = declared === undefined ? kept : [declared, ...kept];
  const copied = inUnicode(
    inOurEncoding({ ...source, elements: new Map(all.map((element) => [element.tag, element])) }),
  );
  return withElements(
    copied,
    REQUIRED.filter((keyword) => !copied.elements.has(tagOf(keyword))).map((keyword) => textElement(keyword, [])),
  );
}

/**
 * Throws `object` where instances are of different studies or patients: a result must not land with somebody whom it is not about.
 */
export function assertSameStudy(source: DataSet, others: readonly DataSet[]): void {
  for (const [tag, keyword] of [
    [STUDY_INSTANCE_UID, 'StudyInstanceUID'],
    [PATIENT_ID, 'PatientID'],
  ] as const) {
    if (others.some((other) => textOf(other, tag) !== textOf(source, tag)))
      throw new DicomError('object', `${keyword}: the source instances do not agree in it.`);
  }
}

/** The texts of an element, where they are as its VR wants them; else none. */
export function wellFormedTexts(source: DataSet, keyword: string): string[] {
  const [element] = elementsOf(source, [keyword]);
  if (element === undefined || !isWellFormed(element, source)) return [];
  return textsIn(element, source.characterSets).filter((text) => text !== '');
}

/** PS3.3 C.7.6.1.1.5: an image that once was compressed with loss, or derived from one that was, says so for ever. */
export function lossyPast(sources: readonly DataSet[]): ElementBuilder[] {
  const lossy = sources.find((source) => wellFormedTexts(source, 'LossyImageCompression')[0] === '01');
  if (lossy === undefined) return [textElement('LossyImageCompression', '00')];
  const kept = (keyword: string) => {
    const texts = wellFormedTexts(lossy, keyword);
    return texts.length === 0 ? [] : [textElement(keyword, texts)];
  };
  return [
    textElement('LossyImageCompression', '01'),
    ...kept('LossyImageCompressionRatio'),
    ...kept('LossyImageCompressionMethod'),
  ];
}

/** Which part of the body an image shows. Laterality is type 2C, and nothing here knows which parts come in pairs: empty for unknown. */
export function bodyPartOf(source: DataSet): ElementBuilder[] {
  const bodyPart = wellFormedTexts(source, 'BodyPartExamined');
  return [
    ...(bodyPart.length === 0 ? [] : [textElement('BodyPartExamined', bodyPart)]),
    textElement('Laterality', wellFormedTexts(source, 'Laterality')),
  ];
}

function elementsOf({ elements }: DataSet, keywords: readonly string[]): Element[] {
  return keywords.flatMap((keyword) => elements.get(tagOf(keyword)) ?? []);
}

function tagOf(keyword: string): Tag {
  const tag = tagOfKeyword(keyword);
  if (tag === undefined) throw new DicomError('object', `PS3.6 has no element ${keyword}.`);
  return tag;
}

/** What others wrote may break rules; of what is not needed, that is left behind. */
function isWellFormed(element: Element, { characterSets }: DataSet): boolean {
  if (element.value.kind === 'range') return false;
  return textsIn(element, characterSets).every((text) => brokenTextRule(effectiveVr(element), text) === undefined);
}

/** Written and read in implicit VR, by which elements that came as UN have their own VR again, and all are little endian. */
function inOurEncoding(dataSet: DataSet): DataSet {
  const encoding = transferSyntaxOf(IMPLICIT_LITTLE_ENDIAN);
  const bytes = Buffer.concat([...bytesOf(encodeDataSet(dataSet, encoding), memorySource(Buffer.alloc(0)))]);
  const limits = { rangeBytesMin: Number.POSITIVE_INFINITY };
  return readDataSet(memorySource(bytes), { start: 0, encoding, limits }).dataSet;
}
