/**
 * What every object has that is made of others: identity, patient, study, series, equipment, time and character set. Each kind adds
 * its own modules to it. One shape for all writers: `kindOf(derivation, content)` gives a data set; `part10Of` makes it a file.
 *
 * Clock and UIDs come in as arguments, so that a result that is made again after a crash can be the same instance.
 */
import { memorySource } from '../byte-source.ts';
import { type DataSet, textOf } from '../data-set.ts';
import { DicomError } from '../dicom-error.ts';
import { type ElementBuilder, numberElement, sequenceElement, textElement, withElements } from '../element-values.ts';
import { writePart10 } from '../part10-writer.ts';
import { EXPLICIT_LITTLE_ENDIAN, transferSyntaxOf } from '../transfer-syntax.ts';
import { type CodedConcept, conceptElement } from './coded-concept.ts';
import { patientAndStudyOf, wellFormedTexts } from './source-attributes.ts';

/** Enhanced General Equipment (PS3.3 C.7.5.2): what made the object, a program as a rule. */
export type Equipment = {
  readonly manufacturer: string;
  readonly modelName: string;
  readonly serialNumber: string;
  readonly softwareVersions: readonly string[];
  readonly institutionName?: string;
};

/** A program that had a part in it (PS3.3 C.12.1.5). */
export type ContributingEquipment = Equipment & { readonly purpose: CodedConcept; readonly description?: string };

export type Derivation = {
  /** Of the study that the object is to belong to: patient and study are copied from it. */
  readonly source: DataSet;
  readonly equipment: Equipment;
  /** The scanner of `source` is named in any case. */
  readonly contributing?: readonly ContributingEquipment[];
  readonly series: {
    /** A new one where it is left out. */
    readonly instanceUid?: string;
    readonly number: number;
    readonly description?: string;
  };
  /** A new one where it is left out. */
  readonly sopInstanceUid?: string;
  readonly instanceNumber: number;
  readonly now: Date;
  readonly newUid: () => string;
};

export const PROCESSING_EQUIPMENT: CodedConcept = { value: '109102', scheme: 'DCM', meaning: 'Processing Equipment' };
const ACQUISITION_EQUIPMENT: CodedConcept = { value: '109101', scheme: 'DCM', meaning: 'Acquisition Equipment' };
const SOP_INSTANCE_UID = 0x00080018;
const TIMEZONE_OFFSET = 0x00080201;
const SERIES_INSTANCE_UID = 0x0020000e;

/**
 * The object. `content` may replace what stands in all objects.
 *
 * Throws `object` where `source` is of no study or the object would be in its place, `value` where a text or number breaks a rule of its VR.
 */
export function derivedObject(
  derivation: Derivation,
  kind: { readonly sopClassUid: string; readonly modality: string },
  content: readonly ElementBuilder[],
): DataSet {
  const { source, series, newUid } = derivation;
  assertItsOwn(derivation);
  const patientAndStudy = patientAndStudyOf(source);
  const { date, time } = contentTime(derivation);
  return withElements(patientAndStudy, [
    textElement('SOPClassUID', kind.sopClassUid),
    textElement('SOPInstanceUID', derivation.sopInstanceUid ?? newUid()),
    textElement('InstanceCreationDate', date),
    textElement('InstanceCreationTime', time),
    textElement('ContentDate', date),
    textElement('ContentTime', time),
    numberElement('InstanceNumber', wholeNumber('InstanceNumber', derivation.instanceNumber)),
    textElement('Modality', kind.modality),
    textElement('SeriesInstanceUID', series.instanceUid ?? newUid()),
    numberElement('SeriesNumber', wholeNumber('SeriesNumber', series.number)),
    ...(series.description === undefined ? [] : [textElement('SeriesDescription', series.description)]),
    ...equipmentElements(derivation.equipment),
    ...contributingElements(derivation),
    ...content,
  ]);
}

/** The object as a file in explicit VR little endian. */
export function part10Of(dataSet: DataSet): Buffer {
  const transferSyntax = transferSyntaxOf(EXPLICIT_LITTLE_ENDIAN);
  return Buffer.concat([...writePart10({ dataSet, transferSyntax, source: memorySource(Buffer.alloc(0)) })]);
}

/** PS3.3 A.1.2.3: a series is of one modality and one equipment; an instance that has the UID of another would replace it. */
function assertItsOwn({ source, series, sopInstanceUid }: Derivation): void {
  const [sourceSeries, sourceInstance] = [textOf(source, SERIES_INSTANCE_UID), textOf(source, SOP_INSTANCE_UID)];
  if (series.instanceUid !== undefined && series.instanceUid === sourceSeries)
    throw new DicomError('object', 'SeriesInstanceUID: a derived object has a series of its own.');
  if (sopInstanceUid !== undefined && sopInstanceUid === sourceInstance)
    throw new DicomError('object', 'SOPInstanceUID: a derived object is an instance of its own.');
}

function wholeNumber(keyword: string, number: number): number {
  if (!Number.isInteger(number) || number < 0 || number > 0x7fffffff)
    throw new DicomError('object', `${keyword}: it must be a whole number that is not negative.`);
  return number;
}

function equipmentElements(equipment: Equipment): ElementBuilder[] {
  const { manufacturer, modelName, serialNumber, softwareVersions, institutionName } = equipment;
  return [
    textElement('Manufacturer', notEmpty('Manufacturer', manufacturer)),
    textElement('ManufacturerModelName', notEmpty('ManufacturerModelName', modelName)),
    textElement('DeviceSerialNumber', notEmpty('DeviceSerialNumber', serialNumber)),
    textElement('SoftwareVersions', notEmpty('SoftwareVersions', softwareVersions)),
    ...(institutionName === undefined ? [] : [textElement('InstitutionName', institutionName)]),
  ];
}

/** What type 1 asks for. Throws `object`. */
export function notEmpty<T extends string | readonly unknown[]>(keyword: string, value: T): T {
  if (value.length === 0) throw new DicomError('object', `${keyword}: it must not be empty.`);
  return value;
}

function contributingElements({ source, contributing = [] }: Derivation): ElementBuilder[] {
  const scanner = scannerItem(source);
  const items = [
    ...(scanner === undefined ? [] : [scanner]),
    ...contributing.map((equipment) => [
      ...equipmentElements(equipment),
      conceptElement('PurposeOfReferenceCodeSequence', equipment.purpose),
      ...(equipment.description === undefined ? [] : [textElement('ContributionDescription', equipment.description)]),
    ]),
  ];
  return items.length === 0 ? [] : [sequenceElement('ContributingEquipmentSequence', items)];
}

function scannerItem(source: DataSet): ElementBuilder[] | undefined {
  const kept = [
    'Manufacturer',
    'InstitutionName',
    'StationName',
    'ManufacturerModelName',
    'DeviceSerialNumber',
    'SoftwareVersions',
  ].flatMap((keyword) => {
    const texts = wellFormedTexts(source, keyword);
    return texts.length === 0 ? [] : [{ keyword, texts }];
  });
  if (kept[0]?.keyword !== 'Manufacturer') return undefined; // type 1
  return [
    ...kept.map(({ keyword, texts }) => textElement(keyword, texts)),
    conceptElement('PurposeOfReferenceCodeSequence', ACQUISITION_EQUIPMENT),
  ];
}

/** In the time zone of the source where it names one, as all times of an object are in one zone (PS3.3 C.12.1.1.8), else here. */
function contentTime({ source, now }: Pick<Derivation, 'source' | 'now'>): { date: string; time: string } {
  const named = /^([+-])(\d{2})(\d{2})$/.exec(textOf(source, TIMEZONE_OFFSET) ?? '');
  const offsetMinutes =
    named === null
      ? -now.getTimezoneOffset()
      : (named[1] === '-' ? -1 : 1) * (Number(named[2]) * 60 + Number(named[3]));
  const shifted = new Date(now.getTime() + offsetMinutes * 60_000).toISOString();
  return { date: shifted.slice(0, 10).replaceAll('-', ''), time: shifted.slice(11, 23).replaceAll(':', '') };
}
