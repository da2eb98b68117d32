import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { stagingStatements } from '@lantern/omop';
import { makeCdm } from '../../test/cdm-engines.ts';
import { recordsStatements } from '../../test/records-cdm.ts';
import { openCdm } from '../cdm/cdm.ts';
import type { PatientVerdict } from '../opt-outs/opt-outs.ts';
import { COUNTED_PATIENTS, createRecordPatients } from './record-patients.ts';

const BEYOND_DOUBLES = 2n ** 53n;

let folder: string;
before(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'lantern-patients-'));
});
after(() => rm(folder, { recursive: true, force: true }));

type Lists = { state: string; verdictOf: (numbers: readonly string[]) => PatientVerdict };
const NO_LISTS: Lists = { state: '', verdictOf: () => 'may-be-used' };

/** Numbers by person, of whoever may be counted; and for how many patients the lists were asked. */
async function numbers(file: string, statements: readonly string[], lists: Lists = NO_LISTS) {
  const cdm = await makeCdm('duckdb', statements, { isStrict: false });
  const opened = await openCdm({
    where: cdm.where,
    schema: undefined,
    signal: new AbortController().signal,
    onProgress: () => undefined,
  });
  let asked = 0;
  try {
    const verdictsOn = async (patients: readonly (readonly string[])[]) => {
      asked += patients.length;
      return patients.map(lists.verdictOf);
    };
    const evidence = { open: true, state: lists.state, lists: [] };
    await createRecordPatients(path.join(folder, file), { verdictsOn }).prepare(opened, evidence);
    const rows = await opened.results.rows(`SELECT person_id, number FROM ${COUNTED_PATIENTS} ORDER BY person_id`);
    return { byPerson: new Map(rows.map(([person, number]) => [String(person), Number(number)])), asked };
  } finally {
    await opened.close();
    await cdm.close();
  }
}

describe('the number of a patient', () => {
  it('stays with the person whoever comes and goes, also where ids pass 2^53', async () => {
    const idBase = BEYOND_DOUBLES;
    const first = await numbers('a.duckdb', recordsStatements({ idBase, count: 12, without: new Set([0, 5]) }));
    assert.deepEqual([...first.byPerson.values()], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    const second = await numbers('a.duckdb', recordsStatements({ idBase, count: 14, without: new Set([3]) }));
    for (const [person, number] of first.byPerson) assert.equal(second.byPerson.get(person), number, person);
    const fresh = [0, 5, 12, 13].map((index) => second.byPerson.get(String(idBase + BigInt(index))));
    assert.deepEqual(fresh, [10, 11, 12, 13]);
  });

  it('is looked up in the lists once for each state of persons and lists', async () => {
    const statements = recordsStatements({ count: 10 });
    const lists: Lists = { state: 'monday', verdictOf: ([id]) => (id === 'H3' ? 'opted-out' : 'may-be-used') };
    const first = await numbers('b.duckdb', statements, lists);
    assert.deepEqual([first.asked, first.byPerson.size, first.byPerson.has('1003')], [10, 9, false]);
    assert.equal((await numbers('b.duckdb', statements, lists)).asked, 0);
    const tuesday = { ...lists, state: 'tuesday' };
    assert.equal((await numbers('b.duckdb', statements, tuesday)).asked, 10);
    const renamed = [...statements, "UPDATE person SET person_source_value = 'H3' WHERE person_id = 1004"];
    const second = await numbers('b.duckdb', renamed, tuesday);
    assert.deepEqual([second.asked, second.byPerson.has('1003'), second.byPerson.has('1004')], [10, false, false]);
  });

  it('is found by every identifier that our own CDM keeps; who has none there cannot be told', async () => {
    const own = [
      ...recordsStatements({ count: 10 }).map((one) =>
        one.replace('CREATE TABLE image', 'CREATE TABLE IF NOT EXISTS image'),
      ),
      ...stagingStatements(),
      "INSERT INTO etl.resource (resource_number, resource_key) SELECT person_id, 'Patient/' || person_id FROM person",
      `INSERT INTO etl.person_identifier SELECT 'Patient/' || person_id, system, system || person_id
         FROM person, (VALUES ('mrn'), ('nhs')) systems(system) WHERE person_id <> 1007`,
      // Somebody who was merged into 1005, and opted out under his former number.
      "INSERT INTO etl.person_identifier VALUES ('Patient/merged', 'nhs', 'nhs-of-merged')",
      "INSERT INTO etl.person_survivor VALUES ('Patient/merged', 'Patient/1005')",
    ];
    const lists: Lists = {
      state: 'any',
      verdictOf: (ids) => {
        if (ids.length === 0) return 'not-identified';
        return ids.includes('nhs1002') || ids.includes('nhs-of-merged') ? 'opted-out' : 'may-be-used';
      },
    };
    const { byPerson } = await numbers('c.duckdb', own, lists);
    assert.equal(byPerson.size, 7);
    assert.deepEqual(
      ['1002', '1005', '1007'].filter((person) => byPerson.has(person)),
      [],
    );
  });
});
