/** Volumes that we make of series, beside dcm2niix and nibabel. */
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, describe, test } from 'node:test';
import { memorySource, niftiGzOf, readPart10, volumeOf } from '@lantern/dicom';
import { dicomProgramsMissing, run } from './dicom-programs.ts';
import { askPython, peersMissing } from './python.ts';

const COLLECTION = path.join(
  process.env['LANTERN_DATA_DIR'] ?? path.resolve(import.meta.dirname, '../../../shared/data'),
  'dicom',
);
const folder = mkdtempSync(path.join(tmpdir(), 'lantern-volume-'));
after(() => rmSync(folder, { recursive: true }));

type Answer = {
  readonly shape: readonly number[];
  readonly type: string;
  readonly zooms: readonly number[];
  readonly distance: number;
  readonly difference: number;
  readonly distinct: number;
  readonly qform: number;
  readonly inPlane: number;
};

describe('a volume', { skip: peersMissing || dicomProgramsMissing }, () => {
  for (const series of ['mri-t1', 'dcmqi/segmentations/ct-3slice', 'dcmqi/segmentations/23x38x3/image']) {
    test(`has each voxel where dcm2niix has it: ${series}`, async (t) => {
      if (!existsSync(COLLECTION)) return t.skip('the collection is not at hand (LANTERN_DATA_DIR names its folder)');
      const slices = readdirSync(path.join(COLLECTION, series)).map((name) => path.join(COLLECTION, series, name));
      const result = volumeOf(slices.map((file) => readPart10(memorySource(readFileSync(file)))));
      assert.ok(result.outcome === 'volume', JSON.stringify(result));
      const name = path.basename(series);
      const ours = path.join(folder, `${name}-ours.nii.gz`);
      writeFileSync(ours, niftiGzOf(result.volume));
      const { output } = await run('dcm2niix', [
        '-b',
        'n',
        '-z',
        'y',
        '-f',
        name,
        '-o',
        folder,
        path.join(COLLECTION, series),
      ]);
      const theirs = path.join(folder, `${name}.nii.gz`);
      assert.ok(existsSync(theirs), output);
      const answer = await askPython<Answer>('dicom_volume_peer.py', { ours, theirs, slice: slices[0] });
      assert.deepEqual(answer.shape, [result.volume.columns, result.volume.rows, result.volume.slices]);
      assert.ok(answer.distance < 0.01, `${answer.distance} voxels apart`);
      assert.equal(answer.difference, 0);
      assert.ok(answer.qform < 1e-3 && answer.inPlane < 1e-3, JSON.stringify(answer));
      assert.ok(answer.distinct > 1);
    });
  }
});
