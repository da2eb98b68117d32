/**
 * OHDSI's GiBleed, whose cohorts have known sizes: 1,844 persons have an era of celecoxib and 850 of diclofenac, 1,800 and 830 of them
 * within a period of observation, as a cohort demands. Runs where LANTERN_DATA_DIR names the large data.
 */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { GATHERED_COLUMNS, type PatientSet, planCohortQuestion, readCirceValue } from '@lantern/omop';
import { type Cdm, openCdm } from '../cdm/cdm.ts';
import { loadCdm } from '../cdm/cdm-load.ts';
import { createRecordPatients } from './record-patients.ts';
import { readCohortSets } from './record-sets.ts';

const DATA = process.env['LANTERN_DATA_DIR'];
const running = { signal: new AbortController().signal, onProgress: () => undefined };

describe('the cohorts of GiBleed', { skip: DATA === undefined ? 'LANTERN_DATA_DIR is not set' : false }, () => {
  let folder: string;
  let file: string;
  before(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'lantern-gibleed-'));
    file = path.join(folder, 'cdm.duckdb');
    await loadCdm({ folder: path.join(DATA ?? '', 'omop-gibleed'), file, ...running });
  });
  after(() => rm(folder, { recursive: true, force: true }));

  const KNOWN = [
    { name: 'celecoxib', concept: 1118084, criterion: 'DrugEra', patientCount: 1800, table: 'drug_era' },
    { name: 'diclofenac', concept: 1124300, criterion: 'DrugEra', patientCount: 830, table: 'drug_era' },
    {
      name: 'gastrointestinal bleeding',
      concept: 192671,
      criterion: 'ConditionOccurrence',
      patientCount: 479,
      table: undefined,
    },
  ];
  for (const { name, concept, criterion, patientCount, table: era } of KNOWN) {
    it(`have ${patientCount} patients with ${name}, whom sex and age divide`, async () => {
      const cdm = await openCdm({ where: file, schema: undefined, ...running });
      try {
        const { total, tables } = await setsOf(cdm, { concept, criterion });
        assert.equal(total.count, patientCount);
        if (era !== undefined) {
          const [row] = await cdm.rows(
            `SELECT count(DISTINCT e.person_id) FROM ${era} e JOIN observation_period o ON o.person_id = e.person_id
             AND drug_era_start_date BETWEEN observation_period_start_date AND observation_period_end_date
             WHERE drug_concept_id = ${concept}`,
          );
          assert.equal(Number(row?.[0]), patientCount);
        }
        for (const { table } of tables.slice(0, 2)) {
          assert.equal(
            table.cells.reduce((sum, { patients }) => sum + patients.count, 0),
            patientCount,
            table.column,
          );
        }
        const largest = tables[2]?.table.cells ?? [];
        assert.ok(largest.length > 10 && largest.every(({ patients }) => isInside(patients, total)));
        assert.ok(criterion === 'DrugEra' || largest.some(({ label }) => label === String(concept)));
      } finally {
        await cdm.close();
      }
    });
  }

  async function setsOf(cdm: Cdm, { concept, criterion }: { concept: number; criterion: string }) {
    const item = { concept: { CONCEPT_ID: concept }, includeDescendants: true };
    const definition = readCirceValue({
      ConceptSets: [{ id: 0, name: 'asked', expression: { items: [item] } }],
      PrimaryCriteria: {
        CriteriaList: [{ [criterion]: { CodesetId: 0 } }],
        PrimaryCriteriaLimit: { Type: 'First' },
      },
    });
    const plan = planCohortQuestion({
      definition,
      describe: [{ kind: 'sex' }, { kind: 'age', bandYears: 10 }, { kind: 'top-conditions', limit: 5 }],
      currentYear: 2026,
    });
    const verdictsOn = async (patients: readonly unknown[]) => patients.map(() => 'may-be-used' as const);
    const patients = createRecordPatients(path.join(folder, 'patients.duckdb'), { verdictsOn });
    await patients.prepare(cdm, { open: true, state: '', lists: [] });
    await cdm.gather(plan.sql({ dialect: cdm.dialect }), GATHERED_COLUMNS);
    return readCohortSets(cdm.results, { plan, patientCountMin: 10 });
  }
});

function isInside(some: PatientSet, all: PatientSet): boolean {
  return some.words.every((word, index) => (word & ~(all.words[index] ?? 0)) === 0);
}
