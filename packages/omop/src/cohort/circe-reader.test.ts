import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { DuckDBInstance } from '@duckdb/node-api';
import { AppError } from '@lantern/contract';
import { cdmTableStatements } from '../cdm/cdm-schema.ts';
import { readCirce, readCirceValue } from './circe-reader.ts';
import { cohortRunSql, cohortSql, planCohort } from './cohort-plan.ts';

const PHENOTYPES = path.join(
  process.env['LANTERN_DATA_DIR'] ?? path.resolve(import.meta.dirname, '../../../../../shared/data'),
  'omop-cohorts/phenotypes',
);

const SOUND = {
  ConceptSets: [{ id: 0, name: 'any', expression: { items: [{ concept: { CONCEPT_ID: 1 } }] } }],
  PrimaryCriteria: {
    CriteriaList: [{ ConditionOccurrence: { CodesetId: 0 } }],
    ObservationWindow: { PriorDays: 0, PostDays: 0 },
    PrimaryCriteriaLimit: { Type: 'All' },
  },
};

type Change = Readonly<Record<string, unknown>>;

function withCriterion(...criteria: readonly Change[]): unknown {
  return { ...SOUND, PrimaryCriteria: { ...SOUND.PrimaryCriteria, CriteriaList: criteria } };
}

function refusalOf(value: unknown): string {
  try {
    planCohort(readCirceValue(value));
  } catch (caught) {
    assert.ok(caught instanceof AppError && caught.code === 'input.invalid', String(caught));
    return caught.message;
  }
  return 'nothing was refused';
}

describe('a definition', () => {
  it('that is sound is read and planned', () => {
    assert.match(
      cohortSql(planCohort(readCirceValue(SOUND)), { dialect: 'postgres', schema: 'cdm' }),
      /"cdm"\."condition_occurrence"/,
    );
  });

  const refused: Readonly<Record<string, readonly [unknown, RegExp]>> = {
    'with a field that nobody knows': [{ ...SOUND, Surprise: 1 }, /^Surprise: is not known here/],
    'with an attribute that nobody knows': [
      withCriterion({ ConditionOccurrence: { CodesetId: 0, Severity: [] } }),
      /^PrimaryCriteria\.CriteriaList\[0\]\.ConditionOccurrence\.Severity: is not known/,
    ],
    'with a kind of event that nobody knows': [
      withCriterion({ Thought: {} }),
      /CriteriaList\[0\]\.Thought: is no kind of event/,
    ],
    'with a table that the CDM has not': [
      withCriterion({ LocationRegion: {} }),
      /LocationRegion: OMOP CDM 5\.4 keeps no history/,
    ],
    'with two kinds of event in one': [withCriterion({ Death: {}, Specimen: {} }), /must name one kind of event/],
    'with a concept set that is not there': [
      withCriterion({ ConditionOccurrence: { CodesetId: 7 } }),
      /there is no concept set 7/,
    ],
    'with a comparison that is none': [
      withCriterion({ ConditionOccurrence: { Age: { Value: 18, Op: 'about' } } }),
      /Age\.Op: is not known here; it may be LT/,
    ],
    'with a day that is none': [
      withCriterion({ Death: { OccurrenceStartDate: { Value: '2001-02-30', Op: 'gt' } } }),
      /OccurrenceStartDate\.Value: must be a day/,
    ],
    'that ends after hours': [
      { ...SOUND, EndStrategy: { DateOffset: { DateField: 'StartDate', Offset: 1, OffsetUnit: 'hour' } } },
      /OffsetUnit: only days/,
    ],
    'that begins with nothing': [withCriterion(), /CriteriaList: names no event/],
    'with windows in hours': [
      {
        ...SOUND,
        AdditionalCriteria: {
          Type: 'ALL',
          CriteriaList: [
            {
              Criteria: { Death: {} },
              StartWindow: { Start: { Days: 1, Coeff: -1, TimeUnit: 'hour' }, End: { Days: 1, Coeff: 1 } },
              Occurrence: { Type: 2, Count: 1 },
            },
          ],
        },
      },
      /TimeUnit: only days/,
    ],
  };
  for (const [what, [value, message]] of Object.entries(refused)) {
    it(`${what} is refused by name`, () => assert.match(refusalOf(value), message));
  }

  it('that is no JSON is refused without being repeated', () => {
    assert.throws(
      () => readCirce('{"Agnes":'),
      (error) => error instanceof AppError && !error.message.includes('Agnes'),
    );
  });

  it('keeps texts as texts, whatever they hold', async () => {
    const text = `100%' OR '1'='1`;
    const plan = planCohort(
      readCirceValue(withCriterion({ Observation: { ValueAsString: { Text: text, Op: 'contains' } } })),
    );
    const connection = await emptyDatabase();
    const sql = cohortSql(plan, { dialect: 'duckdb' });
    assert.ok(sql.includes(`LIKE '%100!%'' OR ''1''=''1%' ESCAPE '!'`));
    assert.equal((await connection.runAndReadAll(sql)).getRows().length, 0);
    connection.closeSync();
  });
});

async function emptyDatabase() {
  const connection = await (await DuckDBInstance.create(':memory:')).connect();
  for (const statement of cdmTableStatements()) await connection.run(statement);
  return connection;
}

describe('the phenotypes of the OHDSI library', () => {
  it('are all read, planned and run', async (t) => {
    if (!existsSync(PHENOTYPES)) return t.skip('the phenotypes are not at hand (LANTERN_DATA_DIR names their folder)');
    const connection = await emptyDatabase();
    const files = readdirSync(PHENOTYPES);
    for (const file of files) {
      const plan = planCohort(readCirce(readFileSync(path.join(PHENOTYPES, file), 'utf8')));
      for (const print of [cohortSql, cohortRunSql]) {
        await connection.run(print(plan, { dialect: 'duckdb' }));
      }
    }
    assert.equal(files.length, 60);
    connection.closeSync();
  });
});
