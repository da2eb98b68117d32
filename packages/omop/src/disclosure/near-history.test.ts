import assert from 'node:assert/strict';
import { test } from 'node:test';
import { COUNT_POLICY_DEFAULT } from '@lantern/contract';
import { seededRandom } from '../../test/attacks/world.ts';
import { keyedHashOf, range } from '../../test/keyed-hash.ts';
import { answerCount, type CountGate } from './gate.ts';
import { isNear, nearRanges } from './near-history.ts';
import { patientSet } from './patient-set.ts';

const policy = COUNT_POLICY_DEFAULT;

test('the gate answers the same with the near sets in the ranges as with the whole history', () => {
  const random = seededRandom(77);
  const history: CountGate['history'][number][] = [];
  const keyedHash = keyedHashOf('near');
  const budget = { granted: 10_000, charged: new Map(), shared: undefined };
  let repeated = 0;
  let leftOut = 0;
  for (let question = 0; question < 400; question += 1) {
    const first = Math.floor(random() * 3) * 40;
    const patients = patientSet(range(first, first + Math.floor(random() * 160)));
    const ranges = nearRanges([patients], policy);
    const near = history.filter(
      ({ patients: earlier }) =>
        ranges.some(({ least, most }) => earlier.count >= least && earlier.count <= most) &&
        isNear(earlier, [patients], policy),
    );
    const price = { key: `${question}`, cost: 1 };
    const whole = answerCount({ policy, keyedHash, history, budget }, { price, patients });
    assert.deepEqual(answerCount({ policy, keyedHash, history: near, budget }, { price, patients }), whole);
    leftOut += history.length - near.length;
    assert.ok(whole.kind === 'count');
    if (whole.keep.answered.length === 0) repeated += 1;
    history.push(...whole.keep.answered);
  }
  assert.ok(repeated > 50 && leftOut > 1000, `${repeated} repeated, ${leftOut} left out`);
});

test('sets of fewer patients than the threshold have one range, whatever their size, and ranges that touch are one', () => {
  const few = [0, 5, 9].map((size) => JSON.stringify(nearRanges([patientSet(range(100, 100 + size))], policy)));
  assert.equal(new Set(few).size, 1);
  const sets = [1000, 300, 320, 9].map((size) => patientSet(range(0, size)));
  assert.deepEqual(nearRanges(sets, policy), [
    { least: 0, most: 56 },
    { least: 254, most: 366 },
    { least: 954, most: 1046 },
  ]);
});
