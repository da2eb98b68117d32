import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { accountByTypeSql, accountFindingsSql } from '@lantern/omop';
import { assertCounts, NO_COLLECTION, syntheaHospitals } from '../../test/synthea-counts.ts';
import { fhirFileSource, fhirFilesBelow } from './bundle-source.ts';
import { type CdmDatabase, openCdmDatabase } from './cdm-database.ts';
import { runEtl, type SourceResource } from './etl.ts';
import type { Json } from './fhir-json.ts';
import { loadVocabulary } from './vocabulary-files.ts';

/** A vocabulary of a few concepts: numbers and codes are OMOP's, so that the rows below can be checked by anybody. */
const CONCEPTS = `concept_id,concept_name,domain_id,vocabulary_id,concept_class_id,standard_concept,concept_code,valid_start_date,valid_end_date,invalid_reason
0,No matching concept,Metadata,None,Undefined,,No matching concept,19700101,20991231,
260139,Acute bronchitis,Condition,SNOMED,Disorder,S,10509002,19700101,20991231,
4144272,Never smoked tobacco,Observation,SNOMED,Clinical Finding,S,266919005,19700101,20991231,
3036277,Body height,Measurement,LOINC,Clinical Observation,S,8302-2,19700101,20991231,
3004249,Systolic blood pressure,Measurement,LOINC,Clinical Observation,S,8480-6,19700101,20991231,
3012888,Diastolic blood pressure,Measurement,LOINC,Clinical Observation,S,8462-4,19700101,20991231,
43054909,Tobacco smoking status,Observation,LOINC,Clinical Observation,S,72166-2,19700101,20991231,
8582,centimeter,Unit,UCUM,Unit,S,cm,19700101,20991231,
8876,millimeter mercury column,Unit,UCUM,Unit,S,mm[Hg],19700101,20991231,
1127433,acetaminophen 325 MG Oral Tablet,Drug,RxNorm,Clinical Drug,S,313782,19700101,20991231,
1125315,acetaminophen,Drug,RxNorm,Ingredient,S,161,19700101,20991231,
1118084,celecoxib,Drug,RxNorm,Ingredient,S,140587,19700101,20991231,
45533456,Acute bronchitis unspecified,Condition,ICD10,ICD10 code,,J20.9,19700101,20991231,
`;
const RELATIONSHIPS = `concept_id_1,concept_id_2,relationship_id,valid_start_date,valid_end_date,invalid_reason
45533456,260139,Maps to,19700101,20991231,
`;
const ANCESTORS = `ancestor_concept_id,descendant_concept_id,min_levels_of_separation,max_levels_of_separation
1125315,1127433,1,1
1125315,1125315,0,0
`;

const SNOMED = 'http://snomed.info/sct';
const LOINC = 'http://loinc.org';
const RXNORM = 'http://www.nlm.nih.gov/research/umls/rxnorm';

let folder: string;
let opened: CdmDatabase[] = [];

before(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'lantern-etl-'));
  await writeFile(path.join(folder, 'CONCEPT.csv'), CONCEPTS);
  await writeFile(path.join(folder, 'CONCEPT_RELATIONSHIP.csv'), RELATIONSHIPS);
  await writeFile(path.join(folder, 'CONCEPT_ANCESTOR.csv'), ANCESTORS);
});

after(async () => {
  for (const database of opened) database.close();
  await rm(folder, { recursive: true, force: true });
});

async function emptyCdm(vocabulary = folder): Promise<CdmDatabase> {
  const database = await openCdmDatabase({ file: ':memory:', memoryMiB: 512, threads: 1 });
  opened = [...opened, database];
  await loadVocabulary(database, vocabulary);
  return database;
}

let version = 0;

async function* sourceOf(resources: readonly Json[]): AsyncGenerator<SourceResource> {
  for (const resource of resources) {
    version += 1;
    yield {
      resourceType: String(resource['resourceType']),
      id: String(resource['id']),
      contentHash: String(version),
      content: resource,
    };
  }
}

async function query(database: CdmDatabase, sql: string): Promise<string[]> {
  const rows = await database.transaction((session) => session.rows(sql));
  return rows.map((row) => Object.values(row).join(' '));
}

const patient = (id: string, more: Json = {}): Json => ({
  resourceType: 'Patient',
  id,
  gender: 'female',
  birthDate: '1951-03-14',
  ...more,
});
const about = (id: string) => ({ subject: { reference: `Patient/${id}` } });
const coded = (system: string, code: string) => ({ coding: [{ system, code }] });
const bronchitis = (id: string, person: string, day: string, more: Json = {}): Json => ({
  resourceType: 'Condition',
  id,
  ...about(person),
  code: coded(SNOMED, '10509002'),
  onsetDateTime: day,
  ...more,
});
const encounter = (id: string, kind: string, start: string, end: string): Json => ({
  resourceType: 'Encounter',
  id,
  status: 'finished',
  ...about('p'),
  class: { code: kind },
  period: { start, end },
});

describe('resources become rows', () => {
  it('in the table of their concept, with unit, value and visit', async () => {
    const cdm = await emptyCdm();
    await runEtl(
      cdm,
      sourceOf([
        patient('p', { deceasedDateTime: '2019-05-06T07:08:09+01:00' }),
        encounter('e', 'AMB', '2012-05-16T10:00:00+01:00', '2012-05-16T10:30:00+01:00'),
        {
          resourceType: 'Observation',
          id: 'height',
          ...about('p'),
          encounter: { reference: 'Encounter/e' },
          effectiveDateTime: '2012-05-16T10:05:00+01:00',
          code: coded(LOINC, '8302-2'),
          valueQuantity: { value: 171.5, unit: 'cm', system: 'http://unitsofmeasure.org', code: 'cm' },
        },
        {
          resourceType: 'Observation',
          id: 'smoking',
          ...about('p'),
          effectiveDateTime: '2012-05-16',
          code: coded(LOINC, '72166-2'),
          valueCodeableConcept: coded(SNOMED, '266919005'),
        },
        bronchitis('c', 'p', '2012-05-16', {
          // The first code of which the vocabulary knows the meaning counts; it need not be the first.
          code: {
            coding: [
              { system: 'urn:local', code: 'B1' },
              { system: 'http://hl7.org/fhir/sid/icd-10', code: 'J20.9' },
            ],
          },
          abatementDateTime: '2012-05-30',
        }),
      ]),
    );
    assert.deepEqual(
      await query(
        cdm,
        `SELECT measurement_concept_id, measurement_date, measurement_datetime, value_as_number, unit_concept_id,
                visit_occurrence_id IS NOT NULL FROM measurement`,
      ),
      ['3036277 2012-05-16 2012-05-16 10:05:00 171.5 8582 true'],
    );
    assert.deepEqual(
      await query(cdm, 'SELECT observation_concept_id, value_as_concept_id, observation_date FROM observation'),
      ['43054909 4144272 2012-05-16'],
    );
    assert.deepEqual(
      await query(
        cdm,
        `SELECT condition_concept_id, condition_source_concept_id, condition_source_value, condition_start_date,
                condition_end_date FROM condition_occurrence`,
      ),
      ['260139 45533456 J20.9 2012-05-16 2012-05-30'],
    );
    assert.deepEqual(await query(cdm, 'SELECT death_date, death_datetime FROM death'), [
      '2019-05-06 2019-05-06 07:08:09',
    ]);
    assert.deepEqual(
      await query(cdm, 'SELECT gender_concept_id, year_of_birth, month_of_birth, day_of_birth FROM person'),
      ['8532 1951 3 14'],
    );
    assert.deepEqual(
      await query(cdm, 'SELECT observation_period_start_date, observation_period_end_date FROM observation_period'),
      ['2012-05-16 2012-05-30'],
    );
  });

  it('one for each component of a blood pressure, none for the panel itself', async () => {
    const cdm = await emptyCdm();
    const part = (code: string, value: number) => ({
      code: coded(LOINC, code),
      valueQuantity: { value, system: 'http://unitsofmeasure.org', code: 'mm[Hg]' },
    });
    await runEtl(
      cdm,
      sourceOf([
        patient('p'),
        {
          resourceType: 'Observation',
          id: 'bp',
          ...about('p'),
          effectiveDateTime: '2012-05-16',
          code: coded(LOINC, '55284-4'),
          component: [part('8462-4', 79), part('8480-6', 131)],
        },
      ]),
    );
    assert.deepEqual(
      await query(cdm, 'SELECT measurement_concept_id, value_as_number, unit_concept_id FROM measurement ORDER BY 2'),
      ['3012888 79 8876', '3004249 131 8876'],
    );
  });

  it('of an allergy to a drug as an observation, never as an exposure to it', async () => {
    const cdm = await emptyCdm();
    await runEtl(
      cdm,
      sourceOf([
        patient('p'),
        {
          resourceType: 'AllergyIntolerance',
          id: 'a',
          patient: { reference: 'Patient/p' },
          recordedDate: '2001-02-03',
          code: coded(RXNORM, '140587'),
        },
      ]),
    );
    assert.deepEqual(await query(cdm, 'SELECT drug_concept_id FROM drug_exposure'), []);
    assert.deepEqual(await query(cdm, 'SELECT observation_concept_id FROM observation'), ['1118084']);
  });

  it('with the code of the Medication that a request points to, and an era of its ingredient', async () => {
    const cdm = await emptyCdm();
    const request = (id: string, day: string): Json => ({
      resourceType: 'MedicationRequest',
      id,
      status: 'active',
      intent: 'order',
      ...about('p'),
      medicationReference: { reference: 'Medication/m' },
      authoredOn: day,
      dispenseRequest: { expectedSupplyDuration: { value: 10, code: 'd' } },
    });
    const medication = { resourceType: 'Medication', id: 'm', code: coded(RXNORM, '313782') };
    await runEtl(
      cdm,
      sourceOf([
        patient('p'),
        medication,
        request('1', '2020-01-01'),
        request('2', '2020-02-09'),
        request('3', '2020-03-20'),
      ]),
    );
    assert.deepEqual(
      await query(
        cdm,
        'SELECT drug_concept_id, drug_exposure_start_date, drug_exposure_end_date FROM drug_exposure ORDER BY 2',
      ),
      ['1127433 2020-01-01 2020-01-10', '1127433 2020-02-09 2020-02-18', '1127433 2020-03-20 2020-03-29'],
    );
    // From the 10th of January to the 9th of February are thirty days: one era. To the 20th of March thirty-one: another.
    assert.deepEqual(
      await query(
        cdm,
        'SELECT drug_concept_id, drug_era_start_date, drug_era_end_date, drug_exposure_count, gap_days FROM drug_era ORDER BY 2',
      ),
      ['1125315 2020-01-01 2020-02-18 2 29', '1125315 2020-03-20 2020-03-29 1 0'],
    );
    await runEtl(cdm, sourceOf([{ ...medication, code: coded(RXNORM, '140587') }]));
    assert.deepEqual(await query(cdm, 'SELECT DISTINCT drug_concept_id FROM drug_exposure'), ['1118084']);
  });
});

describe('encounters become visits', () => {
  it('that hold transfers and the emergency before, and outpatient contacts of one day', async () => {
    const cdm = await emptyCdm();
    await runEtl(
      cdm,
      sourceOf([
        patient('p'),
        encounter('emergency', 'EMER', '2020-03-01T22:00:00Z', '2020-03-02T02:00:00Z'),
        encounter('ward', 'IMP', '2020-03-02T02:00:00Z', '2020-03-05T10:00:00Z'),
        encounter('other-ward', 'ACUTE', '2020-03-06T10:00:00Z', '2020-03-09T10:00:00Z'),
        encounter('back', 'IMP', '2020-03-11T10:00:00Z', '2020-03-12T10:00:00Z'),
        encounter('clinic', 'AMB', '2020-04-01T09:00:00Z', '2020-04-01T09:30:00Z'),
        encounter('bloods', 'AMB', '2020-04-01T10:00:00Z', '2020-04-01T10:10:00Z'),
        encounter('clinic-later', 'AMB', '2020-04-02T10:00:00Z', '2020-04-02T10:10:00Z'),
        encounter('unknown', 'XYZ', '2020-05-02T10:00:00Z', '2020-05-02T10:10:00Z'),
      ]),
    );
    assert.deepEqual(
      await query(
        cdm,
        `SELECT visit_concept_id, visit_start_date, visit_end_date,
                (SELECT count(*) FROM visit_detail d WHERE d.visit_occurrence_id = v.visit_occurrence_id)
           FROM visit_occurrence v ORDER BY visit_start_datetime`,
      ),
      [
        '262 2020-03-01 2020-03-09 3',
        '9201 2020-03-11 2020-03-12 1',
        '9202 2020-04-01 2020-04-01 2',
        '9202 2020-04-02 2020-04-02 1',
        '0 2020-05-02 2020-05-02 1',
      ],
    );
    assert.deepEqual(
      await query(cdm, 'SELECT count(*) FROM visit_occurrence WHERE preceding_visit_occurrence_id IS NULL'),
      ['1'],
    );
  });
});

describe('the row account', () => {
  it('gives each resource one of four ends, and names what stands in the way', async () => {
    const cdm = await emptyCdm();
    const result = await runEtl(
      cdm,
      sourceOf([
        patient('p'),
        patient('no-birth', { birthDate: '1951-02-30' }),
        bronchitis('mapped', 'p', '2012-05-16'),
        bronchitis('partial', 'p', '2012-05'),
        bronchitis('early', 'p', '1950-05-01'),
        bronchitis('backwards', 'p', '2012-05-16', { abatementDateTime: '2011-01-01' }),
        bronchitis('refuted', 'p', '2012-05-16', { verificationStatus: coded('v', 'refuted') }),
        bronchitis('dateless', 'p', ''),
        bronchitis('nobody', 'stranger', '2012-05-16'),
        bronchitis('of-no-birth', 'no-birth', '2012-05-16'),
        bronchitis('codeless', 'p', '2012-05-16', { code: {} }),
        bronchitis('foreign', 'p', '2012-05-16', { code: coded(SNOMED, '34552-0') }),
        bronchitis('lost-visit', 'p', '2012-05-16', { encounter: { reference: 'Encounter/none' } }),
        { resourceType: 'Claim', id: 'claim', patient: { reference: 'Patient/p' } },
      ]),
    );
    assert.equal(result.readCount, 14);
    assert.deepEqual(await query(cdm, accountByTypeSql()), [
      'Claim unmapped 1',
      'Condition mapped 1',
      'Condition mapped-with-warning 4',
      'Condition refused 5',
      'Condition unmapped 1',
      'Patient mapped 1',
      'Patient refused 1',
    ]);
    assert.deepEqual((await query(cdm, accountFindingsSql(100))).sort(), [
      'Claim unmapped resource-type  Claim 1',
      'Condition refused code.missing   1',
      'Condition refused date.missing   1',
      'Condition refused patient.missing   2',
      'Condition refused status  refuted 1',
      'Condition unmapped code http://snomed.info/sct 34552-0 1',
      'Condition warning date.before-birth   1',
      'Condition warning date.not-exact   1',
      'Condition warning encounter.missing   1',
      'Condition warning end.before-start   1',
      'Patient refused birth-date.missing   1',
    ]);
    assert.deepEqual(
      await query(cdm, 'SELECT condition_source_value FROM condition_occurrence WHERE condition_concept_id = 0'),
      ['34552-0'],
    );
  });
});

describe('a second pass', () => {
  const rows = 'SELECT condition_occurrence_id, person_id, condition_start_date FROM condition_occurrence ORDER BY ALL';

  it('over the same content changes nothing, not even a number', async () => {
    const cdm = await emptyCdm();
    const content = [
      patient('p'),
      patient('q'),
      bronchitis('1', 'p', '2012-05-16'),
      bronchitis('2', 'q', '2013-05-16'),
    ];
    async function* same(): AsyncGenerator<SourceResource> {
      for await (const resource of sourceOf(content)) yield { ...resource, contentHash: 'unchanged' };
    }
    await runEtl(cdm, same());
    const before = await query(cdm, rows);
    assert.equal(before.length, 2);
    assert.deepEqual(await runEtl(cdm, same()), { readCount: 4, repeatedCount: 0, changedCount: 0, patientCount: 0 });
    assert.deepEqual(await query(cdm, rows), before);
  });

  it('makes anew the patients of what changed, came late, moved or was deleted, and keeps all numbers', async () => {
    const cdm = await emptyCdm();
    await runEtl(
      cdm,
      sourceOf([patient('p'), bronchitis('1', 'p', '2012-05-16'), bronchitis('2', 'late', '2013-05-16')]),
    );
    const [first] = await query(cdm, rows);
    const changed = await runEtl(cdm, sourceOf([patient('late'), bronchitis('3', 'p', '2014-05-16')]));
    assert.deepEqual([changed.changedCount, changed.patientCount], [2, 2]);
    assert.deepEqual(
      (await query(cdm, rows)).map((row) => row.split(' ')[2]),
      ['2012-05-16', '2013-05-16', '2014-05-16'],
    );
    // What was recorded for the wrong patient moves to the right one.
    await runEtl(cdm, sourceOf([bronchitis('3', 'late', '2014-05-16')]));
    assert.deepEqual(await query(cdm, 'SELECT count(*) FROM condition_occurrence GROUP BY person_id ORDER BY 1'), [
      '1',
      '2',
    ]);
    async function* deletion(): AsyncGenerator<SourceResource> {
      yield { resourceType: 'Condition', id: '2', contentHash: 'gone', content: undefined };
    }
    await runEtl(cdm, deletion());
    assert.deepEqual(
      (await query(cdm, rows)).map((row) => row.split(' ')[2]),
      ['2012-05-16', '2014-05-16'],
    );
    assert.equal((await query(cdm, rows))[0], first);
    assert.deepEqual(await query(cdm, accountByTypeSql()), ['Condition mapped 2', 'Patient mapped 2']);
  });

  it('takes the later of two readings of one resource, and nothing of the earlier', async () => {
    const cdm = await emptyCdm();
    const readings = [bronchitis('1', 'p', '2012-05-16'), bronchitis('1', 'p', '2013-06-17'), patient('p')];
    const { readCount, repeatedCount } = await runEtl(cdm, sourceOf(readings));
    assert.deepEqual([readCount, repeatedCount], [3, 1]);
    assert.deepEqual(await query(cdm, 'SELECT condition_start_date FROM condition_occurrence'), ['2013-06-17']);
  });

  it('does not mix with patients that were loaded from elsewhere', async () => {
    const cdm = await emptyCdm();
    await cdm.transaction((session) =>
      session.run(
        'INSERT INTO person (person_id, gender_concept_id, year_of_birth, race_concept_id, ethnicity_concept_id) VALUES (7, 0, 1970, 0, 0)',
      ),
    );
    await assert.rejects(runEtl(cdm, sourceOf([patient('p')])), { code: 'conflict' });
  });

  it('that fails in the middle leaves the CDM as it was', async () => {
    const cdm = await emptyCdm();
    await runEtl(cdm, sourceOf([patient('p'), bronchitis('1', 'p', '2012-05-16')]));
    const before = await query(cdm, rows);
    async function* broken(): AsyncGenerator<SourceResource> {
      yield* sourceOf([bronchitis('1', 'p', '1999-09-09')]);
      throw new Error('the source went away');
    }
    await assert.rejects(runEtl(cdm, broken()), /went away/);
    assert.deepEqual(await query(cdm, rows), before);
    await runEtl(cdm, sourceOf([bronchitis('1', 'p', '1999-09-09')]));
    assert.deepEqual((await query(cdm, rows))[0]?.split(' ')[2], '1999-09-09');
  });
});

describe('patients who were merged', () => {
  const replacedBy = (id: string): Json => ({ link: [{ other: { reference: `Patient/${id}` }, type: 'replaced-by' }] });
  const PERSONS = `SELECT p.person_source_value, string_agg(c.condition_start_date::varchar, ' ' ORDER BY c.condition_start_date)
      FROM person p LEFT JOIN condition_occurrence c USING (person_id) GROUP BY p.person_id, 1 ORDER BY 1`;
  const ORPHANS = `SELECT count(*) FROM (
      SELECT person_id FROM condition_occurrence UNION ALL SELECT person_id FROM condition_era
      UNION ALL SELECT person_id FROM observation_period UNION ALL SELECT person_id FROM visit_occurrence
      UNION ALL SELECT person_id FROM death) ANTI JOIN person USING (person_id)`;
  const two = [patient('a'), patient('b'), bronchitis('1', 'a', '2012-05-16'), bronchitis('2', 'b', '2013-05-16')];

  async function pass(cdm: CdmDatabase, ...resources: Json[]): Promise<string[]> {
    await runEtl(cdm, sourceOf(resources));
    assert.deepEqual(await query(cdm, ORPHANS), ['0']);
    return query(cdm, PERSONS);
  }

  it('are one person, whenever the merge is told, and two again when it is taken back', async () => {
    const apart = ['Patient/a 2012-05-16', 'Patient/b 2013-05-16'];
    const together = ['Patient/b 2012-05-16 2013-05-16'];
    const atOnce = await emptyCdm();
    assert.deepEqual(await pass(atOnce, patient('a', replacedBy('b')), ...two.slice(1)), together);
    const cdm = await emptyCdm();
    assert.deepEqual(await pass(cdm, ...two), apart);
    const before = await query(cdm, 'SELECT person_id, person_source_value FROM person ORDER BY 1');
    assert.deepEqual(await pass(cdm, patient('a', replacedBy('b'))), together);
    assert.deepEqual(await query(cdm, accountByTypeSql()), [
      'Condition mapped 2',
      'Patient mapped 1',
      'Patient mapped-with-warning 1',
    ]);
    assert.deepEqual(await pass(cdm, bronchitis('3', 'a', '2014-05-16')), [
      'Patient/b 2012-05-16 2013-05-16 2014-05-16',
    ]);
    assert.deepEqual(await pass(cdm, patient('a')), ['Patient/a 2012-05-16 2014-05-16', 'Patient/b 2013-05-16']);
    assert.deepEqual(await query(cdm, 'SELECT person_id, person_source_value FROM person ORDER BY 1'), before);
    assert.deepEqual(await query(cdm, 'SELECT count(*) FROM observation_period'), ['2']);
  });

  it('over several links end with the last, which may change', async () => {
    const cdm = await emptyCdm();
    const chain = [patient('a', replacedBy('b')), patient('b', replacedBy('c')), ...two.slice(2)];
    assert.deepEqual(await pass(cdm, ...chain, patient('c')), ['Patient/c 2012-05-16 2013-05-16']);
    assert.deepEqual(await pass(cdm, patient('c', replacedBy('d')), patient('d')), ['Patient/d 2012-05-16 2013-05-16']);
    assert.deepEqual(await pass(cdm, patient('b')), ['Patient/b 2012-05-16 2013-05-16', 'Patient/d ']);
  });

  it('stay apart where the other is not here, and in a circle', async () => {
    const cdm = await emptyCdm();
    const absent = [patient('a', replacedBy('nobody')), patient('b', replacedBy('b')), ...two.slice(2)];
    const apart = ['Patient/a 2012-05-16', 'Patient/b 2013-05-16'];
    assert.deepEqual(await pass(cdm, ...absent), apart);
    assert.deepEqual(await pass(cdm, patient('a', replacedBy('b')), patient('b', replacedBy('a'))), apart);
    // The circle is broken: b goes with a, and a with whoever was not here.
    assert.deepEqual(await pass(cdm, patient('nobody'), patient('a', replacedBy('nobody'))), [
      'Patient/nobody 2012-05-16 2013-05-16',
    ]);
  });

  it('have one death, of the one who goes on where both have one', async () => {
    const cdm = await emptyCdm();
    const deaths = 'SELECT death_date FROM death';
    await pass(cdm, patient('a', { ...replacedBy('b'), deceasedDateTime: '2019-05-06' }), patient('b'));
    assert.deepEqual(await query(cdm, deaths), ['2019-05-06']);
    await pass(cdm, patient('b', { deceasedDateTime: '2019-05-07' }));
    assert.deepEqual(await query(cdm, deaths), ['2019-05-07']);
  });
});

describe('three hospitals of synthetic patients', () => {
  it('have in the CDM exactly the patients and values that were counted in their bundles', async (t) => {
    const collection = syntheaHospitals();
    if (collection === undefined) return t.skip(NO_COLLECTION);
    for (const { bundles, expected } of collection.hospitals) {
      const cdm = await emptyCdm(collection.vocabulary);
      const result = await runEtl(cdm, fhirFileSource(await fhirFilesBelow(bundles)));
      const total = Object.values(expected.resources).reduce((sum, count) => sum + count, 0);
      assert.equal(result.readCount, total);
      const account = (await query(cdm, accountByTypeSql())).map((row) => Number(row.split(' ')[2]));
      assert.equal(account.reduce((sum, count) => sum + count, 0) + result.repeatedCount, total);
      await assertCounts((sql) => query(cdm, sql), expected);
    }
  });
});
