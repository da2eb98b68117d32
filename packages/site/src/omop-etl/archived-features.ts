/**
 * What a segment, or a group of a measurement report, says of images, as rows of the staged tables. Its patient and its day are those of
 * the images, and are looked up later.
 */
import { ROWS_PER_RESOURCE_MAX } from '@lantern/omop';
import { ARCHIVED_STUDY } from './archived-study.ts';
import type { ResourceStage } from './staged-resource.ts';

/** Stand where FHIR has the type of a resource; FHIR has none of these names. The latter two are objects that gave none of the former. */
export const FEATURE_TYPES = {
  segment: 'DicomSegment',
  measurementGroup: 'DicomMeasurementGroup',
  segmentation: 'DicomSegmentation',
  report: 'DicomReport',
} as const;

/** `system`: as FHIR names it. */
export type FeatureCode = { readonly system: string; readonly code: string };

export type ImageFeature = {
  /** The first that the vocabulary knows counts. */
  readonly codes: readonly FeatureCode[];
  readonly value?:
    | { readonly kind: 'number'; readonly number: number; readonly unit: FeatureCode }
    | { readonly kind: 'code'; readonly code: FeatureCode };
};

/** Features of one thing: all that was found of a nodule, say. */
export type FeatureGroup = {
  readonly studyInstanceUid: string;
  readonly seriesInstanceUid: string;
  /** Of the images that it is about. */
  readonly sourceSeriesUid?: string;
  readonly trackingUid?: string;
  readonly finding?: FeatureCode;
  /** Codes of one site, the most exact first. */
  readonly site: readonly FeatureCode[];
  /** Absent where a person found it. `at`: "2026-03-04 23:30:05". */
  readonly algorithm?: { readonly name: string; readonly at?: string };
  readonly features: readonly ImageFeature[];
  readonly warnings: readonly FeatureWarning[];
};

export type FeatureWarning = 'value.invalid' | 'value.words' | 'volume.unknown';

export type ObjectFault =
  | 'feature.missing'
  | 'object.malformed'
  | 'object.unsupported'
  | 'object.too-large'
  | 'object.unreadable'
  | 'patient.other-than-study';

/** An object of which nothing was taken. `template`: the report follows another template than TID 1500, of this number. */
export type SilentObject = { readonly fault: ObjectFault } | { readonly template: string };

/** OMOP's Type Concept domain. */
const EHR = 32817;
const STANDARD_ALGORITHM = 32880;
const UCUM = 'http://unitsofmeasure.org';

export function readSilentObject(object: SilentObject, stage: ResourceStage): void {
  if ('fault' in object) stage.refuse(object.fault);
  else stage.leaveOut('report.template', object.template);
}

export function readFeatureGroup(group: FeatureGroup, stage: ResourceStage): void {
  const { features, finding, site, warnings } = group;
  if (features.length === 0) {
    stage.refuse('feature.missing');
    return;
  }
  if (features.length > ROWS_PER_RESOURCE_MAX / MEANINGS_MAX) {
    stage.refuse('component.too-many');
    return;
  }
  for (const warning of warnings) stage.warn(warning);
  for (const [ordinal, { codes, value }] of features.entries()) {
    const add = (role: string, some: readonly FeatureCode[]) => {
      for (const [position, one] of some.entries()) stage.add('event_code', { ordinal, role, position, ...one });
    };
    stage.add('image_feature', {
      ordinal,
      study_key: `${ARCHIVED_STUDY}/${group.studyInstanceUid}`,
      own_series_uid: group.seriesInstanceUid,
      source_series_uid: group.sourceSeriesUid,
      tracking_uid: group.trackingUid,
      default_domain: value?.kind === 'number' ? 'Measurement' : 'Observation',
      type_concept_id: group.algorithm === undefined ? EHR : STANDARD_ALGORITHM,
      alg_system: group.algorithm?.name,
      alg_at: group.algorithm?.at,
      ...(value?.kind === 'number' ? { value_number: value.number, unit_text: value.unit.code } : {}),
    });
    add('code', codes);
    if (finding !== undefined) add('finding', [finding]);
    add('site', site);
    if (value?.kind === 'number' && value.unit.system === UCUM) add('unit', [value.unit]);
    if (value?.kind === 'code') add('value', [value.code]);
  }
}

/** To so many standard concepts each code of a group may map; none does to more. */
const MEANINGS_MAX = 3;
