/**
 * What a measurement report (PS3.16 TID 1500) says of images: of each group its values, with what was measured, where, and in which
 * series. Words are left where they are: they may name the patient.
 */
import {
  contentTreeOf,
  type Part10File,
  type ReadMeasurementGroup,
  type ReadMeasurementReport,
  type ReadRegion,
  readMeasurementReport,
  referencedSeries,
} from '@lantern/dicom';
import type { DerivedObject } from '../archive/derived-objects.ts';
import type { FeatureGroup, FeatureWarning, ImageFeature } from '../omop-etl/archived-features.ts';
import { contentMoment, featureCode, qualifiedCode } from './dicom-codes.ts';

const TEMPLATE = '1500';
const NO_TEMPLATE = 'none';

/** The groups in their order, or the template that it follows instead. Throws DicomError. */
export function reportFeatures(
  { dataSet }: Part10File,
  { studyInstanceUid, seriesInstanceUid }: DerivedObject,
): { readonly template: string } | { readonly groups: readonly FeatureGroup[] } {
  const { value } = contentTreeOf(dataSet);
  const template = value.type === 'CONTAINER' ? value.template : undefined;
  if (template !== TEMPLATE) return { template: template ?? NO_TEMPLATE };
  const report = readMeasurementReport(dataSet);
  const seriesOf = referencedSeries(dataSet);
  const madeAt = contentMoment(dataSet);
  const groups = report.groups.map((group): FeatureGroup => {
    const { features, warnings } = featuresOf(group);
    const name = algorithmName(group, report);
    const sourceSeriesUid = sourceSeries(group.regions, seriesOf);
    return {
      studyInstanceUid,
      seriesInstanceUid,
      ...(sourceSeriesUid === undefined ? {} : { sourceSeriesUid }),
      ...(group.tracking.uid === undefined ? {} : { trackingUid: group.tracking.uid }),
      ...(group.finding === undefined ? {} : { finding: featureCode(group.finding) }),
      site: siteOf(group),
      ...(name === undefined ? {} : { algorithm: { name, ...(madeAt === undefined ? {} : { at: madeAt }) } }),
      features,
      warnings,
    };
  });
  return { groups };
}

/** A group that only says what is there is one feature without a value. */
function featuresOf({ finding, measurements, evaluations }: ReadMeasurementGroup): {
  features: readonly ImageFeature[];
  warnings: readonly FeatureWarning[];
} {
  const measured = measurements.flatMap(({ name, quantity, derivation }): ImageFeature[] => {
    if (quantity === undefined || !Number.isFinite(quantity.value)) return [];
    const codes = [derivation === undefined ? featureCode(name) : qualifiedCode(name, derivation)];
    return [{ codes, value: { kind: 'number', number: quantity.value, unit: featureCode(quantity.unit) } }];
  });
  const judged = evaluations.flatMap(({ name, value }): ImageFeature[] =>
    typeof value === 'string'
      ? []
      : [{ codes: [featureCode(name)], value: { kind: 'code', code: featureCode(value) } }],
  );
  const features = [...measured, ...judged];
  const warnings: FeatureWarning[] = [
    ...(measured.length < measurements.length ? ['value.invalid' as const] : []),
    ...(judged.length < evaluations.length ? ['value.words' as const] : []),
  ];
  if (features.length > 0 || finding === undefined) return { features, warnings };
  return { features: [{ codes: [featureCode(finding)] }], warnings };
}

function siteOf({ findingSites: [first] }: ReadMeasurementGroup): FeatureGroup['site'] {
  if (first === undefined) return [];
  const { site, laterality } = first;
  return [...(laterality === undefined ? [] : [qualifiedCode(site, laterality)]), featureCode(site)];
}

function algorithmName({ algorithm }: ReadMeasurementGroup, { device }: ReadMeasurementReport): string | undefined {
  const name = algorithm.name === undefined ? device.name : `${algorithm.name} ${algorithm.version ?? ''}`.trim();
  return name ?? device.uid;
}

/** Of the first image that the group is about; of a segment, that of the images that were segmented. */
function sourceSeries(regions: readonly ReadRegion[], seriesOf: ReadonlyMap<string, string>): string | undefined {
  const found = regions.flatMap((region): string[] => {
    const images = imagesOf(region).flatMap(({ sopInstanceUid }) => seriesOf.get(sopInstanceUid) ?? []);
    return region.kind === 'segment' ? [...images, ...[region.sourceSeriesUid].flatMap((uid) => uid ?? [])] : images;
  });
  return found[0];
}

function imagesOf(region: ReadRegion): readonly { readonly sopInstanceUid: string }[] {
  switch (region.kind) {
    case 'images':
      return region.images;
    case 'outline':
      return region.image === undefined ? [] : [region.image];
    case 'segment':
      return region.sourceImages;
  }
}
