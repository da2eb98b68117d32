import assert from 'node:assert/strict';
import { test } from 'node:test';
import { keyedHashOf, range } from '../../test/keyed-hash.ts';
import { type PatientSet, patientSet, patientSetBytes } from './patient-set.ts';
import { type AnsweredSet, findAnswered } from './snapping.ts';

const keyedHash = keyedHashOf('snapping');
const fingerprintOf = (patients: PatientSet) => keyedHash('set', patientSetBytes(patients));

function answered(patients: PatientSet, noisyCount = patients.count): AnsweredSet {
  return { patients, fingerprint: fingerprintOf(patients), noiseStdDev: 6, noisyCount };
}

function find(patients: PatientSet, history: readonly AnsweredSet[], isShown = true): AnsweredSet | undefined {
  const fingerprint = fingerprintOf(patients);
  return findAnswered({
    patients,
    fingerprint,
    history,
    patientCountMin: 10,
    noiseStdDev: 6,
    keyedHash,
    isShown: () => isShown,
  });
}

test('a set that fewer than ten patients separate from an asked one repeats its answer', () => {
  const old = answered(patientSet(range(0, 200)), 193);
  for (const extra of range(1, 10)) assert.equal(find(patientSet(range(0, 200 + extra)), [old]), old);
  for (const missing of range(1, 10)) assert.equal(find(patientSet(range(missing, 200)), [old]), old);
  assert.equal(find(patientSet([...range(4, 200), ...range(300, 305)]), [old]), old);
});

test('the edge beyond ten is soft: nearly always repeated at ten, never at fifty, sometimes between', () => {
  const repeats = (extra: number) =>
    range(0, 300).filter((start) => {
      const old = answered(patientSet(range(start, start + 200)));
      return find(patientSet(range(start, start + 200 + extra)), [old]) === old;
    }).length;
  assert.ok(repeats(10) >= 290); // 99.4 % expected
  const between = repeats(18);
  assert.ok(between > 90 && between < 200); // 43 % expected
  assert.equal(repeats(50), 0);
});

test('of several near sets the nearest answers, so a set always finds itself and then its neighbour', () => {
  const far = answered(patientSet(range(0, 206)), 1);
  const near = answered(patientSet(range(0, 201)), 2);
  assert.equal(find(patientSet(range(0, 200)), [far, near]), near);
  assert.equal(find(patientSet(range(0, 206)), [near, far]), far);
});

test('a shown answer reaches a small set from less far than a suppressed one', () => {
  const old = answered(patientSet(range(0, 20)));
  const smaller = patientSet(range(0, 14));
  assert.equal(find(smaller, [old], true), undefined);
  assert.equal(find(smaller, [old], false), old);
});

test('an answer made with less noise than is asked for now is not repeated', () => {
  const exact = { ...answered(patientSet(range(0, 200))), noiseStdDev: 0 };
  assert.equal(find(patientSet(range(0, 201)), [exact]), undefined);
});

test('10,000 past sets of 100,000 patients are searched in well under a second', () => {
  const words = new Uint32Array(3125);
  let state = 1;
  const history = range(0, 10_000).map((): AnsweredSet => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    const shared = words.slice();
    shared[state % 3125] = state;
    return {
      patients: { count: 50_000, words: shared },
      fingerprint: new Uint8Array(32),
      noiseStdDev: 6,
      noisyCount: 1,
    };
  });
  // The last word differs by 32 patients in each of three words, so no early exit until nearly the end of every set.
  const asked = words.slice();
  asked.fill(0xffffffff, 3122);
  const patients = { count: 50_000, words: asked };
  const start = process.cpuUsage();
  assert.equal(find(patients, history), undefined);
  const { user } = process.cpuUsage(start);
  console.log(`  searched 10,000 sets in ${Math.round(user / 1000)} ms of processor time`);
  assert.ok(user < 700_000, `took ${user} microseconds of processor time`);
});
