import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { DicomError, memorySource, readPart10 } from '@lantern/dicom';
import { seededRandom } from '../../test/seeded-random.ts';
import type { DerivedObject } from '../archive/derived-objects.ts';
import { reportFeatures } from './report-features.ts';
import { segmentFeatures } from './segment-features.ts';

const FINDINGS = path.resolve(import.meta.dirname, '../../../../fixtures/dicom/findings');
const MUTANT_COUNT = 400;
const OBJECT: DerivedObject = {
  kind: 'report',
  sopInstanceUid: '2.25.1',
  studyInstanceUid: '2.25.2',
  seriesInstanceUid: '2.25.3',
  patientId: '',
  file: '',
  dataSetBytes: 0,
};

function mutant(original: Buffer, random: () => number): Buffer {
  const changed = Buffer.from(original);
  const at = () => Math.floor(random() * changed.length);
  for (let count = 1 + Math.floor(random() * 8); count > 0; count -= 1) changed[at()] = Math.floor(random() * 256);
  return random() < 0.2 ? changed.subarray(0, at()) : changed;
}

for (const [file, read] of [
  ['sr.dcm', (bytes: Buffer) => reportFeatures(readPart10(memorySource(bytes), Number.POSITIVE_INFINITY), OBJECT)],
  ['seg.dcm', (bytes: Buffer) => segmentFeatures(readPart10(memorySource(bytes)), OBJECT, AbortSignal.timeout(60_000))],
] as const) {
  test(`${file} with bytes changed or cut off is read, or refused in the words of DICOM, and nothing else`, async () => {
    const original = await readFile(path.join(FINDINGS, file));
    const random = seededRandom(4);
    let refusedCount = 0;
    for (let index = 0; index < MUTANT_COUNT; index += 1) {
      try {
        await read(mutant(original, random));
      } catch (caught) {
        assert.ok(caught instanceof DicomError, `mutant ${index}: ${String(caught)}`);
        refusedCount += 1;
      }
    }
    assert.ok(refusedCount > 0 && refusedCount < MUTANT_COUNT, String(refusedCount));
  });
}
