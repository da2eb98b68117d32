import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { ENGINES, type EngineCdm, makeCdm } from '../../test/cdm-engines.ts';
import { openCdm } from '../cdm/cdm.ts';
import { checkQuality, type QualityReport } from './quality.ts';

/** A CDM of three patients that breaks each kind of check once or more, and otherwise keeps it. */
const ROWS = `
INSERT INTO concept (concept_id, concept_name, domain_id, vocabulary_id, concept_class_id, standard_concept, concept_code, valid_start_date, valid_end_date, invalid_reason) VALUES
  (0, 'No matching concept', 'Metadata', 'None', 'Undefined', NULL, '0', '1970-01-01', '2099-12-31', NULL),
  (8507, 'MALE', 'Gender', 'Gender', 'Gender', 'S', 'M', '1970-01-01', '2099-12-31', NULL),
  (8532, 'FEMALE', 'Gender', 'Gender', 'Gender', 'S', 'F', '1970-01-01', '2099-12-31', NULL),
  (9202, 'Outpatient Visit', 'Visit', 'Visit', 'Visit', 'S', 'OP', '1970-01-01', '2099-12-31', NULL),
  (32817, 'EHR', 'Type Concept', 'Type Concept', 'Type Concept', 'S', 'EHR', '1970-01-01', '2099-12-31', NULL),
  (260139, 'Acute bronchitis', 'Condition', 'SNOMED', 'Disorder', 'S', '10509002', '1970-01-01', '2099-12-31', NULL),
  (26662, 'Testicular hypofunction', 'Condition', 'SNOMED', 'Disorder', 'S', '7111000119109', '1970-01-01', '2099-12-31', NULL),
  (45533456, 'J20.9', 'Condition', 'ICD10', 'ICD10 code', NULL, 'J20.9', '1970-01-01', '2099-12-31', NULL),
  (3004410, 'Hemoglobin A1c', 'Measurement', 'LOINC', 'Lab Test', 'S', '4548-4', '1970-01-01', '2099-12-31', NULL),
  (8554, 'percent', 'Unit', 'UCUM', 'Unit', 'S', '%', '1970-01-01', '2099-12-31', NULL),
  (8582, 'centimeter', 'Unit', 'UCUM', 'Unit', 'S', 'cm', '1970-01-01', '2099-12-31', NULL);
INSERT INTO person (person_id, gender_concept_id, year_of_birth, birth_datetime, race_concept_id, ethnicity_concept_id) VALUES
  (9007199254740993, 8507, 1950, '1950-03-04', 0, 0), (2, 8532, 1961, NULL, 0, 0), (3, 8532, 1822, NULL, 0, 0);
INSERT INTO observation_period (observation_period_id, person_id, observation_period_start_date, observation_period_end_date, period_type_concept_id) VALUES
  (1, 2, '2000-01-01', '2005-12-31', 32817), (2, 2, '2006-01-01', '2010-12-31', 32817), (3, 3, '2001-01-01', '2002-12-31', 32817);
INSERT INTO death (person_id, death_date, death_type_concept_id) VALUES (3, '2002-12-01', 32817);
INSERT INTO visit_occurrence (visit_occurrence_id, person_id, visit_concept_id, visit_start_date, visit_end_date, visit_type_concept_id) VALUES
  (1, 2, 9202, '2004-05-05', '2004-05-05', 32817), (1, 2, 9202, '2004-06-05', '2004-06-01', 32817);
INSERT INTO condition_occurrence (condition_occurrence_id, person_id, condition_concept_id, condition_start_date, condition_type_concept_id, condition_source_value, visit_occurrence_id) VALUES
  (1, 2, 260139, '2004-05-06', 32817, 'a', 1), (2, 2, 45533456, '2004-07-06', 32817, 'b', 1),
  (3, 2, 3004410, '1960-01-01', 32817, 'c', NULL), (4, 3, 0, '2003-03-01', 32817, 'd', 77),
  (5, 2, 26662, '2027-01-01', 32817, 'e', NULL);
INSERT INTO measurement (measurement_id, person_id, measurement_concept_id, measurement_date, measurement_type_concept_id, value_as_number, unit_concept_id) VALUES
  (1, 2, 3004410, '2004-05-05', 32817, 5.9, 8554), (2, 2, 3004410, '2004-05-05', 32817, 61, 8582), (3, 2, 3004410, '2004-05-05', 32817, 6.1, 0);
INSERT INTO concept_ancestor VALUES (26662, 26662, 0, 0)`;

const reports: Record<string, QualityReport> = {};
const made: EngineCdm[] = [];

before(async () => {
  for (const engine of ENGINES) {
    // A table and a field are missing.
    const damage = ['DROP TABLE device_exposure', 'ALTER TABLE procedure_occurrence DROP COLUMN modifier_source_value'];
    const rows = ROWS.split(';\n').filter((statement) => statement.trim() !== '');
    const cdm = await makeCdm(engine, [...damage, ...rows], { isStrict: false });
    made.push(cdm);
    const { signal } = new AbortController();
    const opened = await openCdm({ where: cdm.where, schema: undefined, signal, onProgress: () => undefined });
    reports[engine] = await checkQuality(opened, { today: '2026-11-27', onProgress: () => undefined });
    await opened.close();
  }
});

after(async () => {
  for (const cdm of made) await cdm.close();
});

function failures(): Map<string, string> {
  const failed = (reports['duckdb']?.results ?? []).filter(({ status }) => status === 'failed');
  return new Map(
    failed.map(({ check, table, field, brokenCount, checkedCount }) => [
      `${check} ${table} ${field}`.trim(),
      `${brokenCount}/${checkedCount}`,
    ]),
  );
}

describe('quality of a CDM', () => {
  it('is judged alike on DuckDB and on PostgreSQL, check by check', () => {
    assert.deepEqual(reports['postgres'], reports['duckdb']);
    assert.ok((reports['duckdb']?.results.length ?? 0) > 2500);
  });

  const planted: Readonly<Record<string, string>> = {
    'cdmTable device_exposure': '1/1',
    'cdmField procedure_occurrence modifier_source_value': '1/1',
    'measurePersonCompleteness observation_period': '1/3',
    'measureConditionEraCompleteness condition_era': '2/2',
    'measureObservationPeriodOverlap observation_period': '1/2',
    'isPrimaryKey visit_occurrence visit_occurrence_id': '2/2',
    'isForeignKey condition_occurrence visit_occurrence_id': '1/3',
    'fkDomain condition_occurrence condition_concept_id': '1/5',
    'isStandardValidConcept condition_occurrence condition_concept_id': '1/5',
    'standardConceptRecordCompleteness condition_occurrence condition_concept_id': '1/5',
    'standardConceptRecordCompleteness measurement unit_concept_id': '1/3',
    'sourceValueCompleteness condition_occurrence condition_source_value': '1/5',
    'plausibleValueLow person year_of_birth': '1/3',
    'plausibleValueHigh condition_occurrence condition_start_date': '1/5',
    'plausibleAfterBirth condition_occurrence condition_start_date': '1/5',
    'plausibleBeforeDeath condition_occurrence condition_start_date': '1/1',
    // Both visits have the broken key, so each condition meets two.
    'withinVisitDates condition_occurrence condition_start_date': '3/4',
    'plausibleStartBeforeEnd visit_occurrence visit_start_date': '1/2',
    'plausibleUnitConceptIds measurement measurement_concept_id': '1/2',
    'plausibleGender condition_occurrence condition_concept_id': '1/1',
  };
  for (const [check, counts] of Object.entries(planted)) {
    it(`fails where it was broken on purpose: ${check}`, () => assert.equal(failures().get(check), counts));
  }

  it('passes where rows keep the rule, and does not apply where there are none', () => {
    const statusOf = (check: string, table: string, field = '') =>
      reports['duckdb']?.results.find(
        (found) => found.check === check && found.table === table && found.field === field,
      )?.status;
    assert.equal(statusOf('isRequired', 'person', 'year_of_birth'), 'passed');
    assert.equal(statusOf('isPrimaryKey', 'person', 'person_id'), 'passed');
    assert.equal(statusOf('isForeignKey', 'condition_occurrence', 'person_id'), 'passed');
    assert.equal(statusOf('isRequired', 'procedure_occurrence', 'procedure_date'), 'not-applicable');
    assert.equal(statusOf('isRequired', 'device_exposure', 'device_concept_id'), 'not-applicable');
  });

  it('is said in words that name place, share and bound', () => {
    const found = reports['duckdb']?.results.find(
      ({ check, table, field }) =>
        check === 'isForeignKey' && table === 'condition_occurrence' && field === 'visit_occurrence_id',
    );
    assert.equal(
      found?.words,
      'condition_occurrence.visit_occurrence_id: 1 of 3 (33.33 %) rows point to no row of visit_occurrence.visit_occurrence_id; 0 % are allowed.',
    );
  });
});
