import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { AnswerBody, ReleasedCount } from '@lantern/contract';
import { sumsOf } from './sums.ts';

const released = (value: number): ReleasedCount => ({ kind: 'released', value });
const HIDDEN: ReleasedCount = { kind: 'suppressed' };
const REFUSED: AnswerBody = { kind: 'refused', code: 'policy.refused', message: 'no', findings: [] };

function cohort(total: ReleasedCount, step: ReleasedCount, cells: Record<string, ReleasedCount>): AnswerBody {
  return {
    kind: 'cohort',
    total,
    attrition: [{ rule: 'has it', count: step }],
    tables: [
      {
        column: 'top-drugs',
        cells: Object.entries(cells).map(([label, count]) => ({ label, count, meaning: `drug ${label}` })),
        total,
      },
    ],
    questionsLeft: 3,
  };
}

describe('the sum over sites', () => {
  it('adds what was released and says how many sites withheld their number', () => {
    const sums = sumsOf([
      cohort(released(120), released(200), { 7: released(40), 9: released(30) }),
      cohort(released(70), HIDDEN, { 7: released(20) }),
      cohort(HIDDEN, HIDDEN, {}),
      REFUSED,
      undefined,
    ]);
    assert.deepEqual([sums?.answeredSites, sums?.otherSites], [3, 2]);
    assert.deepEqual(sums?.total, { value: 190, releasedSites: 2, withheldSites: 1 });
    assert.deepEqual(sums?.attrition, [{ rule: 'has it', sum: { value: 200, releasedSites: 1, withheldSites: 2 } }]);
    assert.deepEqual(sums?.tables, [
      {
        column: 'top-drugs',
        cells: [
          { label: '7', meaning: 'drug 7', sum: { value: 60, releasedSites: 2, withheldSites: 1 } },
          { label: '9', meaning: 'drug 9', sum: { value: 30, releasedSites: 1, withheldSites: 2 } },
        ],
      },
    ]);
  });

  it('of concepts counts a site that does not name one as one that withheld it', () => {
    const concepts = (values: Record<string, number>): AnswerBody => ({
      kind: 'concepts',
      concepts: Object.entries(values).map(([conceptId, value]) => ({ conceptId, count: released(value) })),
      questionsLeft: 1,
    });
    const sums = sumsOf([concepts({ 3: 50 }), concepts({ 3: 20, 5: 30 })]);
    assert.equal(sums?.total, undefined);
    assert.deepEqual(sums?.tables[0]?.cells, [
      { label: '3', sum: { value: 70, releasedSites: 2, withheldSites: 0 } },
      { label: '5', sum: { value: 30, releasedSites: 1, withheldSites: 1 } },
    ]);
  });

  it('is none where nobody answered, and of questions about tables', () => {
    assert.equal(sumsOf([REFUSED, undefined]), undefined);
    assert.equal(sumsOf([{ kind: 'count', count: released(50), questionsLeft: 1 }]), undefined);
  });
});
