import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { AppError, type Characteristic } from '@lantern/contract';
import { readCirceValue } from '../cohort/circe-reader.ts';
import { planCohortQuestion } from './cohort-question.ts';

const RULE = { name: 'old', expression: { Type: 'ALL', DemographicCriteriaList: [{ Age: { Op: 'gt', Value: 60 } }] } };
const DEFINITION = {
  ConceptSets: [{ id: 0, name: 'any', expression: { items: [{ concept: { CONCEPT_ID: 1 } }] } }],
  PrimaryCriteria: { CriteriaList: [{ ConditionOccurrence: { CodesetId: 0 } }] },
};

function plan(describe: readonly Characteristic[], change: object = {}) {
  const definition = readCirceValue({ ...DEFINITION, ...change });
  return planCohortQuestion({ definition, describe, currentYear: 2026 });
}

const refusal = (message: RegExp) => (error: unknown) =>
  error instanceof AppError && error.code === 'input.invalid' && message.test(error.message);

describe('a question about a cohort', () => {
  it('costs one for the total and one for each rule, and what each table costs, whatever the records hold', () => {
    const measurement = { kind: 'measurement' as const, conceptId: '1', unitConceptId: '2', bounds: [1, 2, 3] };
    assert.equal(plan([]).cost, 1);
    assert.equal(plan([], { InclusionRules: [RULE, RULE] }).cost, 3);
    assert.equal(plan([{ kind: 'sex' }, { kind: 'age', bandYears: 5 }, measurement]).cost, 1 + 2 + 2 + 2);
    assert.equal(plan([{ kind: 'crossing', of: ['year', 'age'] }]).cost, 1 + 2);
    assert.equal(plan([{ kind: 'modality' }]).cost, 1 + 8);
    assert.equal(
      plan([{ kind: 'top-drugs', limit: 5 }]).cost,
      1 + 5 + 1,
      'those it names, and what it says of the others',
    );
  });

  it('has cells that depend on the question and on the year alone', () => {
    const [year, crossing] = plan([{ kind: 'year' }, { kind: 'crossing', of: ['sex', 'age'] }]).tables;
    assert.ok(year !== undefined && 'labels' in year && crossing !== undefined && 'labels' in crossing);
    assert.deepEqual([year.labels.length, year.labels[0], year.labels.at(-1)], [31, 'before 1997', '2026']);
    assert.deepEqual(crossing.labels.slice(5, 8), ['female, 100 or older', 'male, 0 to 19', 'male, 20 to 39']);
    assert.equal(plan([{ kind: 'sex' }]).year, undefined);
    assert.equal(plan([{ kind: 'crossing', of: ['sex', 'year'] }]).year, 2026);
  });

  it('says which tables it reads before anything runs', () => {
    const { needs } = plan([{ kind: 'modality' }, { kind: 'top-drugs', limit: 1 }]);
    assert.ok(needs.get('image_occurrence')?.has('modality_source_value'));
    assert.deepEqual([...(needs.get('drug_exposure') ?? [])].sort(), ['drug_concept_id', 'person_id']);
    assert.ok(!needs.has('measurement'));
  });

  it('is refused where days would lead beyond all dates, which would fail only where there is a patient', () => {
    const offset = (days: number) => ({ EndStrategy: { DateOffset: { DateField: 'StartDate', Offset: days } } });
    assert.equal(plan([], offset(100_000)).cost, 1);
    for (const days of [100_001, -100_001, 2 ** 31 - 1]) {
      assert.throws(() => plan([], offset(days)), refusal(/^end\.days: is more than 100000 days/));
    }
    const collapse = { CollapseSettings: { CollapseType: 'ERA', EraPad: 2 ** 30 } };
    assert.throws(() => plan([], collapse), refusal(/^eraPadDays/));
    const observed = { ...DEFINITION.PrimaryCriteria, ObservationWindow: { PriorDays: 2 ** 30, PostDays: 0 } };
    assert.throws(() => plan([], { PrimaryCriteria: observed }), refusal(/^primary\.priorDays/));
    const adjusted = {
      ConditionOccurrence: {
        CodesetId: 0,
        DateAdjustment: { StartWith: 'START_DATE', StartOffset: 2 ** 30, EndWith: 'START_DATE', EndOffset: 0 },
      },
    };
    assert.throws(() => plan([], { PrimaryCriteria: { CriteriaList: [adjusted] } }), refusal(/startOffsetDays/));
  });
});
