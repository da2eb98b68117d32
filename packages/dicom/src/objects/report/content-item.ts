/**
 * The content tree of a structured report (PS3.3 C.17.3): plain items, made by the functions below, and the rules by which a
 * Comprehensive SR may relate them. `assertContentTree` is asked before a tree is written; what others wrote is read as it comes.
 */
import { DicomError } from '../../dicom-error.ts';
import type { CodedConcept } from '../coded-concept.ts';
import type { InstanceReference } from '../instance-reference.ts';

export type Relation =
  | 'CONTAINS'
  | 'HAS OBS CONTEXT'
  | 'HAS ACQ CONTEXT'
  | 'HAS CONCEPT MOD'
  | 'HAS PROPERTIES'
  | 'INFERRED FROM'
  | 'SELECTED FROM';

/** Numbers of frames and segments count from 1; none for the whole instance. */
export type ContentReference = Pick<InstanceReference, 'sopClassUid' | 'sopInstanceUid'> & {
  readonly frameNumbers?: readonly number[];
  readonly segmentNumbers?: readonly number[];
};

/** Points as [column, row]: pixels from the top left corner of the image, where the centre of the first is (0.5, 0.5). */
export type Outline = {
  readonly graphicType: 'POINT' | 'MULTIPOINT' | 'POLYLINE' | 'CIRCLE' | 'ELLIPSE';
  readonly points: readonly (readonly [number, number])[];
};

export type Quantity = { readonly value: number; readonly unit: CodedConcept };

export type ContentValue =
  /** `template`: of DCMR, where the container follows one. */
  | { readonly type: 'CONTAINER'; readonly continuity: 'SEPARATE' | 'CONTINUOUS'; readonly template?: string }
  | { readonly type: 'TEXT'; readonly text: string }
  | { readonly type: 'CODE'; readonly code: CodedConcept }
  /** Without a quantity: it could not be measured, and `qualifier` says why. */
  | { readonly type: 'NUM'; readonly quantity?: Quantity; readonly qualifier?: CodedConcept }
  | { readonly type: 'UIDREF'; readonly uid: string }
  | { readonly type: 'PNAME'; readonly name: string }
  /** As DICOM writes them. */
  | { readonly type: 'DATE' | 'TIME' | 'DATETIME'; readonly moment: string }
  | { readonly type: 'IMAGE' | 'COMPOSITE'; readonly reference: ContentReference }
  | ({ readonly type: 'SCOORD' } & Outline)
  /** Read only: SCOORD3D, TCOORD, WAVEFORM, TABLE, and references to other items. */
  | { readonly type: 'OTHER'; readonly valueType: string };

export type ValueType = ContentValue['type'];

export type ContentItem = {
  /** To the item around it; the root has none. */
  readonly relation?: Relation;
  readonly name?: CodedConcept;
  readonly value: ContentValue;
  readonly children: readonly ContentItem[];
};

/** An item that is related to the one around it. */
export function contentItem(
  relation: Relation,
  name: CodedConcept | undefined,
  value: ContentValue,
  children: readonly ContentItem[] = [],
): ContentItem {
  return { relation, ...(name === undefined ? {} : { name }), value, children };
}

export function container(
  relation: Relation | undefined,
  name: CodedConcept,
  children: readonly ContentItem[],
  template?: string,
): ContentItem {
  const value = { type: 'CONTAINER', continuity: 'SEPARATE', ...(template === undefined ? {} : { template }) } as const;
  return { ...(relation === undefined ? {} : { relation }), name, value, children };
}

export function textItem(relation: Relation, name: CodedConcept, text: string): ContentItem {
  return contentItem(relation, name, { type: 'TEXT', text });
}

export function codeItem(
  relation: Relation,
  name: CodedConcept,
  code: CodedConcept,
  children: readonly ContentItem[] = [],
): ContentItem {
  return contentItem(relation, name, { type: 'CODE', code }, children);
}

export function uidItem(relation: Relation, name: CodedConcept, uid: string): ContentItem {
  return contentItem(relation, name, { type: 'UIDREF', uid });
}

const VALUES: readonly ValueType[] = ['TEXT', 'CODE', 'NUM', 'DATETIME', 'DATE', 'TIME', 'UIDREF', 'PNAME'];
const DOCUMENTED: readonly ValueType[] = ['TEXT', 'CODE', 'NUM'];
const EVERYTHING: readonly ValueType[] = [...VALUES, 'IMAGE', 'COMPOSITE', 'SCOORD', 'CONTAINER'];

type Rule = { readonly from: readonly ValueType[]; readonly to: readonly ValueType[] };

/** By-value relationships of the Comprehensive SR (PS3.3 table A.35.3-2), for the value types that we write. */
const RULES: Readonly<Record<Relation, readonly Rule[]>> = {
  CONTAINS: [{ from: ['CONTAINER'], to: EVERYTHING }],
  'HAS OBS CONTEXT': [{ from: ['CONTAINER', ...DOCUMENTED], to: [...VALUES, 'COMPOSITE'] }],
  'HAS ACQ CONTEXT': [{ from: ['CONTAINER', 'IMAGE', 'COMPOSITE', 'NUM'], to: [...VALUES, 'CONTAINER'] }],
  'HAS CONCEPT MOD': [{ from: EVERYTHING, to: ['TEXT', 'CODE'] }],
  'HAS PROPERTIES': [
    { from: DOCUMENTED, to: EVERYTHING },
    { from: ['PNAME'], to: ['TEXT', 'CODE', 'DATETIME', 'DATE', 'TIME', 'UIDREF', 'PNAME'] },
  ],
  'INFERRED FROM': [{ from: DOCUMENTED, to: EVERYTHING }],
  'SELECTED FROM': [{ from: ['SCOORD'], to: ['IMAGE'] }],
};

/** Types that say nothing without a name (PS3.3 C.17.3.2.2). */
const NAMED: ReadonlySet<ValueType> = new Set(VALUES);

/** Throws `object` where the root is no container, or an item breaks a rule of its value type or relation. */
export function assertContentTree(root: ContentItem): void {
  if (root.value.type !== 'CONTAINER' || root.relation !== undefined || root.name === undefined)
    throw new DicomError('object', 'ContentSequence: the root is a container with a name, related to nothing.');
  assertItem(root);
}

function assertItem(item: ContentItem): void {
  const broken = brokenRule(item);
  if (broken !== undefined) throw new DicomError('object', `ContentSequence: ${broken}.`);
  for (const child of item.children) {
    const { relation } = child;
    if (relation === undefined) throw new DicomError('object', 'RelationshipType: only the root is without one.');
    const isAllowed = RULES[relation].some(
      ({ from, to }) => from.includes(item.value.type) && to.includes(child.value.type),
    );
    if (!isAllowed)
      throw new DicomError(
        'object',
        `RelationshipType: ${item.value.type} ${relation} ${child.value.type} is not allowed.`,
      );
    assertItem(child);
  }
}

function brokenRule({ name, value }: ContentItem): string | undefined {
  if (NAMED.has(value.type) && name === undefined) return `an item of type ${value.type} has a name`;
  switch (value.type) {
    case 'TEXT':
      return value.text === '' ? 'a text is not empty' : undefined;
    case 'NUM':
      if (value.quantity === undefined) {
        return value.qualifier === undefined ? 'a number that is missing has a qualifier' : undefined;
      }
      return Number.isFinite(value.quantity.value) ? undefined : 'a number is finite';
    case 'SCOORD':
      return brokenOutline(value);
    case 'IMAGE':
    case 'COMPOSITE':
      return brokenReference(value.reference);
    default:
      return undefined;
  }
}

const POINT_COUNTS: Readonly<Record<Outline['graphicType'], readonly [number, number]>> = {
  POINT: [1, 1],
  MULTIPOINT: [1, Number.POSITIVE_INFINITY],
  POLYLINE: [2, Number.POSITIVE_INFINITY],
  CIRCLE: [2, 2], // its centre and a point on it
  ELLIPSE: [4, 4], // the ends of its axes
};

/** PS3.3 C.18.6.1.2. */
function brokenOutline({ graphicType, points }: Outline): string | undefined {
  const [countMin, countMax] = POINT_COUNTS[graphicType];
  if (points.length < countMin || points.length > countMax) return `a ${graphicType} has another number of points`;
  return points.flat().every((coordinate) => Number.isFinite(coordinate) && coordinate >= 0)
    ? undefined
    : 'coordinates are finite and not negative';
}

function brokenReference({ frameNumbers = [], segmentNumbers = [] }: ContentReference): string | undefined {
  return [...frameNumbers, ...segmentNumbers].every((number) => Number.isInteger(number) && number >= 1)
    ? undefined
    : 'numbers of frames and segments count from 1';
}
