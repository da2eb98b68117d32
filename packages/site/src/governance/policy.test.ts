import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { COUNT_POLICY_DEFAULT, EGRESS_KINDS, type RoundTask, type Step } from '@lantern/contract';
import { bundleDigest } from '@lantern/runner';
import { documentDigest, newId } from '@lantern/service';
import { approvalOf, conditionsOf, MOMENTS, projectSpec, REGRESSION, roundTask } from '../../test/documents.ts';
import {
  allowsFreeText,
  allowsQuestion,
  allowsRound,
  egressOfAnswer,
  type Standing,
  type VerifiedStanding,
} from './policy.ts';

const ids = { siteId: newId('SiteId'), projectId: newId('ProjectId') };
const spec = projectSpec(ids.siteId, { expiresAt: '2026-06-01T00:00:00.000Z' });
const now = new Date('2026-03-01T10:00:00.000Z');

function standing(change: Partial<VerifiedStanding> = {}): VerifiedStanding {
  return { state: 'approved', spec, projectDigest: documentDigest(spec), decision: approvalOf(spec, ids), ...change };
}

function ask(
  task: Partial<RoundTask> & { step: Step; round: number },
  known: Standing | undefined = standing(),
  at = now,
) {
  const asked = roundTask(spec, ids, task);
  return allowsRound(known, { task: asked, manifestDigest: bundleDigest(asked.manifest), now: at });
}

const newton = { step: { kind: 'newton', theta: [0, 0, 0, 0] }, round: 1 } as const;
const theta = [0, 0, 0, 0];

describe('whether a round of a run may be performed', () => {
  it('is allowed under a valid approval, with the conditions that were signed', () => {
    const known = standing();
    const permission = ask({ ...newton, step: { kind: 'newton', theta } }, known);
    assert.ok(permission.allowed);
    assert.deepEqual(permission.conditions, conditionsOf(spec));
    assert.equal(permission.decisionDigest, known.decision?.digest);
    assert.equal(permission.algorithm.name, 'regression');
  });

  const withConditions = (change: Parameters<typeof conditionsOf>[1]) =>
    standing({ decision: approvalOf(spec, ids, { conditions: conditionsOf(spec, change) }) });
  const noDecision = (): Standing => ({ state: 'approved', spec, projectDigest: documentDigest(spec) });
  const cases: [string, () => ReturnType<typeof ask>, 'policy.not-approved' | 'policy.refused', RegExp][] = [
    [
      'the site has not been asked',
      () =>
        allowsRound(undefined, {
          task: roundTask(spec, ids, { ...newton, step: { kind: 'newton', theta } }),
          manifestDigest: REGRESSION.bundleDigest,
          now,
        }),
      'policy.not-approved',
      /not been asked/,
    ],
    [
      'nobody has decided yet',
      () => ask({ step: { kind: 'prepare' }, round: 0 }, standing({ state: 'asked' })),
      'policy.not-approved',
      /not decided/,
    ],
    [
      'the site refused',
      () => ask({ step: { kind: 'prepare' }, round: 0 }, standing({ state: 'refused' })),
      'policy.not-approved',
      /refused/,
    ],
    [
      'the approval was withdrawn',
      () => ask({ step: { kind: 'prepare' }, round: 0 }, standing({ state: 'withdrawn' })),
      'policy.not-approved',
      /withdrew/,
    ],
    [
      'the approval has expired',
      () => ask({ step: { kind: 'prepare' }, round: 0 }, standing({ state: 'expired' })),
      'policy.not-approved',
      /expired/,
    ],
    [
      'the project has ended',
      () => ask({ step: { kind: 'prepare' }, round: 0 }, standing({ state: 'lapsed' })),
      'policy.not-approved',
      /ended/,
    ],
    [
      'the state says approved but no document does',
      () => ask({ step: { kind: 'prepare' }, round: 0 }, noDecision()),
      'policy.not-approved',
      /no signed approval/,
    ],
    [
      'the newest document is a withdrawal',
      () =>
        ask(
          { step: { kind: 'prepare' }, round: 0 },
          standing({ decision: approvalOf(spec, ids, { verdict: 'withdrawn' }) }),
        ),
      'policy.not-approved',
      /no signed approval/,
    ],
    [
      'the approval ends at this very instant, before any sweep',
      () => ask({ step: { kind: 'prepare' }, round: 0 }, standing(), new Date(spec.expiresAt)),
      'policy.not-approved',
      /expired/,
    ],
    [
      'the approval names no end',
      () => {
        const { expiresAt: _, ...document } = approvalOf(spec, ids).document;
        return ask(
          { step: { kind: 'prepare' }, round: 0 },
          standing({ decision: { document, digest: documentDigest(document) } }),
        );
      },
      'policy.not-approved',
      /expired/,
    ],
    [
      'the approval is of another version of the project',
      () =>
        ask(
          { step: { kind: 'prepare' }, round: 0 },
          standing({ decision: approvalOf(spec, ids, { projectDigest: documentDigest('other') }) }),
        ),
      'policy.refused',
      /another version/,
    ],
    [
      'the run is of another version of the project',
      () => ask({ step: { kind: 'prepare' }, round: 0, projectDigest: documentDigest('other') }),
      'policy.refused',
      /another version/,
    ],
    [
      'the project has no such algorithm',
      () => ask({ step: { kind: 'prepare' }, round: 0, algorithm: 'unheard-of' }),
      'policy.refused',
      /no algorithm/,
    ],
    [
      'the task names the bundle of another algorithm',
      () =>
        ask({ step: { kind: 'prepare' }, round: 0, bundleDigest: MOMENTS.bundleDigest, manifest: MOMENTS.manifest }),
      'policy.refused',
      /bundle/,
    ],
    [
      'the manifest is not the one that the digest names',
      () => ask({ step: { kind: 'prepare' }, round: 0, manifest: MOMENTS.manifest }),
      'policy.refused',
      /bundle/,
    ],
    [
      'the decision leaves this bundle out',
      () => ask({ step: { kind: 'prepare' }, round: 0 }, withConditions({ bundleDigests: [MOMENTS.bundleDigest] })),
      'policy.refused',
      /does not allow the bundle/,
    ],
    [
      'the decision leaves this dataset out',
      () => ask({ step: { kind: 'prepare' }, round: 0 }, withConditions({ datasets: ['another'] })),
      'policy.refused',
      /dataset "clinic"/,
    ],
    [
      'more rounds are asked than the project allows',
      () => ask({ step: { kind: 'newton', theta }, round: 6 }),
      'policy.refused',
      /at most 5 rounds/,
    ],
  ];
  for (const [reason, refusal, code, message] of cases) {
    it(`is refused when ${reason}`, () => {
      const outcome = refusal();
      assert.ok(!outcome.allowed);
      assert.equal(outcome.code, code);
      assert.match(outcome.message, message);
    });
  }

  const steps: [Step, (typeof EGRESS_KINDS)[number]][] = [
    [{ kind: 'prepare' }, 'cohort-size'],
    [{ kind: 'standardise' }, 'moments'],
    [{ kind: 'newton', theta }, 'newton-statistics'],
    [{ kind: 'evaluate', theta }, 'evaluation'],
  ];
  for (const [step, kind] of steps) {
    it(`needs "${kind}" to be allowed for the step ${step.kind}, and nothing else`, () => {
      const others = EGRESS_KINDS.filter((other) => other !== kind);
      const without = ask({ step, round: 1 }, withConditions({ egress: others }));
      assert.ok(!without.allowed && without.message.includes(`"${kind}"`));
      assert.ok(ask({ step, round: 1 }, withConditions({ egress: [kind] })).allowed);
    });
  }

  it('does not count the standardise round as a training round', () => {
    const pooled = { kind: 'pooled', values: { mean: [0, 0, 0], stdDev: [1, 1, 1] } } as const;
    const standardisation = { ...pooled, values: { mean: [...pooled.values.mean], stdDev: [...pooled.values.stdDev] } };
    assert.ok(ask({ step: { kind: 'newton', theta }, round: 6, standardisation }).allowed);
    assert.ok(!ask({ step: { kind: 'newton', theta }, round: 7, standardisation }).allowed);
    assert.ok(ask({ step: { kind: 'evaluate', theta }, round: 7, standardisation }).allowed);
  });
});

describe('whether a dataset may be counted', () => {
  const question = { dataset: 'clinic', now };
  const open = { ...question, feasibility: 'any-project' as const };
  const closed = { ...question, feasibility: 'approved-projects' as const };

  it('is allowed for an unknown or undecided project where the hospital opened the dataset, under the default rules', () => {
    for (const known of [undefined, standing({ state: 'asked' })]) {
      const permission = allowsQuestion(known, open);
      assert.deepEqual(permission, { allowed: true, counts: COUNT_POLICY_DEFAULT });
    }
  });

  it('is refused for an unknown or undecided project where it did not', () => {
    for (const known of [undefined, standing({ state: 'asked' })]) assert.ok(!allowsQuestion(known, closed).allowed);
  });

  it('is refused after a no, a withdrawal or an end, even where the dataset is open to any project', () => {
    for (const state of ['refused', 'withdrawn', 'expired', 'lapsed'] as const) {
      const outcome = allowsQuestion(standing({ state }), open);
      assert.ok(!outcome.allowed && outcome.code === 'policy.not-approved', state);
    }
  });

  it('is refused when the stored decision is not the signed one, even where the dataset is open to any project', () => {
    const outcome = allowsQuestion({ state: 'rejected', message: 'Its state is another.' }, open);
    assert.ok(!outcome.allowed && outcome.code === 'envelope.rejected');
    assert.match(outcome.message, /Its state is another\./);
  });

  it('follows the signed rules once the project is approved', () => {
    const counts = { ...COUNT_POLICY_DEFAULT, patientCountMin: 25 };
    const decision = approvalOf(spec, ids, { conditions: conditionsOf(spec, { counts }) });
    assert.deepEqual(allowsQuestion(standing({ decision }), open), {
      allowed: true,
      counts,
      decisionDigest: decision.digest,
    });
  });

  it('is refused when the approval leaves out counts or the dataset', () => {
    const narrowed = (change: Parameters<typeof conditionsOf>[1]): Standing =>
      standing({ decision: approvalOf(spec, ids, { conditions: conditionsOf(spec, change) }) });
    assert.ok(!allowsQuestion(narrowed({ egress: ['moments'] }), open).allowed);
    assert.ok(!allowsQuestion(narrowed({ datasets: ['another'] }), open).allowed);
  });
});

describe('whether a project may have notes', () => {
  const allowed = (change: Parameters<typeof conditionsOf>[1]) =>
    allowsFreeText(standing({ decision: approvalOf(spec, ids, { conditions: conditionsOf(spec, change) }) }), now);

  it('is allowed by a signed approval that says so, and by no other', () => {
    assert.ok(allowed({ freeText: 'deidentified' }).allowed);
    for (const change of [{}, { freeText: 'none' as const }]) {
      const outcome = allowed(change);
      assert.ok(!outcome.allowed && outcome.code === 'policy.refused' && /free text/.test(outcome.message));
    }
  });

  it('is refused without an approval that stands', () => {
    const decision = approvalOf(spec, ids, { conditions: conditionsOf(spec, { freeText: 'deidentified' }) });
    for (const state of ['asked', 'refused', 'withdrawn', 'expired', 'lapsed'] as const) {
      const outcome = allowsFreeText(standing({ state, decision }), now);
      assert.ok(!outcome.allowed && outcome.code === 'policy.not-approved', state);
    }
    assert.ok(!allowsFreeText(standing({ decision }), new Date(spec.expiresAt)).allowed);
    assert.ok(!allowsFreeText(undefined, now).allowed);
  });
});

describe('the kinds of answers', () => {
  it('let a refusal and a failure leave without any approval, and nothing else', () => {
    const kinds = [
      'count',
      'summary',
      'prepared',
      'moments',
      'newton',
      'update',
      'evaluation',
      'refused',
      'failed',
    ] as const;
    const free = kinds.filter((kind) => egressOfAnswer(kind) === undefined);
    assert.deepEqual(free, ['refused', 'failed']);
  });
});
