import assert from 'node:assert/strict';
import { rename, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, beforeEach, describe, it } from 'node:test';
import type { AnswerBody, Characteristic, ReleasedCount } from '@lantern/contract';
import { ENGINES } from '../../test/cdm-engines.ts';
import { clinicCsv, projectSpec, SCHEMA } from '../../test/documents.ts';
import { CONCEPTS, COUNT, circe } from '../../test/records-cdm.ts';
import { RecordsSite } from '../../test/records-site.ts';
import { startScriptedHub } from '../../test/scripted-hub.ts';
import { startTestSite } from '../../test/site-harness.ts';

type CohortBody = Extract<AnswerBody, { kind: 'cohort' }>;
const ALL: Characteristic[] = [
  { kind: 'sex' },
  { kind: 'age', bandYears: 10 },
  { kind: 'year' },
  { kind: 'top-conditions', limit: 5 },
  { kind: 'top-drugs', limit: 2 },
  { kind: 'modality' },
  {
    kind: 'measurement',
    conceptId: String(CONCEPTS.hba1c),
    unitConceptId: String(CONCEPTS.percent),
    bounds: [6.5, 7.5, 9],
  },
  { kind: 'crossing', of: ['sex', 'age'] },
];

function counted(body: AnswerBody): CohortBody {
  assert.ok(body.kind === 'cohort', JSON.stringify(body));
  return body;
}

function allCounts(body: CohortBody): ReleasedCount[] {
  const cells = body.tables.flatMap(({ cells, total }) => [total, ...cells.map(({ count }) => count)]);
  return [body.total, ...body.attrition.map(({ count }) => count), ...cells];
}

function near(count: ReleasedCount | undefined, truth: number, within = 40): void {
  assert.ok(count?.kind === 'released', `nothing where ${truth} was expected`);
  assert.ok(Math.abs(count.value - truth) <= within, `${count.value} instead of about ${truth}`);
}

for (const engine of ENGINES) {
  describe(`a question about records, on ${engine}`, () => {
    let asker: RecordsSite;
    before(async () => {
      asker = await RecordsSite.start(engine, `site-records-${engine}`);
    });
    after(() => asker?.close());
    beforeEach(() => asker.refill());

    it('counts the patients of a cohort and of each rule on the way, and costs one for each', async () => {
      const body = counted(await asker.cohort(circe(CONCEPTS.diabetes, [5000001, 5000002])));
      near(body.total, 100);
      assert.deepEqual(
        body.attrition.map(({ rule }) => rule),
        ['has 5000001', 'has 5000002'],
      );
      near(body.attrition[0]?.count, 200);
      assert.deepEqual(body.attrition[1]?.count, body.total, 'the same patients');
      assert.equal(body.questionsLeft, 27);
    });

    it('describes them by tables whose cells each passed the gate', async () => {
      const body = counted(await asker.cohort(circe(CONCEPTS.diabetes), ALL, await asker.approved()));
      near(body.total, COUNT);
      const [sex, age, year, conditions, drugs, modality, measurement, crossing] = body.tables;
      assert.deepEqual(
        body.tables.map(({ column }) => column),
        ['sex', 'age', 'year', 'top-conditions', 'top-drugs', 'modality', 'measurement 3004410 in 8554', 'sex by age'],
      );
      near(sex?.cells[0]?.count, 134);
      near(sex?.cells[1]?.count, 266);
      assert.equal(age?.cells.length, 11);
      near(year?.cells.find(({ label }) => label === '2016')?.count, 50);
      assert.deepEqual(
        conditions?.cells.slice(0, 3).map(({ label, meaning }) => [label, meaning]),
        [
          [String(CONCEPTS.diabetes), 'Type 2 diabetes mellitus'],
          ['5000001', 'Hypertension'],
          ['5000002', 'Asthma'],
        ],
      );
      near(drugs?.cells[0]?.count, 160);
      near(modality?.cells.find(({ label }) => label === 'CT')?.count, 134);
      assert.deepEqual(modality?.cells.find(({ label }) => label === 'PT')?.count, { kind: 'suppressed' });
      // The newest value up to the day of entry: 5.0 to 9.9 in steps of 0.1, eight patients each.
      assert.deepEqual(
        measurement?.cells.map(({ label }) => label),
        ['below 6.5', '6.5 to below 7.5', '7.5 to below 9', '9 or above'],
      );
      for (const [index, truth] of [120, 80, 120, 80].entries()) near(measurement?.cells[index]?.count, truth);
      assert.equal(crossing?.cells.length, 12);
      for (const count of allCounts(body)) {
        assert.ok(count.kind === 'suppressed' || (count.value >= 10 && count.value % 10 === 0), JSON.stringify(count));
      }
      // 1 total, 2 for each of 5 divisions, 6 and 3 for the lists, 8 modalities
      assert.equal(body.questionsLeft, 200 - 28);
    });

    it('names only concepts whose count is released', async () => {
      const concepts = { domain: 'condition' as const, limit: 10 };
      const body = await asker.send({ ...asker.head(), kind: 'concepts', concepts });
      assert.ok(body.kind === 'concepts', JSON.stringify(body));
      const ids = body.concepts.map(({ conceptId }) => conceptId);
      assert.deepEqual(ids.slice(0, 3), [String(CONCEPTS.diabetes), '5000001', '5000002']);
      assert.ok(!ids.includes(String(CONCEPTS.rare9)) && !ids.includes(String(CONCEPTS.none)));
      assert.ok(body.concepts.every(({ count }) => count.kind === 'released' && count.value % 10 === 0));
      assert.equal(body.questionsLeft, 30 - 11);
      const search = { ...concepts, search: 'DIABETES' };
      const found = await asker.send({ ...asker.head(), kind: 'concepts', concepts: search });
      assert.ok(found.kind === 'concepts');
      assert.deepEqual(
        found.concepts.map(({ conceptId, name }) => [conceptId, name]),
        [[String(CONCEPTS.diabetes), 'Type 2 diabetes mellitus']],
      );
    });
  });
}

describe('both engines', () => {
  it('give the same sets of patients, and with the same secret the same answer', async () => {
    const answers: unknown[] = [];
    const sets: unknown[] = [];
    for (const engine of ENGINES) {
      const asker = await RecordsSite.start(engine, `site-same-${engine}`);
      try {
        await asker.site.stop();
        await writeFile(path.join(asker.site.settings.dataDir, 'noise.key'), 'a secret of this test');
        await asker.site.start();
        answers.push(await asker.cohort(circe(CONCEPTS.diabetes, [5000001]), ALL, await asker.approved()));
        const kept = await asker.site.db.selectFrom('answered_set').select('patients').orderBy('ordinal').execute();
        sets.push(kept.map(({ patients }) => patients.toString('hex')));
      } finally {
        await asker.close();
      }
    }
    assert.deepEqual(sets[1], sets[0]);
    assert.deepEqual(answers[1], answers[0]);
  });
});

describe('who may ask about records', () => {
  let asker: RecordsSite;
  before(async () => {
    asker = await RecordsSite.start('duckdb', 'site-records-policy', { records: { feasibility: 'approved-projects' } });
  });
  after(() => asker?.close());

  it('nobody without an approval, and nobody by a decision that leaves them out', async () => {
    const undecided = await asker.cohort(circe(CONCEPTS.diabetes));
    assert.ok(undecided.kind === 'refused' && undecided.code === 'policy.not-approved');
    const spec = projectSpec(asker.hub.siteId(), { datasets: ['other'], algorithms: [] });
    const projectId = await asker.site.project(asker.hub, spec, { verdict: 'approved', reason: 'ok' });
    const other = await asker.cohort(circe(CONCEPTS.diabetes), [], projectId);
    assert.ok(other.kind === 'refused' && other.code === 'policy.refused' && /records/.test(other.message));
  });

  it('an approved project, until its budget is spent; the same question is free', async () => {
    const spec = projectSpec(asker.hub.siteId(), { datasets: ['records'], algorithms: [] });
    const counts = { questionsMax: 4 };
    const projectId = await asker.site.project(asker.hub, spec, { verdict: 'approved', reason: 'ok', counts });
    const ask = (describe: Characteristic[]) => asker.cohort(circe(CONCEPTS.diabetes), describe, projectId);
    const first = counted(await ask([{ kind: 'sex' }]));
    assert.equal(first.questionsLeft, 1);
    assert.deepEqual(await ask([{ kind: 'sex' }]), first);
    const spent = await ask([{ kind: 'year' }]);
    assert.ok(spent.kind === 'refused' && spent.code === 'disclosure.budget-spent');
    assert.match(spent.message, /counts as 3, and 1 are left/);
    assert.equal(counted(await ask([])).questionsLeft, 0);
  });

  it('not by a definition that is not understood: the answer names the field', async () => {
    const projectId = await asker.approved();
    const rule = { name: 'a', expression: { Type: 'ALL', CriteriaList: [], Groups: [], Surprise: 1 } };
    const body = await asker.cohort({ ...circe(CONCEPTS.diabetes), InclusionRules: [rule] }, [], projectId);
    assert.ok(body.kind === 'failed' && body.code === 'input.invalid');
    assert.match(body.message, /^InclusionRules\[0\]\.expression\.Surprise: is not known here/);
    const beyond = {
      ...circe(CONCEPTS.diabetes),
      EndStrategy: { DateOffset: { DateField: 'StartDate', Offset: 2 ** 31 - 1 } },
    };
    const late = await asker.cohort(beyond, [], projectId);
    assert.deepEqual(
      late,
      await asker.cohort({ ...beyond, ...circe(CONCEPTS.none) }, [], projectId),
      'says nothing of patients',
    );
    const measurement = { kind: 'measurement' as const, conceptId: '1', unitConceptId: '2', bounds: [3, 3] };
    const falling = await asker.cohort(circe(CONCEPTS.diabetes), [measurement], projectId);
    assert.ok(falling.kind === 'failed' && /describe\/0\/bounds/.test(falling.message));
  });

  it('is told that no records are kept under another name, and no table takes that name', async () => {
    const task = { ...asker.head(await asker.approved()), dataset: 'elsewhere' };
    const body = await asker.send({ ...task, kind: 'concepts', concepts: { domain: 'drug', limit: 1 } });
    assert.ok(body.kind === 'refused' && body.code === 'not-found');
    const table = { schema: { ...SCHEMA, name: 'records' }, csv: clinicCsv(40) };
    await assert.rejects(asker.site.register(table), /name of this site's records/);
  });

  it('hears what a CDM lacks by the names of its tables', async () => {
    const bare = await RecordsSite.start('duckdb', 'site-records-bare', { statements: ['DROP TABLE drug_exposure'] });
    try {
      const body = await bare.cohort(circe(CONCEPTS.diabetes), [{ kind: 'top-drugs', limit: 3 }]);
      assert.ok(body.kind === 'failed' && /lacks .*the table drug_exposure/.test(body.message), JSON.stringify(body));
    } finally {
      await bare.close();
    }
  });
});

describe('a site that lost the numbers of its patients', () => {
  it('counts nobody until they are back, since its history is written in them', async () => {
    const asker = await RecordsSite.start('duckdb', 'site-records-lost');
    try {
      const first = counted(await asker.cohort(circe(CONCEPTS.diabetes)));
      const file = path.join(asker.site.settings.dataDir, 'records', 'patients.duckdb');
      await rename(file, `${file}.away`);
      const lost = await asker.cohort(circe(5000001));
      assert.ok(lost.kind === 'failed' && lost.code === 'storage.corrupt', JSON.stringify(lost));
      await rename(`${file}.away`, file);
      assert.deepEqual(counted(await asker.cohort(circe(CONCEPTS.diabetes))).total, first.total);
    } finally {
      await asker.close();
    }
  });
});

describe('a site whose table has the name of its records, or whose records are a folder', () => {
  it('does not start', async () => {
    const hub = await startScriptedHub();
    const site = await startTestSite(hub, 'site-records-name');
    try {
      await site.register({ schema: SCHEMA, csv: clinicCsv(40) });
      await site.stop();
      site.settings.records = { cdm: '/nowhere', dataset: SCHEMA.name, feasibility: 'approved-projects' };
      await assert.rejects(site.start(), /records\.dataset: a table of this site has or had the name/);
      site.settings.records = { cdm: site.settings.dataDir, dataset: 'records', feasibility: 'approved-projects' };
      await assert.rejects(site.start(), /records\.cdm: is a folder/);
    } finally {
      await site.close();
      await hub.close();
    }
  });
});
