import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  AppError,
  COUNT_POLICY_DEFAULT,
  DecisionSchema,
  type NewDecision,
  parse,
  RUN_STATISTICS_POLICY_DEFAULT,
} from '@lantern/contract';
import { documentDigest, newId } from '@lantern/service';
import { MOMENTS, projectSpec, REGRESSION } from '../../test/documents.ts';
import { decisionDocument } from './decision-document.ts';

const siteId = newId('SiteId');
const spec = projectSpec(siteId, { egress: ['counts', 'moments'], expiresAt: '2026-06-01T00:00:00.000Z' });
const head = {
  decisionId: newId('DecisionId'),
  siteId,
  projectId: newId('ProjectId'),
  projectDigest: documentDigest(spec),
  decidedBy: 'grace',
  decidedAt: new Date('2026-03-01T08:00:00.000Z'),
  sequence: 3,
};
const versions = [{ dataset: 'clinic', version: REGRESSION.bundleDigest }];
const approve = (rest: Partial<NewDecision> = {}): NewDecision => ({
  verdict: 'approved',
  reason: 'Committee of 1 March.',
  ...rest,
});

function refusedField(typed: NewDecision): string | undefined {
  try {
    decisionDocument(typed, spec, { ...head, versions });
  } catch (caught) {
    assert.ok(caught instanceof AppError && caught.code === 'input.invalid');
    return caught.field;
  }
  return assert.fail('The decision was accepted.');
}

describe('an approval', () => {
  it('allows by default everything the project asked, under the default rules of the gate, to the end of the project', () => {
    const document = decisionDocument(approve(), spec, { ...head, versions });
    assert.deepEqual(parse(DecisionSchema, document, { what: 'decision' }), {
      ...{ schema: 'lantern.decision/1', verdict: 'approved', reason: 'Committee of 1 March.', ...head },
      decidedAt: '2026-03-01T08:00:00.000Z',
      expiresAt: '2026-06-01T00:00:00.000Z',
      conditions: {
        datasets: ['clinic'],
        bundleDigests: [REGRESSION.bundleDigest, MOMENTS.bundleDigest],
        egress: ['counts', 'moments'],
        counts: COUNT_POLICY_DEFAULT,
        runStatistics: RUN_STATISTICS_POLICY_DEFAULT,
        runCountMax: 100,
        freeText: 'none',
        versions,
      },
    });
  });

  it('allows notes only where the lead says so, and a refusal says nothing of them', () => {
    const document = decisionDocument(approve({ freeText: 'deidentified' }), spec, { ...head, versions });
    assert.equal(document.conditions?.freeText, 'deidentified');
    assert.equal(refusedField({ verdict: 'refused', reason: 'no', freeText: 'deidentified' }), '/freeText');
  });

  it('may allow less: fewer bundles, fewer kinds of message, a nearer end', () => {
    const less = {
      bundleDigests: [MOMENTS.bundleDigest],
      egress: ['moments' as const],
      expiresAt: '2026-04-01T00:00:00Z',
    };
    const document = decisionDocument(approve(less), spec, { ...head, versions });
    assert.deepEqual(document.conditions?.bundleDigests, [MOMENTS.bundleDigest]);
    assert.deepEqual(document.conditions?.egress, ['moments']);
    assert.equal(document.expiresAt, '2026-04-01T00:00:00.000Z');
  });

  it('never allows more than the project asked', () => {
    assert.equal(refusedField(approve({ egress: ['counts', 'weight-update'] })), '/egress');
    assert.equal(refusedField(approve({ bundleDigests: [documentDigest('another bundle')] })), '/bundleDigests');
    assert.equal(refusedField(approve({ expiresAt: '2026-06-01T00:00:01Z' })), '/expiresAt');
  });

  it('cannot end before it begins', () => {
    assert.equal(refusedField(approve({ expiresAt: '2026-03-01T08:00:00Z' })), '/expiresAt');
  });

  it('may make the rules for counts stricter and not laxer', () => {
    const strict = decisionDocument(approve({ counts: { patientCountMin: 25, questionsMax: 5 } }), spec, {
      ...head,
      versions,
    });
    assert.deepEqual(strict.conditions?.counts, { ...COUNT_POLICY_DEFAULT, patientCountMin: 25, questionsMax: 5 });
    assert.equal(refusedField(approve({ counts: { rounding: 5 } })), '/counts/rounding');
    assert.equal(refusedField(approve({ counts: { noiseStdDev: 0 } })), '/counts/noiseStdDev');
    assert.equal(refusedField(approve({ counts: { patientCountMin: 9 } })), '/counts/patientCountMin');
    const more = COUNT_POLICY_DEFAULT.questionsMax + 1;
    assert.equal(refusedField(approve({ counts: { questionsMax: more } })), '/counts/questionsMax');
  });

  it('may relax the rules for statistics of its own runs, in the open', () => {
    const document = decisionDocument(approve({ runStatistics: { parameterRowRatioMax: 0.5 } }), spec, {
      ...head,
      versions,
    });
    assert.deepEqual(document.conditions?.runStatistics, {
      ...RUN_STATISTICS_POLICY_DEFAULT,
      parameterRowRatioMax: 0.5,
    });
  });

  it('may allow fewer runs or more than usual', () => {
    assert.equal(decisionDocument(approve({ runCountMax: 3 }), spec, { ...head, versions }).conditions?.runCountMax, 3);
    assert.equal(refusedField({ verdict: 'refused', reason: 'No.', runCountMax: 3 }), '/runCountMax');
  });
});

describe('a refusal or withdrawal', () => {
  it('holds neither conditions nor an end', () => {
    for (const verdict of ['refused', 'withdrawn'] as const) {
      const document = decisionDocument({ verdict, reason: 'Not now.' }, spec, { ...head, versions });
      assert.equal('conditions' in document, false);
      assert.equal('expiresAt' in document, false);
    }
  });

  it('is not accepted with conditions', () => {
    assert.equal(refusedField({ verdict: 'refused', reason: 'No.', egress: [] }), '/egress');
    assert.equal(
      refusedField({ verdict: 'withdrawn', reason: 'No.', expiresAt: '2026-04-01T00:00:00Z' }),
      '/expiresAt',
    );
  });
});
