import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';
import { sql } from 'kysely';
import { startTestFhir, type TestFhir } from '../../test/fhir-harness.ts';
import { createNumbering } from './index-rows.ts';
import { readSearch } from './search-request.ts';
import { printSearch } from './search-sql.ts';

const OBSERVATION_COUNT = 40_000;
let fhir: TestFhir;

/** Forty thousand observations of 400 patients, half of them of one code. */
before(async () => {
  fhir = await startTestFhir('fhir-search-plan');
  const { pool } = fhir.database;
  await fhir.ask('PUT', '/Patient/seed', { body: { resourceType: 'Patient', id: 'seed', name: [{ family: 'Seed' }] } });
  const body = {
    resourceType: 'Observation',
    id: 'seed',
    status: 'final',
    code: { coding: [{ code: 'common' }] },
    subject: { reference: 'Patient/seed' },
    effectiveDateTime: '2020-01-01',
    valueQuantity: { value: 1 },
  };
  const { status } = await fhir.ask('PUT', '/Observation/seed', { body });
  assert.equal(status, 201);
  const place = (name: string) => `(select place_id from fhir_place where place = 'Observation.${name}')`;
  await pool.query(`
    insert into fhir_resource select 1000 + n, 'Observation', 'o' || n, 1, now(), 'create', null, '}' from generate_series(1, ${OBSERVATION_COUNT}) n;
    insert into fhir_token select ${place('code')} || '|' || case n % 2 when 0 then 'common' else 'c' || n % 5000 end, null, 1000 + n
      from generate_series(1, ${OBSERVATION_COUNT}) n;
    insert into fhir_reference select ${place('subject')} || '|Patient/p' || n % 400, 1000 + n from generate_series(1, ${OBSERVATION_COUNT}) n;
    insert into fhir_date select ${place('effective')}, d, d + interval '1 day', true, 1000 + n
      from generate_series(1, ${OBSERVATION_COUNT}) n, lateral (select timestamptz '2000-01-01' + n * interval '4 hours' as d) days;
    analyze fhir_resource, fhir_token, fhir_reference, fhir_date;`);
});
after(() => fhir?.close());

async function planOf(query: string, type = 'Observation'): Promise<string> {
  const request = readSearch(type, new URLSearchParams(query), 'http://here/fhir');
  const numbering = createNumbering(fhir.database);
  const printed = await printSearch(request, { numbering, now: Date.now(), withValue: true });
  const rows = await fhir.database.ask<{ 'QUERY PLAN': string }>(
    sql`explain select r.* ${printed.page(undefined, 21)}`,
  );
  return rows.map((row) => row['QUERY PLAN']).join('\n');
}

for (const query of [
  'code=c17',
  'code=common',
  'patient=p3',
  'patient=p3&code=common&_sort=-date',
  'date=2001-02-03',
  'date=lt2001&_sort=-date',
  '_sort=-date',
  '',
]) {
  it(`a search by "${query}" reads no table whole`, async () => {
    assert.doesNotMatch(await planOf(query), /Seq Scan/);
  });
}

for (const query of [
  'date=2001&code=common',
  'code=common&_sort=-date',
  'date=lt2001&_sort=-date',
  'patient=p3&code=common',
]) {
  it(`a search by "${query}" reads only the resources on its page`, async () => {
    const plan = await planOf(query);
    const lines = plan.split('\n');
    const limit = lines.findIndex((line) => line.includes('Limit'));
    const depth = lines[limit]?.search(/[A-Z]/) ?? 0;
    const end = lines.findIndex((line, index) => index > limit && line.includes('->') && line.search(/[A-Z]/) <= depth);
    assert.ok(limit >= 0 && end > limit, plan);
    assert.doesNotMatch(lines.slice(limit, end).join('\n'), /fhir_resource/);
    assert.match(lines.slice(end).join('\n'), /fhir_resource/);
  });
}

it('a search for patients by what points to them begins with that', async () => {
  assert.doesNotMatch(
    await planOf('_has:Observation:patient:code=c17', 'Patient'),
    /Seq Scan on fhir_(token|reference|date)/,
  );
});
