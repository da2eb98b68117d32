import assert from 'node:assert/strict';
import { cp, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { SITE_API } from '@lantern/contract';
import { openTestDatabase, systemClock } from '@lantern/service';
import { type CdmPassSite, HOSPITAL, startCdmPassSite, VOCABULARY } from '../../test/cdm-pass-site.ts';
import { assertCounts, NO_COLLECTION, syntheaHospitals } from '../../test/synthea-counts.ts';
import type { Cdm } from '../cdm/cdm.ts';
import { createRecordCdm } from '../records/record-cdm.ts';
import { settledKey } from './settled-key.ts';

const patient = (id: string, more: object = {}) => ({
  resourceType: 'Patient',
  id,
  gender: 'female',
  birthDate: '1951-03-14',
  ...more,
});
const bronchitis = (id: string, person: string, onsetDateTime: string) => ({
  resourceType: 'Condition',
  id,
  subject: { reference: `Patient/${person}` },
  code: { coding: [{ system: 'http://snomed.info/sct', code: '10509002' }] },
  onsetDateTime,
});
const ROWS = `SELECT condition_occurrence_id, p.person_source_value, condition_start_date
  FROM condition_occurrence JOIN person p USING (person_id) WHERE p.person_source_value LIKE 'Patient/pass-%' ORDER BY 1`;

describe('a site that makes its CDM of its own records', () => {
  let one: CdmPassSite;
  before(async () => {
    one = await startCdmPassSite('cdm-passes');
    await one.settle(); // the schedule begins with a pass of its own
    await one.load(HOSPITAL);
  });
  after(() => one?.close());

  it('has the patients of its FHIR store in it, and accounts for every resource', async () => {
    const pass = await one.pass();
    assert.deepEqual([pass.state, pass.isPublished, pass.patientCount], ['done', true, 79]);
    assert.deepEqual(await one.ask('SELECT count(*) FROM person'), ['79']);
    const account = await one.site.as('data-engineer').call(SITE_API.readCdmAccount, { query: { findings: 3 } });
    const total = account.byType.reduce((sum, { count }) => sum + Number(count), 0);
    const { rows } = await one.site.database.pool.query('select count(*)::int as n from fhir_resource');
    assert.equal(total, rows[0].n);
    assert.equal(total, pass.readCount);
    assert.equal(account.findings.length, 3);
    const counts = account.findings.map(({ count }) => Number(count));
    assert.deepEqual(
      counts,
      counts.toSorted((a, b) => b - a),
    );
  });

  it('publishes nothing when nothing has changed', async () => {
    const pass = await one.pass();
    assert.deepEqual([pass.state, pass.isPublished, pass.readCount], ['done', false, 0]);
  });

  it('reads what changed alone: what is new, another and deleted, and keeps all numbers', async () => {
    await one.put(patient('pass-1'));
    await one.put(bronchitis('pass-a', 'pass-1', '2012-05-16'));
    await one.put(bronchitis('pass-b', 'pass-1', '2013-05-16'));
    const first = await one.pass();
    assert.deepEqual([first.readCount, first.changedCount, first.patientCount], [3, 3, 1]);
    const [a, b] = await one.ask(ROWS);
    await one.put(bronchitis('pass-b', 'pass-1', '2014-06-17'));
    await one.remove('Condition', 'pass-a');
    const second = await one.pass();
    assert.deepEqual([second.readCount, second.changedCount, second.patientCount], [2, 2, 1]);
    assert.deepEqual(await one.ask(ROWS), [b?.replace('2013-05-16', '2014-06-17')]);
    await one.put(bronchitis('pass-a', 'pass-1', '2012-05-16'));
    await one.pass();
    assert.notEqual(
      (await one.ask(ROWS)).find((row) => row.endsWith('2012-05-16')),
      a,
      'a number is never given twice',
    );
    await one.remove('Condition', 'pass-a');
    await one.remove('Condition', 'pass-b');
    await one.remove('Patient', 'pass-1');
    await one.pass();
    assert.deepEqual(await one.ask('SELECT count(*) FROM person'), ['79']);
  });

  it('makes all anew on demand, and finds what it missed', async () => {
    await one.site.database.pool.query(`delete from fhir_resource where type = 'Immunization'`); // behind its back
    const pass = await one.pass(true);
    const { rows } = await one.site.database.pool.query('select count(*)::int as n from fhir_resource');
    assert.deepEqual([pass.isRebuild, pass.readCount, pass.patientCount], [true, rows[0].n, 79]);
    assert.deepEqual(await one.ask(`SELECT count(*) FROM etl.resource WHERE resource_type = 'Immunization'`), ['0']);
  });

  it('is asked by those who bring data alone, and each request and each new CDM stands in the audit log', async () => {
    await assert.rejects(one.site.as('clinician').call(SITE_API.askForCdmPass, { body: { isRebuild: false } }), {
      code: 'auth.forbidden',
    });
    await assert.rejects(one.site.as('governance').call(SITE_API.readCdmAccount, { query: {} }), {
      code: 'auth.forbidden',
    });
    const { rows } = await one.site.database.pool.query<{ actor: string; action: string }>(
      `select actor, action from audit_record where action like 'cdm-pass.%' order by sequence`,
    );
    assert.ok(rows.some(({ actor, action }) => actor === 'user:test.data-engineer' && action === 'cdm-pass.ask'));
    assert.ok(rows.some(({ actor, action }) => actor === 'site' && action === 'cdm-pass.publish'));
  });

  it('gives new numbers to everybody when its file was lost', async () => {
    const [before] = await one.ask('SELECT max(person_id) FROM person');
    await rm(one.file);
    const pass = await one.pass();
    assert.deepEqual([pass.state, pass.patientCount], ['done', 79]);
    const [least] = await one.ask('SELECT min(person_id) FROM person');
    assert.ok(Number(least) > Number(before), `${least} after ${before}`);
  });

  it('leaves nothing beside its CDM', async () => {
    assert.deepEqual(await readdir(path.dirname(one.file)), ['cdm.duckdb']);
  });
});

describe('a question while a pass writes', () => {
  it('goes on with the CDM that it began with; the next one sees the new one, under another version', async () => {
    const one = await startCdmPassSite('cdm-questions');
    try {
      await one.settle();
      await one.put(patient('pass-1'));
      await one.pass();
      const bounds = { memoryMiB: 256, threads: 1, scratchDir: tmpdir() };
      const records = createRecordCdm({ where: one.file, schema: undefined, bounds, clock: systemClock });
      const { signal } = new AbortController();
      const count = async (cdm: Cdm) => (await cdm.rows('SELECT count(*) FROM person'))[0]?.[0];
      const first = await records.use(signal, async (cdm, version) => {
        await one.put(patient('pass-2'));
        assert.equal((await one.pass()).isPublished, true);
        return { count: await count(cdm), version };
      });
      const second = await records.use(signal, async (cdm, version) => ({ count: await count(cdm), version }));
      assert.deepEqual([first.count, second.count], ['1', '2']);
      assert.notEqual(first.version, second.version);
    } finally {
      await one.close();
    }
  });
});

describe('three hospitals of synthetic patients, loaded into the FHIR store', () => {
  it('have in the CDM exactly the patients and values that were counted in their bundles', async (t) => {
    const collection = syntheaHospitals();
    if (collection === undefined) return t.skip(NO_COLLECTION);
    for (const { name, bundles, expected } of collection.hospitals) {
      const one = await startCdmPassSite(`cdm-${name}`, { vocabulary: collection.vocabulary });
      try {
        await one.settle();
        await one.load(bundles);
        const pass = await one.pass();
        const { rows } = await one.site.database.pool.query('select count(*)::int as n from fhir_resource');
        assert.equal(pass.readCount, rows[0].n);
        const [total] = await one.ask('SELECT count(*) FROM etl.resource');
        assert.equal(Number(total), pass.readCount);
        await assertCounts((sql) => one.ask(sql), expected);
      } finally {
        await one.close();
      }
    }
  });
});

describe('a site whose vocabulary changes', () => {
  it('maps every code anew', async () => {
    const vocabulary = await mkdtemp(path.join(tmpdir(), 'lantern-vocabulary-'));
    await cp(VOCABULARY, vocabulary, { recursive: true });
    const one = await startCdmPassSite('cdm-vocabulary', { vocabulary });
    try {
      await one.settle();
      await one.put(patient('pass-1'));
      const local = { system: 'http://snomed.info/sct', code: '99999999999' };
      await one.put({ ...bronchitis('pass-a', 'pass-1', '2012-05-16'), code: { coding: [local] } });
      await one.pass();
      const concept = 'SELECT condition_concept_id FROM condition_occurrence';
      assert.deepEqual(await one.ask(concept), ['0']);
      await writeFile(
        path.join(vocabulary, 'source_to_concept_map.csv'),
        'source_code,source_concept_id,source_vocabulary_id,target_concept_id,target_vocabulary_id,valid_start_date,valid_end_date\n' +
          '99999999999,0,SNOMED,260139,SNOMED,19700101,20991231\n',
      );
      const pass = await one.pass();
      assert.deepEqual([pass.reason, pass.isPublished, pass.readCount, pass.patientCount], [undefined, true, 0, 1]);
      assert.deepEqual(await one.ask(concept), ['260139']);
    } finally {
      await one.close();
      await rm(vocabulary, { recursive: true, force: true });
    }
  });
});

describe('the key up to which records are settled', () => {
  it('is not known while somebody who took an earlier key may still commit', async () => {
    const database = await openTestDatabase('settled-key');
    try {
      await database.pool.query('create sequence keys; create table keyed (key bigint)');
      const keyed = { table: 'keyed', sequence: 'keys' };
      const { signal } = new AbortController();
      assert.equal(await settledKey(database, keyed, { waitMs: 0, signal }), '0');
      const writer = await database.pool.connect();
      await writer.query('begin');
      await writer.query('select from keyed for update'); // as whoever writes records does first
      await writer.query(`select nextval('keys')`);
      await database.pool.query(`insert into keyed select nextval('keys')`);
      assert.equal(await settledKey(database, keyed, { waitMs: 60, signal }), undefined);
      const settling = settledKey(database, keyed, { waitMs: 10_000, signal });
      await writer.query('insert into keyed values (1)');
      await writer.query('commit');
      writer.release();
      assert.equal(await settling, '2');
    } finally {
      await database.close();
    }
  });
});
