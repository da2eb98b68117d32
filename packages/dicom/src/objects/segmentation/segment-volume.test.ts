import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { derivationOf, stack } from '../../../test/derivations.ts';
import { memorySource } from '../../byte-source.ts';
import type { DataSet } from '../../data-set.ts';
import { dataSetOf } from '../../element-values.ts';
import { readPart10 } from '../../part10.ts';
import { part10Of } from '../derived-object.ts';
import { referencedSeries } from '../instance-reference.ts';
import { readMeasurementReport } from '../report/measurement-report-reader.ts';
import { filledVoxelsOf, voxelVolumeOf } from './segment-volume.ts';
import type { SegmentVoxels } from './segment-voxels.ts';
import { segmentationOf } from './segmentation.ts';
import { type ReadSegmentation, readSegmentation } from './segmentation-reader.ts';

const FINDINGS = path.resolve(import.meta.dirname, '../../../../../fixtures/dicom/findings');
const FRAME = 64 * 64;

const foreign = (name: string) => readPart10(memorySource(readFileSync(path.join(FINDINGS, name))), Infinity);
const volumeOf = (read: ReadSegmentation) =>
  read.frames.reduce((sum, frame) => sum + filledVoxelsOf(frame, read), 0) * (voxelVolumeOf(read) ?? Number.NaN);

function made(sources: readonly DataSet[], voxels: SegmentVoxels): ReadSegmentation {
  const [source] = sources;
  assert.ok(source !== undefined);
  const code = { value: '27925004', scheme: 'SCT', meaning: 'Nodule' };
  const dataSet = segmentationOf(derivationOf(source), {
    label: 'NODULES',
    algorithm: { name: 'nodule-finder', version: '1.4.2' },
    segments: [{ label: 'one', category: code, type: code }],
    voxels,
    sources,
    emptyFrames: 'omit',
  });
  return readSegmentation(readPart10(memorySource(part10Of(dataSet))));
}

/** `count` voxels in each of the slices that are named. */
function mask(slices: number, filled: Readonly<Record<number, number>>): Uint8Array {
  const values = new Uint8Array(slices * FRAME);
  for (const [slice, count] of Object.entries(filled))
    values.fill(1, Number(slice) * FRAME, Number(slice) * FRAME + count);
  return values;
}

test('a lesion that another program outlined has the volume that its own report says', () => {
  const [group] = readMeasurementReport(foreign('sr.dcm').dataSet).groups;
  const said = group?.measurements.find(({ name }) => name.value === 'G-D705')?.quantity;
  assert.deepEqual([said?.value, said?.unit.value], [33.5824, 'ml']);
  const volume = volumeOf(readSegmentation(foreign('seg.dcm')));
  assert.equal((volume / 1000).toFixed(4), '33.5824');
});

test('slices that have no voxel were left out, and still count as a step', () => {
  // Voxels of 0.5 x 0.25 mm, slices 2.5 mm apart; frames are there for the slices 0 and 3 alone.
  const read = made(stack(5), { kind: 'masks', values: [mask(5, { 0: 7, 3: 4 })] });
  assert.equal(read.frames.length, 2);
  assert.equal(volumeOf(read), 11 * 0.5 * 0.25 * 2.5);
});

test('a voxel that is filled in part counts in part', () => {
  const values = new Float32Array(3 * FRAME);
  values.set([1, 0.5, 0.25], FRAME + 5);
  const read = made(stack(3), { kind: 'fractions', type: 'OCCUPANCY', steps: 4, values: [values] });
  assert.equal(read.fraction, 'OCCUPANCY');
  assert.equal(volumeOf(read), 1.75 * 0.5 * 0.25 * 2.5);
});

test('what does not say where it lies, or lies at uneven steps, has no volume', () => {
  const read = made(stack(3), { kind: 'masks', values: [mask(3, { 0: 1, 1: 1, 2: 1 })] });
  assert.equal(voxelVolumeOf(read), 0.5 * 0.25 * 2.5);
  const moved = (change: (index: number) => number | undefined) => ({
    ...read,
    frames: read.frames.map((frame, index) => {
      const z = change(index);
      const geometry = frame.geometry;
      assert.ok(geometry !== undefined);
      return { ...frame, geometry: z === undefined ? undefined : { ...geometry, position: [0, 0, z] as const } };
    }),
  });
  assert.equal(voxelVolumeOf(moved((index) => [0, 2.5, 6.1][index])), undefined);
  assert.equal(voxelVolumeOf(moved((index) => (index === 1 ? undefined : index))), undefined);
  assert.equal(voxelVolumeOf({ ...read, frames: [] }), undefined);
});

test('an object names the series of whatever it refers to', () => {
  const ofReport = referencedSeries(foreign('sr.dcm').dataSet);
  const ofSegmentation = referencedSeries(foreign('seg.dcm').dataSet);
  assert.equal(new Set(ofSegmentation.values()).size, 1);
  const [frame] = readSegmentation(foreign('seg.dcm')).frames;
  assert.equal(
    ofSegmentation.get(frame?.origins[0]?.sopInstanceUid ?? ''),
    '1.3.6.1.4.1.14519.5.2.1.2744.7002.261560220703676715130542397405',
  );
  assert.ok([...ofReport.keys()].includes('1.2.276.0.7230010.3.1.4.8323329.18591.1440001312.777033'));
  assert.equal(referencedSeries(dataSetOf([])).size, 0);
});
