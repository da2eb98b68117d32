import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { decided, yieldsToPixelDecision } from './pixel-decision.ts';
import type { PixelJudgement } from './pixel-judgement.ts';

const REGION = { x: 1, y: 2, width: 3, height: 4 };
const RULE = { regions: [{ x: 0, y: 0, width: 9, height: 1 }], where: 'inside' } as const;
const CLEAN = { pixels: 'clean' } as const;
const masked: PixelJudgement = { kind: 'mask', masks: [RULE], rules: ['a machine'], suspect: ['burned-in-annotation'] };

describe("a person's word on the pixels", () => {
  it('lets pass what was held back for text that may be there', () => {
    const held: PixelJudgement = { kind: 'quarantine', reasons: ['secondary-capture', 'no-reader'] };
    assert.deepEqual(decided(held, { kind: 'no-burnt-in-text' }, CLEAN), { kind: 'pass' });
    assert.deepEqual(decided(held, { kind: 'regions', regions: [REGION] }, CLEAN), {
      kind: 'mask',
      masks: [{ regions: [REGION], where: 'inside' }],
      rules: ['regions stated by a person'],
      suspect: [],
    });
  });

  it('does not take back what a rule blacks out, unless the profile leaves pixels untouched', () => {
    const outcome = decided(masked, { kind: 'no-burnt-in-text' }, CLEAN);
    assert.deepEqual(outcome, { kind: 'mask', masks: [RULE], rules: ['a machine'], suspect: [] });
    assert.deepEqual(decided(masked, { kind: 'no-burnt-in-text' }, { pixels: 'untouched' }), { kind: 'pass' });
    const both = decided(masked, { kind: 'regions', regions: [REGION] }, CLEAN);
    assert.deepEqual(both.kind === 'mask' && both.masks, [RULE, { regions: [REGION], where: 'inside' }]);
  });

  it('says nothing of documents, likenesses, or an identifier in another value', () => {
    for (const reason of ['encapsulated-document', 'recognizable-person', 'identifier-in-binary', 'truncated']) {
      assert.equal(yieldsToPixelDecision([reason]), false, reason);
      assert.equal(yieldsToPixelDecision(['text-in-pixels', reason]), false, reason);
    }
    assert.equal(yieldsToPixelDecision([]), false);
    const document: PixelJudgement = { kind: 'quarantine', reasons: ['encapsulated-document'] };
    assert.deepEqual(decided(document, { kind: 'no-burnt-in-text' }, CLEAN), document);
  });
});
