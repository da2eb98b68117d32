/** The content tree of a structured report as elements of a data set (PS3.3 C.17.3), written and read. */
import { type DataSet, itemsOf, numberOf, numbersOf, textOf } from '../../data-set.ts';
import { DicomError } from '../../dicom-error.ts';
import {
  decimalString,
  type ElementBuilder,
  numberElement,
  sequenceElement,
  textElement,
} from '../../element-values.ts';
import { tagText } from '../../tag.ts';
import { type CodedConcept, conceptElement, conceptsIn } from '../coded-concept.ts';
import { referenceItem } from '../instance-reference.ts';
import type { ContentItem, ContentReference, ContentValue, Outline, Quantity, Relation } from './content-item.ts';

const TAGS = {
  relation: 0x0040a010,
  valueType: 0x0040a040,
  name: 0x0040a043,
  continuity: 0x0040a050,
  dateTime: 0x0040a120,
  date: 0x0040a121,
  time: 0x0040a122,
  personName: 0x0040a123,
  uid: 0x0040a124,
  text: 0x0040a160,
  floatingPointValue: 0x0040a161,
  code: 0x0040a168,
  measuredValue: 0x0040a300,
  qualifier: 0x0040a301,
  numericValue: 0x0040a30a,
  units: 0x004008ea,
  template: 0x0040a504,
  templateIdentifier: 0x0040db00,
  children: 0x0040a730,
  referencedSop: 0x00081199,
  referencedSopClass: 0x00081150,
  referencedSopInstance: 0x00081155,
  referencedFrameNumber: 0x00081160,
  referencedSegmentNumber: 0x0062000b,
  graphicData: 0x00700022,
  graphicType: 0x00700023,
} as const;

const MOMENTS = { DATETIME: TAGS.dateTime, DATE: TAGS.date, TIME: TAGS.time } as const;
const RELATIONS: ReadonlySet<string> = new Set<Relation>([
  'CONTAINS',
  'HAS OBS CONTEXT',
  'HAS ACQ CONTEXT',
  'HAS CONCEPT MOD',
  'HAS PROPERTIES',
  'INFERRED FROM',
  'SELECTED FROM',
]);
const GRAPHIC_TYPES: ReadonlySet<string> = new Set<Outline['graphicType']>([
  'POINT',
  'MULTIPOINT',
  'POLYLINE',
  'CIRCLE',
  'ELLIPSE',
]);

/** An item and all below it; of the root, the elements of the data set itself. The tree must have been checked. */
export function contentElements({ relation, name, value, children }: ContentItem): ElementBuilder[] {
  return [
    ...(relation === undefined ? [] : [textElement(TAGS.relation, relation)]),
    textElement(TAGS.valueType, value.type === 'OTHER' ? value.valueType : value.type),
    ...(name === undefined ? [] : [conceptElement('ConceptNameCodeSequence', name)]),
    ...valueElements(value),
    ...(children.length === 0 ? [] : [sequenceElement(TAGS.children, children.map(contentElements))]),
  ];
}

function valueElements(value: ContentValue): ElementBuilder[] {
  switch (value.type) {
    case 'CONTAINER':
      return containerElements(value.continuity, value.template);
    case 'TEXT':
      return [textElement(TAGS.text, value.text)];
    case 'CODE':
      return [conceptElement('ConceptCodeSequence', value.code)];
    case 'NUM':
      return numberElements(value.quantity, value.qualifier);
    case 'UIDREF':
      return [textElement(TAGS.uid, value.uid)];
    case 'PNAME':
      return [textElement(TAGS.personName, value.name)];
    case 'DATE':
    case 'TIME':
    case 'DATETIME':
      return [textElement(MOMENTS[value.type], value.moment)];
    case 'IMAGE':
    case 'COMPOSITE':
      return [sequenceElement(TAGS.referencedSop, [referenceElements(value.reference)])];
    case 'SCOORD':
      return [numberElement(TAGS.graphicData, value.points.flat()), textElement(TAGS.graphicType, value.graphicType)];
    case 'OTHER':
      return [];
  }
}

function containerElements(continuity: string, template: string | undefined): ElementBuilder[] {
  return [
    textElement(TAGS.continuity, continuity),
    ...(template === undefined
      ? []
      : [
          sequenceElement(TAGS.template, [
            [textElement('MappingResource', 'DCMR'), textElement(TAGS.templateIdentifier, template)],
          ]),
        ]),
  ];
}

/** FloatingPointValue where sixteen characters do not hold the number. */
function numberElements(quantity: Quantity | undefined, qualifier: CodedConcept | undefined): ElementBuilder[] {
  const measured = quantity && [
    ...(Number(decimalString(quantity.value)) === quantity.value
      ? []
      : [numberElement(TAGS.floatingPointValue, quantity.value)]),
    numberElement(TAGS.numericValue, quantity.value),
    conceptElement('MeasurementUnitsCodeSequence', quantity.unit),
  ];
  return [
    sequenceElement(TAGS.measuredValue, measured === undefined ? [] : [measured]),
    ...(qualifier === undefined ? [] : [conceptElement('NumericValueQualifierCodeSequence', qualifier)]),
  ];
}

function referenceElements({ frameNumbers, segmentNumbers, ...reference }: ContentReference): ElementBuilder[] {
  return [
    ...referenceItem(reference),
    ...(frameNumbers === undefined ? [] : [numberElement(TAGS.referencedFrameNumber, frameNumbers)]),
    ...(segmentNumbers === undefined ? [] : [numberElement(TAGS.referencedSegmentNumber, segmentNumbers)]),
  ];
}

/**
 * The tree of a structured report of any class. Throws `object` where the data set is none, `limit` where a value was left in its
 * source: an outline of ten thousand points is read where `readPart10` is told to keep no range.
 */
export function contentTreeOf(dataSet: DataSet): ContentItem {
  if (textOf(dataSet, TAGS.valueType) !== 'CONTAINER')
    throw new DicomError('object', 'ValueType: this is no structured report.');
  return itemIn(dataSet);
}

function itemIn(item: DataSet): ContentItem {
  for (const { tag, value } of item.elements.values()) {
    if (value.kind === 'range')
      throw new DicomError('limit', `${tagText(tag)}: the value was left in its source, and would be lost.`);
  }
  const relation = textOf(item, TAGS.relation);
  const [name] = conceptsIn(item, TAGS.name);
  return {
    ...(relation !== undefined && isRelation(relation) ? { relation } : {}),
    ...(name === undefined ? {} : { name }),
    value: valueIn(item),
    children: itemsOf(item, TAGS.children).map(itemIn),
  };
}

function isRelation(text: string): text is Relation {
  return RELATIONS.has(text);
}

function valueIn(item: DataSet): ContentValue {
  const type = textOf(item, TAGS.valueType) ?? 'REFERENCE'; // an item given by reference has no type
  switch (type) {
    case 'CONTAINER':
      return containerIn(item);
    case 'TEXT':
      return { type, text: textOf(item, TAGS.text) ?? '' };
    case 'CODE':
      return { type, code: conceptsIn(item, TAGS.code)[0] ?? { value: '', scheme: '', meaning: '' } };
    case 'NUM':
      return numberIn(item);
    case 'UIDREF':
      return { type, uid: textOf(item, TAGS.uid) ?? '' };
    case 'PNAME':
      return { type, name: textOf(item, TAGS.personName) ?? '' };
    case 'DATE':
    case 'TIME':
    case 'DATETIME':
      return { type, moment: textOf(item, MOMENTS[type]) ?? '' };
    case 'IMAGE':
    case 'COMPOSITE':
      return { type, reference: referenceIn(item) };
    case 'SCOORD':
      return outlineIn(item);
    default:
      return { type: 'OTHER', valueType: type };
  }
}

function containerIn(item: DataSet): ContentValue {
  const [template] = itemsOf(item, TAGS.template);
  const identifier = template === undefined ? undefined : textOf(template, TAGS.templateIdentifier);
  return {
    type: 'CONTAINER',
    continuity: textOf(item, TAGS.continuity) === 'CONTINUOUS' ? 'CONTINUOUS' : 'SEPARATE',
    ...(identifier === undefined ? {} : { template: identifier }),
  };
}

function numberIn(item: DataSet): ContentValue {
  const [measured] = itemsOf(item, TAGS.measuredValue);
  const value = measured && (numberOf(measured, TAGS.floatingPointValue) ?? numberOf(measured, TAGS.numericValue));
  const [unit] = measured === undefined ? [] : conceptsIn(measured, TAGS.units);
  const [qualifier] = conceptsIn(item, TAGS.qualifier);
  return {
    type: 'NUM',
    ...(value === undefined || unit === undefined ? {} : { quantity: { value, unit } }),
    ...(qualifier === undefined ? {} : { qualifier }),
  };
}

function referenceIn(item: DataSet): ContentReference {
  const [found] = itemsOf(item, TAGS.referencedSop);
  const numbers = (tag: number) => (found === undefined ? [] : numbersOf(found, tag));
  const frameNumbers = numbers(TAGS.referencedFrameNumber);
  const segmentNumbers = numbers(TAGS.referencedSegmentNumber);
  return {
    sopClassUid: (found && textOf(found, TAGS.referencedSopClass)) ?? '',
    sopInstanceUid: (found && textOf(found, TAGS.referencedSopInstance)) ?? '',
    ...(frameNumbers.length === 0 ? {} : { frameNumbers }),
    ...(segmentNumbers.length === 0 ? {} : { segmentNumbers }),
  };
}

function outlineIn(item: DataSet): ContentValue {
  const graphicType = textOf(item, TAGS.graphicType) ?? '';
  if (!isGraphicType(graphicType)) return { type: 'OTHER', valueType: 'SCOORD' };
  const numbers = numbersOf(item, TAGS.graphicData);
  const points = Array.from({ length: Math.floor(numbers.length / 2) }, (_, index): [number, number] => [
    numbers[2 * index] ?? 0,
    numbers[2 * index + 1] ?? 0,
  ]);
  return { type: 'SCOORD', graphicType, points };
}

function isGraphicType(text: string): text is Outline['graphicType'] {
  return GRAPHIC_TYPES.has(text);
}
