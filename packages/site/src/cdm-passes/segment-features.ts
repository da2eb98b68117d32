/**
 * What a segmentation says of images: of each segment what it is, where, and its volume. A volume is counted from the voxels as they are
 * stored, and only where the object says how large they are; of probabilities nobody can say what is filled.
 */
import { setImmediate } from 'node:timers/promises';
import {
  filledVoxelsOf,
  type Part10File,
  type ReadSegment,
  type ReadSegmentation,
  readSegmentation,
  referencedSeries,
  voxelVolumeOf,
} from '@lantern/dicom';
import type { DerivedObject } from '../archive/derived-objects.ts';
import type { FeatureGroup, ImageFeature } from '../omop-etl/archived-features.ts';
import { contentMoment, featureCode } from './dicom-codes.ts';

const VOLUME = { system: 'http://snomed.info/sct', code: '118565006' };
const MM3 = { system: 'http://unitsofmeasure.org', code: 'mm3' };
const MANUAL = 'MANUAL';
/** "Anatomical Structure", in SNOMED CT and SNOMED RT: a segment of it is a place, not something found there. */
const ANATOMICAL: ReadonlySet<string> = new Set(['SCT 123037004', 'SRT T-D000A']);

/** The number of each segment with what it says. Throws DicomError. */
export async function segmentFeatures(
  object: Part10File,
  { studyInstanceUid, seriesInstanceUid }: DerivedObject,
  signal: AbortSignal,
): Promise<{ readonly number: number; readonly group: FeatureGroup }[]> {
  const segmentation = readSegmentation(object);
  const volumes = await volumesOf(segmentation, signal);
  const seriesOf = referencedSeries(object.dataSet);
  const madeAt = contentMoment(object.dataSet);
  return segmentation.segments.map((segment) => ({
    number: segment.number,
    group: {
      studyInstanceUid,
      seriesInstanceUid,
      ...given('sourceSeriesUid', sourceSeries(segmentation, segment, seriesOf)),
      ...given('trackingUid', segment.tracking?.uid),
      ...(isPlace(segment) ? {} : { finding: featureCode(segment.type) }),
      site: [isPlace(segment) ? segment.type : segment.anatomicRegion].flatMap((code) => code ?? []).map(featureCode),
      ...given('algorithm', algorithmOf(segment, madeAt)),
      features: [featureOf(segment, volumes?.get(segment.number) ?? (volumes && 0))],
      warnings: volumes === undefined ? ['volume.unknown'] : [],
    },
  }));
}

/** [mm3] of each segment that has a frame; undefined where none can be known. */
async function volumesOf(
  segmentation: ReadSegmentation,
  signal: AbortSignal,
): Promise<ReadonlyMap<number, number> | undefined> {
  const voxelVolume = voxelVolumeOf(segmentation);
  if (voxelVolume === undefined || segmentation.fraction === 'PROBABILITY') return undefined;
  const voxels = new Map<number, number>();
  for (const frame of segmentation.frames) {
    voxels.set(frame.segmentNumber, (voxels.get(frame.segmentNumber) ?? 0) + filledVoxelsOf(frame, segmentation));
    await setImmediate(); // thousands of frames: the process answers others meanwhile
    signal.throwIfAborted();
  }
  return new Map([...voxels].map(([number, count]) => [number, count * voxelVolume]));
}

function featureOf(segment: ReadSegment, volume: number | undefined): ImageFeature {
  if (volume === undefined) return { codes: [featureCode(segment.type)] };
  return { codes: [VOLUME], value: { kind: 'number', number: volume, unit: MM3 } };
}

function isPlace({ category }: ReadSegment): boolean {
  return ANATOMICAL.has(`${category.scheme} ${category.value}`);
}

/** Of the first image that one of its frames was made of; else the only one that the object refers to. */
function sourceSeries(
  { frames }: ReadSegmentation,
  { number }: ReadSegment,
  seriesOf: ReadonlyMap<string, string>,
): string | undefined {
  for (const { segmentNumber, origins } of frames) {
    const [found] = segmentNumber === number ? origins.flatMap((one) => seriesOf.get(one.sopInstanceUid) ?? []) : [];
    if (found !== undefined) return found;
  }
  const [only, ...others] = new Set(seriesOf.values());
  return others.length === 0 ? only : undefined;
}

function algorithmOf(segment: ReadSegment, at: string | undefined): FeatureGroup['algorithm'] {
  if (segment.algorithmType === MANUAL) return undefined;
  const name = [segment.algorithmName, segment.algorithmVersion].filter((text) => text !== undefined).join(' ');
  return name === '' ? undefined : { name, ...given('at', at) };
}

function given<K extends string, T>(key: K, value: T | undefined): { [name in K]?: T } {
  return value === undefined ? {} : ({ [key]: value } as { [name in K]?: T });
}
