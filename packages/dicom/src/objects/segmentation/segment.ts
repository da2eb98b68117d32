/** What one segment is (PS3.3 C.8.20.4): an item of SegmentSequence, written and read. */
import { type DataSet, itemsOf, numberOf, textOf } from '../../data-set.ts';
import { DicomError } from '../../dicom-error.ts';
import { type ElementBuilder, numberElement, sequenceElement, textElement } from '../../element-values.ts';
import { type Algorithm, algorithmItem } from '../algorithm.ts';
import { type CodedConcept, conceptElement, conceptItem, conceptsIn } from '../coded-concept.ts';
import { notEmpty } from '../derived-object.ts';

const TAGS = {
  segmentSequence: 0x00620002,
  category: 0x00620003,
  number: 0x00620004,
  label: 0x00620005,
  description: 0x00620006,
  algorithmType: 0x00620008,
  algorithmName: 0x00620009,
  displayColour: 0x0062000d,
  type: 0x0062000f,
  typeModifier: 0x00620011,
  trackingId: 0x00620020,
  trackingUid: 0x00620021,
  algorithmIdentification: 0x00620007,
  algorithmVersion: 0x00660031,
  anatomicRegion: 0x00082218,
} as const;

export type Segment = {
  readonly label: string;
  readonly description?: string;
  /** Such as (49755003, SCT, "Morphologically Abnormal Structure"), of CID 7150. */
  readonly category: CodedConcept;
  /** Such as (27925004, SCT, "Nodule"), of CID 7151. */
  readonly type: CodedConcept;
  readonly typeModifiers?: readonly CodedConcept[];
  readonly anatomicRegion?: CodedConcept;
  /** The same in every object that is about the same thing. */
  readonly tracking?: { readonly id: string; readonly uid: string };
  /** CIELab as PS3.3 C.10.7.1.1 scales it: L from 0 to 100, a and b from -128 to 127, each over 0 to 65535. */
  readonly displayColour?: readonly [number, number, number];
};

export type ReadSegment = Omit<Segment, 'displayColour'> & {
  readonly number: number;
  readonly algorithmType: string;
  readonly algorithmName?: string;
  readonly algorithmVersion?: string;
};

/** `number`: from 1. */
export function segmentItem(segment: Segment, number: number, algorithm: Algorithm): ElementBuilder[] {
  const { label, description, category, type, typeModifiers = [], anatomicRegion, tracking, displayColour } = segment;
  return [
    conceptElement('SegmentedPropertyCategoryCodeSequence', category),
    numberElement(TAGS.number, number),
    textElement(TAGS.label, notEmpty('SegmentLabel', label)),
    ...(description === undefined ? [] : [textElement(TAGS.description, description)]),
    sequenceElement('SegmentationAlgorithmIdentificationSequence', [algorithmItem(algorithm)]),
    textElement(TAGS.algorithmType, 'AUTOMATIC'),
    textElement(TAGS.algorithmName, notEmpty('SegmentAlgorithmName', algorithm.name)),
    ...(displayColour === undefined ? [] : [numberElement(TAGS.displayColour, displayColour)]),
    sequenceElement('SegmentedPropertyTypeCodeSequence', [
      [
        ...conceptItem(type),
        ...(typeModifiers.length === 0
          ? []
          : [conceptElement('SegmentedPropertyTypeModifierCodeSequence', ...typeModifiers)]),
      ],
    ]),
    ...(anatomicRegion === undefined ? [] : [conceptElement('AnatomicRegionSequence', anatomicRegion)]),
    ...(tracking === undefined
      ? []
      : [textElement(TAGS.trackingId, tracking.id), textElement(TAGS.trackingUid, tracking.uid)]),
  ];
}

/** Throws `object` where a segment has no number or does not say what it is. */
export function segmentsIn(dataSet: DataSet): ReadSegment[] {
  return itemsOf(dataSet, TAGS.segmentSequence).map(segmentIn);
}

function segmentIn(item: DataSet): ReadSegment {
  const number = numberOf(item, TAGS.number);
  const [category] = conceptsIn(item, TAGS.category);
  const [type] = conceptsIn(item, TAGS.type);
  if (number === undefined || category === undefined || type === undefined)
    throw new DicomError('object', 'SegmentSequence: a segment lacks its number, category or type.');
  const typeModifiers = itemsOf(item, TAGS.type).flatMap((one) => conceptsIn(one, TAGS.typeModifier));
  const [anatomicRegion] = conceptsIn(item, TAGS.anatomicRegion);
  const [algorithm] = itemsOf(item, TAGS.algorithmIdentification);
  const id = textOf(item, TAGS.trackingId);
  const uid = textOf(item, TAGS.trackingUid);
  const description = textOf(item, TAGS.description);
  const algorithmName = textOf(item, TAGS.algorithmName);
  const algorithmVersion = algorithm === undefined ? undefined : textOf(algorithm, TAGS.algorithmVersion);
  return {
    number,
    label: textOf(item, TAGS.label) ?? '',
    category,
    type,
    algorithmType: textOf(item, TAGS.algorithmType) ?? '',
    ...(description === undefined ? {} : { description }),
    ...(typeModifiers.length === 0 ? {} : { typeModifiers }),
    ...(anatomicRegion === undefined ? {} : { anatomicRegion }),
    ...(id === undefined || uid === undefined ? {} : { tracking: { id, uid } }),
    ...(algorithmName === undefined ? {} : { algorithmName }),
    ...(algorithmVersion === undefined ? {} : { algorithmVersion }),
  };
}
