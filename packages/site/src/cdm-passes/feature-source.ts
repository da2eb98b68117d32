/**
 * What the segmentations and reports that this site received since the last pass say of images, as the ETL reads it: one resource for
 * each segment and each group of measurements, and one for an object of which nothing can be taken. No object stops a pass.
 */
import { hash } from 'node:crypto';
import path from 'node:path';
import { DicomError, type DicomErrorCode, openFileSource, readPart10, textOf } from '@lantern/dicom';
import type { ReadOnlyConnection } from '@lantern/service';
import { type DerivedObject, derivedObjects } from '../archive/derived-objects.ts';
import {
  FEATURE_TYPES,
  type FeatureGroup,
  type ObjectFault,
  readFeatureGroup,
  readSilentObject,
  type SilentObject,
} from '../omop-etl/archived-features.ts';
import type { SourceResource } from '../omop-etl/etl.ts';
import { reportFeatures } from './report-features.ts';
import { segmentFeatures } from './segment-features.ts';

/** A report is read as a whole. Those of whole-slide microscopy alone are larger. */
const REPORT_BYTES_MAX = 64 * 1024 * 1024;
const PATIENT_ID = 0x00100020;

const FAULTS: Partial<Record<DicomErrorCode, ObjectFault>> = {
  truncated: 'object.malformed',
  malformed: 'object.malformed',
  object: 'object.malformed',
  unsupported: 'object.unsupported',
  limit: 'object.too-large',
};

export type FeatureReading = { readonly after: string; readonly imagesDir: string; readonly signal: AbortSignal };

export async function* featureSource(
  connection: ReadOnlyConnection,
  { after, imagesDir, signal }: FeatureReading,
): AsyncGenerator<SourceResource> {
  for await (const object of derivedObjects(connection, after)) {
    yield* await resourcesOf(object, { imagesDir, signal });
  }
}

async function resourcesOf(
  object: DerivedObject,
  place: Pick<FeatureReading, 'imagesDir' | 'signal'>,
): Promise<SourceResource[]> {
  try {
    const read = await readObject(object, place);
    return read.length > 0 ? read : [silent(object, { fault: 'feature.missing' })];
  } catch (caught) {
    place.signal.throwIfAborted();
    // Whatever a sender, a disk or a mistake of ours makes of one object, the records of all others go on; the account names it.
    const fault = (caught instanceof DicomError ? FAULTS[caught.code] : undefined) ?? 'object.unreadable';
    return [silent(object, { fault })];
  }
}

async function readObject(
  object: DerivedObject,
  { imagesDir, signal }: Pick<FeatureReading, 'imagesDir' | 'signal'>,
): Promise<SourceResource[]> {
  const { kind, sopInstanceUid, dataSetBytes, patientId } = object;
  if (kind === 'report' && dataSetBytes > REPORT_BYTES_MAX) return [silent(object, { fault: 'object.too-large' })];
  const source = openFileSource(path.join(imagesDir, ...object.file.split('/')));
  try {
    const read = kind === 'report' ? readPart10(source, Number.POSITIVE_INFINITY) : readPart10(source);
    const isOther = (textOf(read.dataSet, PATIENT_ID) ?? '').trim() !== patientId.trim();
    if (isOther) return [silent(object, { fault: 'patient.other-than-study' })];
    if (kind === 'segmentation') {
      const segments = await segmentFeatures(read, object, signal);
      return segments.map(({ number, group }) => spoken('segment', `${sopInstanceUid}/${number}`, group));
    }
    const report = reportFeatures(read, object);
    if ('template' in report) return [silent(object, report)];
    return report.groups.map((group, index) => spoken('measurementGroup', `${sopInstanceUid}/${index + 1}`, group));
  } finally {
    source.close();
  }
}

function spoken(type: 'segment' | 'measurementGroup', id: string, group: FeatureGroup): SourceResource {
  return { ...named(FEATURE_TYPES[type], id, group), read: (stage) => readFeatureGroup(group, stage) };
}

function silent({ kind, sopInstanceUid }: DerivedObject, object: SilentObject): SourceResource {
  return { ...named(FEATURE_TYPES[kind], sopInstanceUid, object), read: (stage) => readSilentObject(object, stage) };
}

function named(resourceType: string, id: string, content: FeatureGroup | SilentObject): Omit<SourceResource, 'read'> {
  return { resourceType, id, contentHash: hash('sha256', JSON.stringify(content), 'base64'), content };
}
