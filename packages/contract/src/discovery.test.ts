import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { assertCohort, CharacteristicSchema, CohortQuestionSchema, ConceptsQuestionSchema } from './discovery.ts';
import { AppError } from './errors.ts';
import { AnswerBodySchema } from './exchange.ts';
import { NewQuestionSchema } from './hub-api.ts';
import { matches, parse } from './parse.ts';

const COHORT = { dataset: 'records', cohort: { definition: { PrimaryCriteria: {} }, describe: [{ kind: 'sex' }] } };
const CONCEPTS = { dataset: 'records', concepts: { domain: 'drug', search: 'metformin', limit: 10 } };

const refusal = (message: RegExp) => (error: unknown) =>
  error instanceof AppError && error.code === 'input.invalid' && message.test(error.message);

describe('a question about records', () => {
  it('is a question to the sites beside those about tables, of one kind at a time', () => {
    assert.ok(matches(NewQuestionSchema, COHORT) && matches(NewQuestionSchema, CONCEPTS));
    assert.ok(matches(NewQuestionSchema, { dataset: 'heart', filter: { kind: 'all', of: [] } }));
    assert.ok(!matches(NewQuestionSchema, { ...COHORT, ...CONCEPTS }));
    assert.ok(!matches(NewQuestionSchema, { ...COHORT, filter: { kind: 'all', of: [] } }));
  });

  it('describes by at most twelve different characteristics', () => {
    const describes = (describe: unknown[]) =>
      matches(CohortQuestionSchema, { dataset: 'records', cohort: { definition: {}, describe } });
    const tops = Array.from({ length: 13 }, (_, index) => ({ kind: 'top-drugs', limit: index + 1 }));
    assert.ok(describes(tops.slice(0, 12)) && !describes(tops));
    assert.ok(!describes([{ kind: 'sex' }, { kind: 'sex' }]));
  });

  it('takes characteristics as they are declared, with ids of concepts as texts of 64 bits', () => {
    const right = [
      { kind: 'age', bandYears: 5 },
      { kind: 'crossing', of: ['sex', 'year'] },
      { kind: 'measurement', conceptId: '9007199254740993', unitConceptId: '0', bounds: [1, 2] },
    ];
    const wrong = [
      { kind: 'age', bandYears: 1 },
      { kind: 'crossing', of: ['sex', 'sex'] },
      { kind: 'crossing', of: ['sex', 'modality'] },
      { kind: 'top-conditions', limit: 21 },
      { kind: 'measurement', conceptId: 3004410, unitConceptId: '0', bounds: [1, 2] },
      { kind: 'measurement', conceptId: '007', unitConceptId: '0', bounds: [1, 2] },
      { kind: 'measurement', conceptId: '7', unitConceptId: '0', bounds: [1] },
      { kind: 'sex', of: 'everybody' },
    ];
    for (const one of right) assert.ok(matches(CharacteristicSchema, one), JSON.stringify(one));
    for (const one of wrong) assert.ok(!matches(CharacteristicSchema, one), JSON.stringify(one));
  });

  it('may not search by one letter, which would read the vocabulary for nothing', () => {
    const one = { dataset: 'records', concepts: { domain: 'drug', search: 'm', limit: 1 } };
    assert.throws(() => parse(ConceptsQuestionSchema, one, { what: 'Question' }), refusal(/\/concepts\/search/));
  });

  it('is refused where bounds do not rise or the definition is larger than 512 KiB of canonical JSON', () => {
    const measurement = (bounds: number[]) => ({
      definition: {},
      describe: [{ kind: 'measurement' as const, conceptId: '1', unitConceptId: '2', bounds }],
    });
    assertCohort(measurement([1, 2, 2.5]));
    assert.throws(() => assertCohort(measurement([1, 3, 3])), refusal(/describe\/0\/bounds: must rise/));
    const nul = { definition: { name: 'a\u0000' }, describe: [] };
    assert.throws(() => assertCohort(nul), refusal(/holds a NUL/));
    const filled = (length: number) => ({ definition: { text: 'é'.repeat(length) }, describe: [] });
    assertCohort(filled(262_138)); // 2 bytes each, and 11 around them
    assert.throws(() => assertCohort(filled(262_139)), refusal(/cohort\/definition: is larger than 524288 bytes/));
  });
});

describe('an answer about records', () => {
  it('names a concept by its id as text, with a released count or none', () => {
    const answer = (concept: object) => ({ kind: 'concepts', concepts: [concept], questionsLeft: 3 });
    assert.ok(matches(AnswerBodySchema, answer({ conceptId: '1503297', count: { kind: 'suppressed' } })));
    assert.ok(!matches(AnswerBodySchema, answer({ conceptId: 1503297, count: { kind: 'suppressed' } })));
    assert.ok(!matches(AnswerBodySchema, answer({ conceptId: '1', patients: [1, 2] })));
  });
});
