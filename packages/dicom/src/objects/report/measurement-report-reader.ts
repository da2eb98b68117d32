/** Reads measurement reports (PS3.16 TID 1500), ours and those of others, into what they say: a plain list of what was measured. */
import type { DataSet } from '../../data-set.ts';
import { DicomError } from '../../dicom-error.ts';
import { type CodedConcept, isSameConcept } from '../coded-concept.ts';
import type { ContentItem, ContentReference, Outline, Quantity } from './content-item.ts';
import { contentTreeOf } from './content-tree.ts';
import { REPORT_CODES } from './report-codes.ts';

export type ReadRegion =
  | { readonly kind: 'outline'; readonly outline: Outline; readonly image: ContentReference | undefined }
  | {
      readonly kind: 'segment';
      readonly segment: ContentReference;
      readonly sourceImages: readonly ContentReference[];
      readonly sourceSeriesUid?: string;
    }
  | { readonly kind: 'images'; readonly images: readonly ContentReference[] };

export type ReadMeasurement = {
  readonly name: CodedConcept;
  /** Missing where it could not be measured. */
  readonly quantity?: Quantity;
  readonly derivation?: CodedConcept;
  readonly method?: CodedConcept;
};

export type ReadMeasurementGroup = {
  readonly tracking: { readonly id?: string; readonly uid?: string };
  readonly findingCategory?: CodedConcept;
  readonly finding?: CodedConcept;
  readonly findingSites: readonly { readonly site: CodedConcept; readonly laterality?: CodedConcept }[];
  readonly algorithm: { readonly name?: string; readonly version?: string };
  /** Several where it is about several outlines. */
  readonly regions: readonly ReadRegion[];
  readonly measurements: readonly ReadMeasurement[];
  readonly evaluations: readonly { readonly name: CodedConcept; readonly value: CodedConcept | string }[];
};

export type ReadMeasurementReport = {
  readonly title: CodedConcept;
  readonly language?: CodedConcept;
  readonly proceduresReported: readonly CodedConcept[];
  readonly device: { readonly uid?: string; readonly name?: string };
  /** Of the image library. */
  readonly images: readonly ContentReference[];
  readonly groups: readonly ReadMeasurementGroup[];
};

/** Throws `object` where the data set is no measurement report. */
export function readMeasurementReport(dataSet: DataSet): ReadMeasurementReport {
  const root = contentTreeOf(dataSet);
  const measurements = named(root, REPORT_CODES.imagingMeasurements);
  if (root.name === undefined || root.value.type !== 'CONTAINER' || root.value.template !== '1500')
    throw new DicomError('object', 'ContentTemplateSequence: this is no measurement report of TID 1500.');
  const library = named(root, REPORT_CODES.imageLibrary).flatMap((item) => named(item, REPORT_CODES.imageLibraryGroup));
  return {
    title: root.name,
    ...given('language', codesNamed(root, REPORT_CODES.language)[0]),
    proceduresReported: codesNamed(root, REPORT_CODES.procedureReported),
    device: {
      ...given('uid', textNamed(root, REPORT_CODES.deviceUid)),
      ...given('name', textNamed(root, REPORT_CODES.deviceName)),
    },
    images: library.flatMap(({ children }) => children.flatMap(imageOf)),
    groups: measurements.flatMap((item) => named(item, REPORT_CODES.measurementGroup)).map(groupOf),
  };
}

function groupOf(item: ContentItem): ReadMeasurementGroup {
  return {
    tracking: {
      ...given('id', textNamed(item, REPORT_CODES.trackingIdentifier)),
      ...given('uid', textNamed(item, REPORT_CODES.trackingUid)),
    },
    ...given('findingCategory', codesNamed(item, REPORT_CODES.findingCategory)[0]),
    ...given('finding', codesNamed(item, REPORT_CODES.finding)[0]),
    findingSites: named(item, REPORT_CODES.findingSite).flatMap((site) =>
      site.value.type === 'CODE'
        ? [{ site: site.value.code, ...given('laterality', codesNamed(site, REPORT_CODES.laterality)[0]) }]
        : [],
    ),
    algorithm: {
      ...given('name', textNamed(item, REPORT_CODES.algorithmName)),
      ...given('version', textNamed(item, REPORT_CODES.algorithmVersion)),
    },
    regions: regionsOf(item),
    measurements: item.children.flatMap(measurementOf),
    evaluations: item.children.flatMap(evaluationOf),
  };
}

function measurementOf(item: ContentItem): ReadMeasurement[] {
  const { name, value } = item;
  if (value.type !== 'NUM' || name === undefined) return [];
  return [
    {
      name,
      ...given('quantity', value.quantity),
      ...given('derivation', codesNamed(item, REPORT_CODES.derivation)[0]),
      ...given('method', codesNamed(item, REPORT_CODES.method)[0]),
    },
  ];
}

/** What a group contains under these names is no evaluation; highdicom has the method of a group among its content. */
const TOLD: readonly CodedConcept[] = [REPORT_CODES.finding, REPORT_CODES.findingCategory, REPORT_CODES.method];

function evaluationOf({ relation, name, value }: ContentItem): { name: CodedConcept; value: CodedConcept | string }[] {
  if (relation !== 'CONTAINS' || name === undefined || isAmong(TOLD, name)) return [];
  if (value.type === 'CODE') return [{ name, value: value.code }];
  return value.type === 'TEXT' ? [{ name, value: value.text }] : [];
}

function regionsOf(item: ContentItem): ReadRegion[] {
  const outlines = item.children.flatMap((child): ReadRegion[] => {
    if (child.value.type !== 'SCOORD') return [];
    const { graphicType, points } = child.value;
    return [{ kind: 'outline', outline: { graphicType, points }, image: child.children.flatMap(imageOf)[0] }];
  });
  const segments = [REPORT_CODES.referencedSegment, REPORT_CODES.referencedSegmentationFrame]
    .flatMap((name) => named(item, name).flatMap(imageOf))
    .map((segment): ReadRegion => {
      const sourceImages = named(item, REPORT_CODES.sourceImageForSegmentation).flatMap(imageOf);
      const seriesUid = textNamed(item, REPORT_CODES.sourceSeriesForSegmentation);
      return { kind: 'segment', segment, sourceImages, ...given('sourceSeriesUid', seriesUid) };
    });
  const images = [REPORT_CODES.sourceOfMeasurement, REPORT_CODES.source].flatMap((name) =>
    named(item, name).flatMap(imageOf),
  );
  return [...outlines, ...segments, ...(images.length === 0 ? [] : [{ kind: 'images', images } as const])];
}

function named({ children }: ContentItem, name: CodedConcept): ContentItem[] {
  const names = [name, ...FORMER.filter(([, now]) => now === name).map(([former]) => former)];
  return children.filter((child) => child.name !== undefined && isAmong(names, child.name));
}

function isAmong(names: readonly Pick<CodedConcept, 'value' | 'scheme'>[], name: CodedConcept): boolean {
  return names.some((one) => isSameConcept(one, name));
}

/** What reports have that were written before DICOM took SNOMED CT's own codes (PS3.16 annex O). */
const FORMER: readonly (readonly [Pick<CodedConcept, 'value' | 'scheme'>, CodedConcept])[] = [
  [{ value: 'G-C0E3', scheme: 'SRT' }, REPORT_CODES.findingSite],
  [{ value: 'G-C171', scheme: 'SRT' }, REPORT_CODES.laterality],
  [{ value: 'G-C036', scheme: 'SRT' }, REPORT_CODES.method],
];

function codesNamed(item: ContentItem, name: CodedConcept): CodedConcept[] {
  return named(item, name).flatMap(({ value }) => (value.type === 'CODE' ? [value.code] : []));
}

/** A text or a UID. */
function textNamed(item: ContentItem, name: CodedConcept): string | undefined {
  const [found] = named(item, name).flatMap(({ value }) => {
    if (value.type === 'TEXT') return [value.text];
    return value.type === 'UIDREF' ? [value.uid] : [];
  });
  return found;
}

function imageOf({ value }: ContentItem): ContentReference[] {
  return value.type === 'IMAGE' ? [value.reference] : [];
}

function given<K extends string, T>(key: K, value: T | undefined): { [name in K]?: T } {
  return value === undefined ? {} : ({ [key]: value } as { [name in K]?: T });
}
