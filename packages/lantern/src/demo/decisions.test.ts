import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { DisclosureFinding } from '@lantern/contract';
import { relaxedApproval } from './decisions.ts';
import { HOSPITALS } from './fixtures.ts';
import { heldBackPatients } from './held-back-patient.ts';

const finding = (rule: DisclosureFinding['rule']): DisclosureFinding => ({
  rule,
  subject: 'x',
  limit: 1,
  message: 'x',
});
const [cleveland, , zurich] = HOSPITALS;

describe('a decision of the demonstration', () => {
  it('relaxes only the rules that refused, the ratio to what the training rows need', async () => {
    const small = await relaxedApproval(cleveland, [finding('category-patient-count')]);
    assert.deepEqual(small.runStatistics, { categoryPatientCountMin: 0 });
    const few = await relaxedApproval(zurich, [finding('parameter-row-ratio')]);
    assert.deepEqual(few.runStatistics, { parameterRowRatioMax: 0.47 }); // 14 parameters on 30 rows
    assert.deepEqual((await relaxedApproval(cleveland, [])).runStatistics, {});
  });
});

describe('the held-back patients of the demonstration', () => {
  it('come in the order of the file, whatever their outcome, and only with a complete record', async () => {
    const patients = await heldBackPatients(cleveland);
    assert.equal(patients.length, 104); // every test row of Cleveland is complete
    assert.deepEqual(
      patients.slice(0, 3).map(({ hadDisease }) => hadDisease),
      [false, false, true],
    );
    assert.ok((await heldBackPatients(zurich)).length <= 16);
  });
});
