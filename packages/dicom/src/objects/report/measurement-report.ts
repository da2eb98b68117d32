/**
 * Measurement reports (PS3.16 TID 1500) as Comprehensive SR: what an algorithm found, where, and how large, so that the next program
 * can read it. Each group is about one thing: a whole image (TID 1501), an outline in an image (TID 1410) or a segment (TID 1411).
 */
import type { DataSet } from '../../data-set.ts';
import type { Algorithm } from '../algorithm.ts';
import type { CodedConcept } from '../coded-concept.ts';
import { type Derivation, notEmpty } from '../derived-object.ts';
import { type InstanceReference, referenceTo } from '../instance-reference.ts';
import { assertSameStudy } from '../source-attributes.ts';
import {
  type ContentItem,
  type ContentReference,
  codeItem,
  container,
  contentItem,
  type Outline,
  type Quantity,
  textItem,
  uidItem,
} from './content-item.ts';
import { imageLibrary } from './image-library.ts';
import { REPORT_CODES } from './report-codes.ts';
import { structuredReportOf } from './structured-report.ts';

/** Frames are counted from 1, and named only in images of many. */
export type ImageReference = InstanceReference & { readonly frameNumber?: number };

/** What a group is about. */
export type MeasuredRegion =
  | { readonly kind: 'images'; readonly images: readonly ImageReference[] }
  | { readonly kind: 'outline'; readonly outline: Outline; readonly image: ImageReference }
  | {
      readonly kind: 'segment';
      readonly segmentation: InstanceReference;
      readonly segmentNumber: number;
      readonly sourceImages: readonly ImageReference[];
    };

export type Measurement = Quantity & {
  /** Such as (118565006, SCT, "Volume"). */
  readonly name: CodedConcept;
  /** Such as (373098007, SCT, "Mean"), of several values. */
  readonly derivation?: CodedConcept;
  readonly method?: CodedConcept;
};

export type MeasurementGroup = {
  /** The same in every report that is about the same thing. */
  readonly tracking: { readonly id: string; readonly uid: string };
  readonly findingCategory?: CodedConcept;
  readonly finding?: CodedConcept;
  readonly findingSites?: readonly { readonly site: CodedConcept; readonly laterality?: CodedConcept }[];
  readonly region: MeasuredRegion;
  /** Units are UCUM. */
  readonly measurements: readonly Measurement[];
  /** Answers that are no number: coded, or in words. */
  readonly evaluations?: readonly { readonly name: CodedConcept; readonly value: CodedConcept | string }[];
};

export type MeasurementReport = {
  /** Such as (en, RFC5646, "English"). */
  readonly language: CodedConcept;
  /** Such as (24627-2, LN, "CT Chest"). */
  readonly proceduresReported: readonly CodedConcept[];
  /** What looked at the images: an installation of a program, with a UID of its own; the rest is said by the equipment. */
  readonly observerUid: string;
  readonly algorithm: Algorithm;
  /** All that it looked at. */
  readonly images: readonly DataSet[];
  readonly groups: readonly MeasurementGroup[];
  readonly completion: 'COMPLETE' | 'PARTIAL';
};

const TEMPLATES = { report: '1500', images: '1501', outline: '1410', segment: '1411' } as const;

/** Throws `object` where the report breaks a rule of its template, an image is of another study, and what `derivedObject` throws. */
export function measurementReportOf(derivation: Derivation, report: MeasurementReport): DataSet {
  assertSameStudy(derivation.source, report.images);
  const references = report.groups.flatMap(({ region }) => referencesOf(region));
  return structuredReportOf(derivation, {
    root: rootOf(derivation, report),
    evidence: [...report.images.map(referenceTo), ...references],
    completion: report.completion,
  });
}

function rootOf({ equipment }: Derivation, report: MeasurementReport): ContentItem {
  const { language, proceduresReported, algorithm, observerUid, images, groups } = report;
  return container(
    undefined,
    REPORT_CODES.imagingMeasurementReport,
    [
      codeItem('HAS CONCEPT MOD', REPORT_CODES.language, language),
      codeItem('HAS OBS CONTEXT', REPORT_CODES.observerType, REPORT_CODES.device),
      uidItem('HAS OBS CONTEXT', REPORT_CODES.deviceUid, observerUid),
      textItem('HAS OBS CONTEXT', REPORT_CODES.deviceName, algorithm.name),
      textItem('HAS OBS CONTEXT', REPORT_CODES.deviceManufacturer, equipment.manufacturer),
      textItem('HAS OBS CONTEXT', REPORT_CODES.deviceModelName, equipment.modelName),
      textItem('HAS OBS CONTEXT', REPORT_CODES.deviceSerialNumber, equipment.serialNumber),
      ...notEmpty('Procedure reported', proceduresReported).map((procedure) =>
        codeItem('HAS CONCEPT MOD', REPORT_CODES.procedureReported, procedure),
      ),
      ...imageLibrary(images),
      container(
        'CONTAINS',
        REPORT_CODES.imagingMeasurements,
        notEmpty('Measurement Group', groups).map((group) => groupItem(group, algorithm)),
      ),
    ],
    TEMPLATES.report,
  );
}

function groupItem(group: MeasurementGroup, algorithm: Algorithm): ContentItem {
  const { tracking, findingCategory, finding, findingSites = [], region, measurements, evaluations = [] } = group;
  return container(
    'CONTAINS',
    REPORT_CODES.measurementGroup,
    [
      textItem('HAS OBS CONTEXT', REPORT_CODES.trackingIdentifier, tracking.id),
      uidItem('HAS OBS CONTEXT', REPORT_CODES.trackingUid, tracking.uid),
      ...optionalCode('CONTAINS', REPORT_CODES.findingCategory, findingCategory),
      ...optionalCode('CONTAINS', REPORT_CODES.finding, finding),
      ...findingSites.map(({ site, laterality }) =>
        codeItem(
          'HAS CONCEPT MOD',
          REPORT_CODES.findingSite,
          site,
          optionalCode('HAS CONCEPT MOD', REPORT_CODES.laterality, laterality),
        ),
      ),
      ...algorithmItems(algorithm),
      ...regionItems(region),
      ...measurements.map(measurementItem),
      ...evaluations.map(({ name, value }) =>
        typeof value === 'string' ? textItem('CONTAINS', name, value) : codeItem('CONTAINS', name, value),
      ),
    ],
    TEMPLATES[region.kind],
  );
}

function optionalCode(
  relation: 'CONTAINS' | 'HAS CONCEPT MOD',
  name: CodedConcept,
  code: CodedConcept | undefined,
): ContentItem[] {
  return code === undefined ? [] : [codeItem(relation, name, code)];
}

/** TID 4019. */
function algorithmItems({ name, version, parameters }: Algorithm): ContentItem[] {
  return [
    textItem('HAS CONCEPT MOD', REPORT_CODES.algorithmName, name),
    textItem('HAS CONCEPT MOD', REPORT_CODES.algorithmVersion, version),
    ...(parameters === undefined ? [] : [textItem('HAS CONCEPT MOD', REPORT_CODES.algorithmParameters, parameters)]),
  ];
}

/** TID 300. */
function measurementItem({ name, value, unit, derivation, method }: Measurement): ContentItem {
  return contentItem('CONTAINS', name, { type: 'NUM', quantity: { value, unit } }, [
    ...optionalCode('HAS CONCEPT MOD', REPORT_CODES.method, method),
    ...optionalCode('HAS CONCEPT MOD', REPORT_CODES.derivation, derivation),
  ]);
}

function regionItems(region: MeasuredRegion): ContentItem[] {
  switch (region.kind) {
    case 'images':
      return notEmpty('Source of Measurement', region.images).map((image) =>
        imageItem('CONTAINS', REPORT_CODES.sourceOfMeasurement, contentReference(image)),
      );
    case 'outline':
      return [
        contentItem('CONTAINS', REPORT_CODES.imageRegion, { type: 'SCOORD', ...region.outline }, [
          imageItem('SELECTED FROM', REPORT_CODES.source, contentReference(region.image)),
        ]),
      ];
    case 'segment':
      return [
        imageItem('CONTAINS', REPORT_CODES.referencedSegment, {
          ...contentReference(region.segmentation),
          segmentNumbers: [region.segmentNumber],
        }),
        ...notEmpty('Source image for segmentation', region.sourceImages).map((image) =>
          imageItem('CONTAINS', REPORT_CODES.sourceImageForSegmentation, contentReference(image)),
        ),
      ];
  }
}

function imageItem(
  relation: 'CONTAINS' | 'SELECTED FROM',
  name: CodedConcept,
  reference: ContentReference,
): ContentItem {
  return contentItem(relation, name, { type: 'IMAGE', reference });
}

function contentReference({ sopClassUid, sopInstanceUid, frameNumber }: ImageReference): ContentReference {
  return { sopClassUid, sopInstanceUid, ...(frameNumber === undefined ? {} : { frameNumbers: [frameNumber] }) };
}

function referencesOf(region: MeasuredRegion): InstanceReference[] {
  switch (region.kind) {
    case 'images':
      return [...region.images];
    case 'outline':
      return [region.image];
    case 'segment':
      return [region.segmentation, ...region.sourceImages];
  }
}
