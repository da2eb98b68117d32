import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  COUNT_POLICY_DEFAULT,
  type CountPolicy,
  matches,
  type ReleasedCount,
  type ReleasedTable,
  ReleasedTableSchema,
} from '@lantern/contract';
import fc from 'fast-check';
import { keyedHashOf, range } from '../../test/keyed-hash.ts';
import { answerCount, answerSummary, type CountGate } from './gate.ts';
import { patientSet } from './patient-set.ts';
import { suppressSecond } from './table-release.ts';

const SEED = 4_242;
const SUPPRESSED: ReleasedCount = { kind: 'suppressed' };

/** A site with one dataset: keeps what the gate says must be kept. */
function openSite(secret: string, change: Partial<CountPolicy> = {}) {
  const policy = { ...COUNT_POLICY_DEFAULT, questionsMax: 10_000, ...change };
  const history: CountGate['history'][number][] = [];
  const charged = new Map<string, number>();
  const gate = (): CountGate => ({
    policy,
    keyedHash: keyedHashOf(secret),
    history,
    budget: { granted: 0, charged, shared: undefined },
  });
  const keep = (answer: ReturnType<typeof answerCount> | ReturnType<typeof answerSummary>) => {
    if (answer.kind === 'budget-spent') return;
    history.push(...answer.keep.answered);
    if (answer.keep.charge !== undefined) charged.set(answer.keep.charge.key, answer.keep.charge.cost);
  };
  let questions = 0;
  const price = (cost: number) => {
    questions += 1;
    return { key: `question ${questions}`, cost };
  };
  return {
    policy,
    history,
    count(patients: Iterable<number>, key?: string) {
      const answer = answerCount(gate(), {
        price: key === undefined ? price(1) : { key, cost: 1 },
        patients: patientSet(patients),
      });
      keep(answer);
      return answer;
    },
    summary(total: Iterable<number>, cells: readonly (readonly number[])[]) {
      const table = {
        column: 'c',
        cells: cells.map((cell, index) => ({ label: `${index}`, patients: patientSet(cell) })),
      };
      const answer = answerSummary(gate(), { price: price(2), total: patientSet(total), tables: [table] });
      keep(answer);
      return answer;
    },
  };
}

function countOf(answer: ReturnType<typeof answerCount>): ReleasedCount {
  assert.equal(answer.kind, 'count');
  return answer.kind === 'count' ? answer.count : SUPPRESSED;
}

test('a site refuses a count below its threshold, and zero looks the same as small in every byte', () => {
  const sizes = range(0, 10);
  for (const secret of ['a', 'b', 'c', 'd']) {
    const answers = sizes.map((size) => JSON.stringify(openSite(secret).count(range(50, 50 + size))));
    const kept = answers.map((answer) => answer.replace(/,"keep".*/, ''));
    assert.equal(new Set(kept).size, 1);
    assert.match(answers[0] ?? '', /"count":\{"kind":"suppressed"\}/);
  }
});

test('nobody and nine patients take the same way through the gate: the same keyed hashes, where nothing near was asked before', () => {
  const { policy, history, count } = openSite('steps');
  for (const first of [200, 400, 600]) count(range(first, first + 150)); // an earlier set of under 46 patients may cost one more
  const hash = keyedHashOf('steps');
  const purposesFor = (patients: number[]) => {
    const purposes: string[] = [];
    const keyedHash: CountGate['keyedHash'] = (purpose, message) => {
      purposes.push(purpose);
      return hash(purpose, message);
    };
    const budget = { granted: 0, charged: new Map<string, number>(), shared: undefined };
    const gate = { policy, history, budget, keyedHash };
    const answer = answerCount(gate, { price: { key: 'q', cost: 1 }, patients: patientSet(patients) });
    assert.deepEqual(countOf(answer), SUPPRESSED);
    return purposes;
  };
  assert.deepEqual(purposesFor(range(50, 59)), purposesFor([]));
  assert.deepEqual(purposesFor([]), ['set', 'count:6']);
});

test('a site may raise its threshold but no setting lowers it below ten', () => {
  assert.deepEqual(countOf(openSite('a', { patientCountMin: 500, noiseStdDev: 0 }).count(range(0, 499))), SUPPRESSED);
  assert.equal(countOf(openSite('a', { patientCountMin: 500, noiseStdDev: 0 }).count(range(0, 500))).kind, 'released');
  assert.deepEqual(countOf(openSite('a', { patientCountMin: 1, noiseStdDev: 0 }).count(range(0, 9))), SUPPRESSED);
});

test('a count at the threshold is nearly never shown, one far above nearly always, near its true size', () => {
  const shown = (size: number) =>
    range(0, 400).flatMap((secret) => {
      const count = countOf(openSite(`${secret}`).count(range(0, size)));
      return count.kind === 'released' ? [count.value] : [];
    });
  assert.ok(shown(10).length <= 10); // 0.7 % of 400 expected
  const large = shown(300);
  assert.equal(large.length, 400);
  const mean = large.reduce((sum, value) => sum + value, 0) / large.length;
  assert.ok(Math.abs(mean - 300) < 2);
  assert.ok(new Set(large).size >= 4);
  assert.ok(large.every((value) => Math.abs(value - 300) <= 40));
});

test('one set has one answer, however often and in whatever words it is asked', () => {
  const site = openSite('words');
  const set = range(20, 260);
  const first = countOf(site.count(set));
  for (const wording of [set.toReversed(), [...set, ...set], range(20, 260)]) {
    site.count(range(1000, 1200));
    assert.deepEqual(countOf(site.count(wording)), first);
  }
});

test('a spent budget answers nothing, and the same question stays free', () => {
  const site = openSite('budget', { questionsMax: 2 });
  const first = site.count(range(0, 200), 'a');
  site.count(range(0, 200), 'b');
  assert.deepEqual(site.count(range(500, 900), 'c'), { kind: 'budget-spent', questionsLeft: 0 });
  const again = site.count(range(0, 200), 'a');
  assert.deepEqual(countOf(again), countOf(first));
});

test('a set that is asked with and without one patient has one answer, in either order, at every size', () => {
  let differing = 0;
  for (const size of range(26, 126)) {
    const site = openSite(`pair ${size}`);
    const first = countOf(site.count(range(0, size)));
    if (JSON.stringify(countOf(site.count(range(1, size)))) !== JSON.stringify(first)) differing += 1;
    if (JSON.stringify(countOf(site.count(range(0, size + 1)))) !== JSON.stringify(first)) differing += 1;
  }
  assert.equal(differing, 0);
});

test('when one cell alone is suppressed the smallest shown cell is hidden with it', () => {
  const released = (value: number): ReleasedCount => ({ kind: 'released', value });
  assert.deepEqual(suppressSecond([released(70), SUPPRESSED, released(30), released(30)]), [
    released(70),
    SUPPRESSED,
    SUPPRESSED,
    released(30),
  ]);
  const two = [SUPPRESSED, released(40), SUPPRESSED];
  assert.deepEqual(suppressSecond(two), two);
  assert.deepEqual(suppressSecond([released(40), released(50)]), [released(40), released(50)]);
});

test('when the whole is suppressed its cells are too', () => {
  const site = openSite('whole', { noiseStdDev: 0, patientCountMin: 100 });
  const answer = site.summary(range(0, 99), [range(0, 99), []]);
  assert.equal(answer.kind, 'summary');
  if (answer.kind !== 'summary') return;
  assert.deepEqual(answer.total, SUPPRESSED);
  assert.ok(answer.tables.every((table) => table.cells.every((cell) => cell.count.kind === 'suppressed')));
});

/** The rules every released table keeps, whatever the data. */
function assertTable(table: ReleasedTable, cellSizes: readonly number[], policy: CountPolicy): void {
  assert.ok(matches(ReleasedTableSchema, table));
  let sum = 0;
  let hidden = 0;
  for (const [index, { count }] of table.cells.entries()) {
    if (count.kind === 'suppressed') {
      hidden += 1;
      continue;
    }
    assert.ok((cellSizes[index] ?? 0) >= policy.patientCountMin);
    assert.ok(count.value >= policy.patientCountMin && count.value % policy.rounding === 0);
    sum += count.value;
  }
  // The margin is the shown cells and nothing else: subtracting them leaves 0, and never a single hidden cell to be guessed.
  assert.notEqual(hidden === 1 && table.cells.length > 1, true);
  assert.deepEqual(table.total, hidden === table.cells.length ? SUPPRESSED : { kind: 'released', value: sum });
}

test('no table shows a cell below the threshold, an unrounded number, or a margin that gives a hidden cell back', () => {
  console.log(`property seed ${SEED}`);
  const sizes = fc.array(fc.oneof(fc.integer({ min: 0, max: 40 }), fc.integer({ min: 0, max: 400 })), {
    minLength: 2,
    maxLength: 6,
  });
  const policies = fc.record({
    patientCountMin: fc.constantFrom(10, 11, 25),
    rounding: fc.constantFrom(5, 10, 20),
    noiseStdDev: fc.constantFrom(0, 2, 6),
  });
  fc.assert(
    fc.property(sizes, policies, fc.nat(), (cellSizes, change, secret) => {
      const site = openSite(`${secret}`, change);
      const starts = cellSizes.map((_, index) => cellSizes.slice(0, index).reduce((sum, size) => sum + size, 0));
      const cells = cellSizes.map((size, index) => range(starts[index] ?? 0, (starts[index] ?? 0) + size));
      const answer = site.summary(cells.flat(), cells);
      assert.equal(answer.kind, 'summary');
      if (answer.kind !== 'summary') return;
      for (const table of answer.tables) assertTable(table, cellSizes, site.policy);
      if (cells.flat().length < site.policy.patientCountMin) assert.deepEqual(answer.total, SUPPRESSED);
    }),
    { seed: SEED, numRuns: 20_000 },
  );
});

test('in any sequence of questions a set below the threshold stays hidden and a set keeps its answer', () => {
  const question = fc.record({ start: fc.integer({ min: 0, max: 60 }), size: fc.integer({ min: 0, max: 80 }) });
  fc.assert(
    fc.property(fc.array(question, { minLength: 2, maxLength: 12 }), fc.nat(), (questions, secret) => {
      const site = openSite(`${secret}`);
      const given = new Map<string, string>();
      for (const { start, size } of [...questions, ...questions]) {
        const count = countOf(site.count(range(start, start + size)));
        if (size < 10) assert.deepEqual(count, SUPPRESSED);
        if (count.kind === 'released') assert.ok(count.value >= 10 && count.value % 10 === 0);
        const key = size === 0 ? 'nobody' : `${start} ${size}`;
        assert.equal(given.get(key) ?? JSON.stringify(count), JSON.stringify(count));
        given.set(key, JSON.stringify(count));
      }
    }),
    { seed: SEED, numRuns: 1_000 },
  );
});
