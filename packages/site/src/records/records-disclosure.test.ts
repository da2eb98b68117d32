import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import type { Characteristic, SiteTask } from '@lantern/contract';
import { createLogger, generateKeyPair, systemClock } from '@lantern/service';
import { CONCEPTS, circe } from '../../test/records-cdm.ts';
import { RecordsSite, TOKEN } from '../../test/records-site.ts';
import { encodings } from '../../test/token-encodings.ts';
import type { Cdm } from '../cdm/cdm.ts';
import { createRecordCdm } from './record-cdm.ts';
import { createRecordPatients } from './record-patients.ts';
import { createRecords, type RecordsTask } from './records.ts';

const DESCRIBE: Characteristic[] = [
  { kind: 'sex' },
  { kind: 'top-conditions', limit: 3 },
  { kind: 'modality' },
  {
    kind: 'measurement',
    conceptId: String(CONCEPTS.hba1c),
    unitConceptId: String(CONCEPTS.percent),
    bounds: [6, 8],
  },
  { kind: 'crossing', of: ['sex', 'year'] },
];
/** Of as many patients as their names say. */
const COHORTS = { nobody: CONCEPTS.none, nine: CONCEPTS.rare9, ten: CONCEPTS.rare10, many: CONCEPTS.diabetes };

let asker: RecordsSite;
before(async () => {
  asker = await RecordsSite.start('duckdb', 'site-records-zero');
});
after(() => asker?.close());
beforeEach(() => asker.refill());

function taskOf(concept: number): Extract<SiteTask, { kind: 'cohort' }> {
  return { ...asker.head(), kind: 'cohort', cohort: { definition: circe(concept, [concept]), describe: DESCRIBE } };
}

/** The payload as it was delivered, without the two values that name the message and the name of the rule, which came with the task. */
async function delivered(concept: number): Promise<string> {
  await asker.refill();
  const task = taskOf(concept);
  asker.hub.send(task);
  const { answeredAt } = await asker.hub.answerTo(task.taskId);
  const row = await asker.site.db
    .selectFrom('task')
    .select('answer_envelope')
    .where('task_id', '=', task.taskId)
    .executeTakeFirstOrThrow();
  const payload = Buffer.from(row.answer_envelope?.payload ?? '', 'base64').toString('utf8');
  return payload.replace(task.taskId, 'task').replace(answeredAt, 'time').replace(`has ${concept}`, 'rule');
}

describe('what leaves for a cohort of nobody and of nine patients', () => {
  it('is the same in every byte', async () => {
    const nobody = await delivered(COHORTS.nobody);
    assert.match(nobody, /"kind":"suppressed"/);
    assert.ok(!nobody.includes('"released"') && !nobody.includes('"meaning"'));
    assert.equal(await delivered(COHORTS.nine), nobody);
    assert.notEqual(await delivered(COHORTS.many), nobody, 'the comparison sees numbers');
  });

  it('takes the same statements in the same order', async () => {
    const nobody = await stepsTo(COHORTS.nobody);
    assert.ok(nobody.length > 15, `${nobody.length}`);
    assert.deepEqual(await stepsTo(COHORTS.nine), nobody);
  });
});

/** Each way begins with a file of numbers of its own. */
const forgetNumbers = () => asker.site.db.deleteFrom('record_numbering').execute();

/** Every statement over the records, with the concept that was asked for taken out. */
async function stepsTo(concept: number): Promise<string[]> {
  await asker.refill();
  await forgetNumbers();
  const steps: string[] = [];
  const record = (sql: string) => steps.push(sql.replaceAll(String(concept), 'CONCEPT'));
  const { dataDir } = asker.site.settings;
  const bounds = { memoryMiB: 128, threads: 1, scratchDir: `${dataDir}/records` };
  const cdm = createRecordCdm({ clock: systemClock, where: asker.cdm.where, schema: undefined, bounds });
  const evidence = { open: true, state: '', lists: [] };
  const file = `${dataDir}/records/${concept}.duckdb`;
  const verdictsOn = async (patients: readonly unknown[]) => patients.map(() => 'may-be-used' as const);
  const { database, db } = asker.site;
  const records = createRecords({
    database,
    db,
    clock: systemClock,
    log: createLogger({ name: 'test', level: 'silent' }),
    keyPair: generateKeyPair(),
    siteId: asker.hub.siteId(),
    noiseSecret: 'a secret of this test',
    standingOf: async () => undefined,
    questionsGranted: async () => 0,
    records: {
      settings: { dataset: 'records', feasibility: 'any-project' },
      cdm: { use: (signal, work) => cdm.use(signal, (opened, version) => work(watched(opened, record), version)) },
      patients: createRecordPatients(file, { verdictsOn }),
      optOuts: { evidence: async () => evidence },
    },
  });
  const { body } = await records.answer(taskOf(concept) as RecordsTask, new AbortController().signal);
  assert.equal(body.kind, 'cohort', JSON.stringify(body));
  await forgetNumbers();
  // Names of files differ by the concept, and the order of labels is that of the question.
  return steps.filter((sql) => !/ATTACH|made_of VALUES/.test(sql));
}

function watched(cdm: Cdm, record: (sql: string) => void): Cdm {
  const { results } = cdm;
  return {
    ...cdm,
    rows: (sql) => {
      record(sql);
      return cdm.rows(sql);
    },
    gather: (sql, columns) => {
      record(sql);
      return cdm.gather(sql, columns);
    },
    results: {
      ...results,
      run: (sql) => {
        record(sql);
        return results.run(sql);
      },
      rows: (sql) => {
        record(sql);
        return results.rows(sql);
      },
      numbers: (sql, onChunk) => {
        record(sql);
        return results.numbers(sql, onChunk);
      },
    },
  };
}

describe('no count from 1 to 9', () => {
  it('is in any answer about small groups, whatever is asked of them', async () => {
    const projectId = await asker.approved();
    for (const concept of Object.values(COHORTS)) {
      const body = await asker.cohort(circe(CONCEPTS.diabetes, [concept]), DESCRIBE, projectId);
      const values = [...JSON.stringify(body).matchAll(/"value":(\d+)/g)].map(([, value]) => Number(value));
      assert.ok(
        values.every((value) => value >= 10 && value % 10 === 0),
        JSON.stringify(values),
      );
    }
  });
});

describe('a question about a cohort of nearly the same patients', () => {
  it('repeats the answer, so that the difference shows nobody', async () => {
    const projectId = await asker.approved();
    const total = async (definition: Record<string, unknown>) => {
      const body = await asker.cohort(definition, [], projectId);
      return body.kind === 'cohort' ? body.total : body;
    };
    const all = await total(circe(CONCEPTS.diabetes));
    const withoutNine = circe(CONCEPTS.diabetes, [CONCEPTS.rare9]);
    const rules = withoutNine['InclusionRules'] as { expression: { CriteriaList: { Occurrence: unknown }[] } }[];
    for (const { expression } of rules)
      for (const one of expression.CriteriaList) one.Occurrence = { Type: 0, Count: 0 };
    assert.deepEqual(await total(withoutNine), all);
  });
});

describe('tokens where a record system has names', () => {
  it('are in nothing that leaves, and not in the audit log', async () => {
    const projectId = await asker.approved();
    await asker.cohort(circe(CONCEPTS.diabetes, [5000001]), DESCRIBE, projectId);
    for (const domain of ['condition', 'drug', 'measurement', 'procedure', 'observation'] as const) {
      await asker.send({ ...asker.head(projectId), kind: 'concepts', concepts: { domain, limit: 5 } });
    }
    const missing = await asker.cohort({ ...circe(1), Extra: TOKEN.toLowerCase() }, [], projectId);
    assert.equal(missing.kind, 'failed');
    const sent = asker.hub.sentBytes();
    const { rows } = await asker.site.database.pool.query('select details from audit_record');
    const held = Buffer.concat([sent, Buffer.from(JSON.stringify(rows))]);
    assert.ok(sent.length > 1000);
    for (const form of encodings(TOKEN)) assert.ok(!held.includes(form));
  });
});
