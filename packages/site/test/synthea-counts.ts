/** What was counted in the bundles of the three synthetic hospitals, compared with a CDM made of them. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';

export type ExpectedCounts = {
  readonly resources: Readonly<Record<string, number>>;
  readonly patients: Readonly<Record<string, number>>;
  readonly deceased: number;
  readonly patients_with_condition: Readonly<Record<string, { readonly patients: number }>>;
  readonly patients_with_medication: Readonly<Record<string, { readonly patients: number }>>;
  readonly observations: Readonly<Record<string, { readonly n: number; readonly mean: number }>>;
};

const COLLECTION = process.env['LANTERN_DATA_DIR'] ?? path.resolve(import.meta.dirname, '../../../../shared/data');

export const NO_COLLECTION = 'the collection is not at hand (LANTERN_DATA_DIR names its folder)';

export type SyntheaHospital = { readonly name: string; readonly bundles: string; readonly expected: ExpectedCounts };

/** Undefined where the collection is not at hand. */
export function syntheaHospitals(): { hospitals: SyntheaHospital[]; vocabulary: string } | undefined {
  const collection = path.join(COLLECTION, 'fhir-synthea');
  if (!existsSync(collection)) return undefined;
  const counts: Record<string, ExpectedCounts> = JSON.parse(
    readFileSync(path.join(collection, 'expected-counts.json'), 'utf8'),
  );
  const hospitals = Object.entries(counts)
    .filter(([name]) => name.startsWith('hospital-'))
    .map(([name, expected]) => ({ name, bundles: path.join(collection, 'bundles', name), expected }));
  return { hospitals, vocabulary: path.join(COLLECTION, 'omop-vocabulary') };
}

/** Gives each row as one text. */
type Query = (sql: string) => Promise<string[]>;

export async function assertCounts(ask: Query, expected: ExpectedCounts): Promise<void> {
  assert.deepEqual(
    await ask('SELECT gender_source_value, count(*) FROM person GROUP BY 1 ORDER BY 1'),
    Object.entries(expected.patients)
      .map(([gender, count]) => `${gender} ${count}`)
      .sort(),
  );
  assert.deepEqual(await ask('SELECT count(*) FROM death'), [String(expected.deceased)]);
  await assertPatients(ask, expected.patients_with_condition, [
    'SELECT person_id, condition_source_value AS code FROM condition_occurrence',
    'SELECT person_id, observation_source_value FROM observation',
    'SELECT person_id, measurement_source_value FROM measurement',
    'SELECT person_id, procedure_source_value FROM procedure_occurrence',
  ]);
  await assertPatients(ask, expected.patients_with_medication, [
    'SELECT person_id, drug_source_value AS code FROM drug_exposure',
  ]);
  const values = await ask(
    `SELECT measurement_source_value, count(value_as_number), avg(value_as_number) FROM measurement
      WHERE value_as_number IS NOT NULL GROUP BY 1 UNION ALL
     SELECT observation_source_value, count(value_as_number), avg(value_as_number) FROM observation
      WHERE value_as_number IS NOT NULL GROUP BY 1`,
  );
  const found = new Map(
    values.map((row) => row.split(' ')).map(([code, n, mean]) => [code, { n: Number(n), mean: Number(mean) }]),
  );
  for (const [key, { n, mean }] of Object.entries(expected.observations)) {
    const value = found.get(key.split('|')[1]);
    assert.equal(value?.n, n, key);
    assert.ok(Math.abs((value?.mean ?? Number.NaN) - mean) < 1e-5, `${key}: ${value?.mean} is not ${mean}`);
  }
}

async function assertPatients(
  ask: Query,
  expected: Readonly<Record<string, { readonly patients: number }>>,
  sources: readonly string[],
): Promise<void> {
  const rows = await ask(`SELECT code, count(DISTINCT person_id) FROM (${sources.join(' UNION ALL ')}) GROUP BY 1`);
  const found = new Map(rows.map((row) => row.split(' ')).map(([code, count]) => [code, Number(count)]));
  for (const [key, { patients }] of Object.entries(expected))
    assert.equal(found.get(key.split('|')[1] ?? ''), patients, key);
}
