import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DisclosureFindingSchema, matches, RUN_STATISTICS_POLICY_DEFAULT } from '@lantern/contract';
import { checkEvaluation, checkRunStatistics, type RunFacts } from './run-statistics.ts';

const policy = RUN_STATISTICS_POLICY_DEFAULT;
const enough: RunFacts = {
  patientCount: 43,
  parameterCount: 14,
  categories: [{ subject: 'restecg=1', patientCount: 10 }],
  labelStrata: [
    { subject: 'disease: yes', patientCount: 33 },
    { subject: 'disease: no', patientCount: 10 },
  ],
};

test('statistics pass when every rule is just kept', () => {
  assert.deepEqual(checkRunStatistics(enough, policy), { kind: 'released' });
  const ofTen = { ...enough, patientCount: 10, parameterCount: 3, labelStrata: [{ subject: 'all', patientCount: 10 }] };
  assert.deepEqual(checkRunStatistics(ofTen, policy), { kind: 'released' });
  const third = { ...enough, patientCount: 100, parameterCount: 33 };
  assert.deepEqual(checkRunStatistics(third, policy), { kind: 'released' });
});

test('each rule refuses one below its limit and names itself, the schema word and the limit', () => {
  const broken: [Partial<RunFacts>, string, string, number][] = [
    [{ patientCount: 9, parameterCount: 2 }, 'patient-count', 'rows', 10],
    [{ patientCount: 42 }, 'parameter-row-ratio', 'rows', 0.33],
    [{ categories: [{ subject: 'restecg=1', patientCount: 9 }] }, 'category-patient-count', 'restecg=1', 10],
    [{ labelStrata: [{ subject: 'disease: no', patientCount: 9 }] }, 'label-stratum', 'disease: no', 10],
  ];
  for (const [change, rule, subject, limit] of broken) {
    const verdict = checkRunStatistics({ ...enough, ...change }, policy);
    assert.equal(verdict.kind, 'refused');
    if (verdict.kind !== 'refused') return;
    assert.deepEqual(
      verdict.findings.map((finding) => [finding.rule, finding.subject, finding.limit]),
      [[rule, subject, limit]],
    );
    assert.ok(verdict.findings.every((finding) => matches(DisclosureFindingSchema, finding)));
  }
});

test('the refusal is the same, byte for byte, whatever the small number is', () => {
  const refusals = [0, 1, 5, 9].map((patientCount) =>
    JSON.stringify(checkRunStatistics({ ...enough, categories: [{ subject: 'cp=1', patientCount }] }, policy)),
  );
  assert.equal(new Set(refusals).size, 1);
});

test('a combination of two columns that few patients hold is one finding for its table, and zero looks like nine', () => {
  const of = (patientCount: number, change: Partial<RunFacts> = {}) =>
    checkRunStatistics(
      {
        ...enough,
        pairs: [
          { columns: ['cp', 'restecg'], patientCount },
          { columns: ['cp', 'disease'], patientCount: 10 },
        ],
        ...change,
      },
      policy,
    );
  assert.equal(of(10).kind, 'released');
  const refused = of(9);
  assert.ok(refused.kind === 'refused');
  assert.deepEqual(
    refused.findings.map(({ rule, subject, limit }) => [rule, subject, limit]),
    [['category-patient-count', 'cp with restecg', 10]],
  );
  assert.deepEqual(of(0), refused);
  assert.equal(
    checkRunStatistics(
      { ...enough, pairs: [{ columns: ['a', 'b'], patientCount: 0 }] },
      { ...policy, categoryPatientCountMin: 0 },
    ).kind,
    'released',
  );
  const implied = of(3, { categories: [{ subject: 'restecg=1', patientCount: 9 }] });
  assert.deepEqual(implied.kind === 'refused' && implied.findings.map(({ subject }) => subject), ['restecg=1']);
});

test('columns too many to be looked at in pairs are refused, unless the rule is off', () => {
  const wide: RunFacts = { ...enough, pairs: 'too-many' };
  assert.equal(checkRunStatistics(wide, policy).kind, 'refused');
  assert.equal(checkRunStatistics(wide, { ...policy, categoryPatientCountMin: 0 }).kind, 'released');
});

test('30 rows for 14 parameters are refused by default and pass under a decision that relaxes the ratio', () => {
  const facts = { ...enough, patientCount: 30 };
  assert.equal(checkRunStatistics(facts, policy).kind, 'refused');
  assert.equal(checkRunStatistics(facts, { ...policy, parameterRowRatioMax: 0.5 }).kind, 'released');
});

test('an evaluation with a small class withholds every metric by class, with too few patients everything', () => {
  const strata = (positives: number, negatives: number) => ({
    patientCount: positives + negatives,
    labelStrata: [
      { subject: 'disease: yes', patientCount: positives },
      { subject: 'disease: no', patientCount: negatives },
    ],
  });
  const whole = checkEvaluation(strata(10, 10), policy);
  assert.deepEqual(whole, { kind: 'released', withheld: [], findings: [] });
  const part = checkEvaluation(strata(15, 9), policy);
  assert.equal(part.kind, 'released');
  if (part.kind === 'released') {
    assert.deepEqual(part.withheld.toSorted(), [
      'accuracy',
      'auc',
      'aucErrorMax',
      'calibrationError',
      'precision',
      'recall',
    ]);
    assert.deepEqual(
      part.findings.map(({ subject }) => subject),
      ['disease: no'],
    );
  }
  assert.equal(checkEvaluation(strata(10, 0), policy).kind, 'released');
  assert.equal(checkEvaluation(strata(9, 0), policy).kind, 'refused');
});
