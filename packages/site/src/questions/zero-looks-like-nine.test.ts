/**
 * A set of no patients and one of nine, just below the threshold, leave the site in the same bytes and by the same steps.
 * Steps are statements of both databases, in their order; nothing is timed here: that is `answer-times.test.ts` and
 * `bench/disclosure-timing`.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { type Filter, PATIENT_COUNT_MIN_FLOOR, type ProjectId, type SiteTask } from '@lantern/contract';
import { createLogger, generateKeyPair, newId, openBlobStore, systemClock, type Tx } from '@lantern/service';
import { type KyselyPlugin, PostgresQueryCompiler } from 'kysely';
import { clinicCsv, SCHEMA } from '../../test/documents.ts';
import { type ScriptedHub, startScriptedHub } from '../../test/scripted-hub.ts';
import { startTestSite, type TestSite } from '../../test/site-harness.ts';
import { openTableEngine, type TableEngine } from '../datasets/table-engine.ts';
import { createQuestions, type QuestionsDeps, type QuestionTask } from './questions.ts';

const NINE = PATIENT_COUNT_MIN_FLOOR - 1;
const AGED = 105; // nobody in the clinic's other rows is older than 75

let hub: ScriptedHub;
let site: TestSite;

before(async () => {
  hub = await startScriptedHub();
  site = await startTestSite(hub, 'site-zero-nine');
  const aged = Array.from({ length: NINE }, (_, index) => `old${index},${AGED},120,1,1,train\n`).join('');
  await site.register({ schema: SCHEMA, csv: clinicCsv(400) + aged, feasibility: 'any-project' });
});

after(async () => {
  await site?.close();
  await hub?.close();
});

const older = (age: number): Filter => ({ kind: 'compare', column: 'age', operator: '>', value: age });
const QUESTIONS = { nobody: older(AGED), nine: older(AGED - 1), many: older(60), more: older(55) };

function taskOf(filter: Filter, columns: readonly string[] | undefined): QuestionTask {
  const head = {
    schema: 'lantern.task/1' as const,
    taskId: newId('TaskId'),
    siteId: hub.siteId(),
    projectId: newId('ProjectId'),
    createdAt: '2026-03-01T09:00:00.000Z',
    dataset: 'clinic',
    filter,
  };
  return columns === undefined ? { ...head, kind: 'count' } : { ...head, kind: 'summary', columns: [...columns] };
}

const KINDS = { 'a count': undefined, 'a summary': ['sex', 'outcome'] };

describe('what leaves for nobody and for nine patients', () => {
  for (const [what, columns] of Object.entries(KINDS)) {
    it(`is the same in every byte of ${what} but task and time, as it was delivered`, async () => {
      const nobody = await deliveredAnswer(taskOf(QUESTIONS.nobody, columns));
      const nine = await deliveredAnswer(taskOf(QUESTIONS.nine, columns));
      assert.match(nobody, /"kind":"suppressed"/);
      assert.equal(nine, nobody);
      assert.notEqual(await deliveredAnswer(taskOf(QUESTIONS.many, columns)), nobody, 'the comparison sees a number');
    });
  }
});

describe('the way to the answer for nobody and for nine patients', () => {
  for (const [what, columns] of Object.entries(KINDS)) {
    it(`is the same statements in the same order for ${what}`, async () => {
      const nobody = await stepsTo(taskOf(QUESTIONS.nobody, columns));
      const nine = await stepsTo(taskOf(QUESTIONS.nine, columns));
      assert.ok(
        nobody.some((step) => step.startsWith('table: ')) && nobody.some((step) => /question_charge/.test(step)),
      );
      assert.deepEqual(nine, nobody);
    });
  }

  it('is told from the way to a number, which is kept as well', async () => {
    const steps = await stepsTo(taskOf(QUESTIONS.more, undefined));
    assert.ok(steps.some((step) => /^row: insert into "answered_set"/.test(step)));
  });
});

/** The payload of the answer, which is sent as it is stored, with the two values that name the message taken out. */
async function deliveredAnswer(task: SiteTask): Promise<string> {
  await site.db.deleteFrom('question_charge').execute(); // the budget is full each time, so that nothing but the set differs
  hub.send(task);
  const { answeredAt } = await hub.answerTo(task.taskId);
  const row = await site.db
    .selectFrom('task')
    .select('answer_envelope')
    .where('task_id', '=', task.taskId)
    .executeTakeFirstOrThrow();
  const payload = Buffer.from(row.answer_envelope?.payload ?? '', 'base64').toString('utf8');
  assert.ok(payload.includes(task.taskId) && payload.includes(answeredAt));
  return payload.replace(task.taskId, 'task').replace(answeredAt, 'time');
}

/** Every statement that answering takes, of the tables and of PostgreSQL, without its parameters. */
async function stepsTo(task: QuestionTask): Promise<string[]> {
  const steps: string[] = [];
  await site.db.deleteFrom('question_charge').execute();
  const blobs = await openBlobStore({ dir: `${site.settings.dataDir}/blobs` });
  const engine = await openTableEngine({ dataDir: site.settings.dataDir, blobs, memoryMiB: 128, threads: 1 });
  try {
    const { body } = await createQuestions(depsOf(engine, steps)).answer(task, new AbortController().signal);
    assert.equal(body.kind, task.kind);
    return steps;
  } finally {
    engine.close();
  }
}

function depsOf(engine: TableEngine, steps: string[]): QuestionsDeps {
  const { database, db } = site;
  const recorder: KyselyPlugin = {
    transformQuery({ node, queryId }) {
      steps.push(`row: ${new PostgresQueryCompiler().compileQuery(node, queryId).sql}`);
      return node;
    },
    transformResult: async ({ result }) => result,
  };
  return {
    database: {
      ...database,
      transaction: <S, R>(work: (tx: Tx<S>) => Promise<R>) =>
        database.transaction((tx: Tx<S>) => work(tx.withPlugin(recorder))),
    },
    db,
    clock: systemClock,
    log: createLogger({ name: 'test', level: 'silent' }),
    keyPair: generateKeyPair(),
    siteId: hub.siteId(),
    withoutLeavers: async (dataset) => dataset, // registered from a file
    engine: {
      ...engine,
      session: (signal, work) =>
        engine.session(signal, (session) =>
          work({
            ...session,
            numbers(query, onChunk) {
              steps.push(`table: ${query.sql}`);
              return session.numbers(query, onChunk);
            },
          }),
        ),
    },
    noiseSecret: 'a secret of this test',
    async findDataset(name) {
      const row = await db.selectFrom('dataset').selectAll().where('name', '=', name).executeTakeFirstOrThrow();
      const { schema, schema_digest: schemaDigest, content_digest: contentDigest, feasibility } = row;
      return { schema, schemaDigest, contentDigest, feasibility };
    },
    standingOf: async (_projectId: ProjectId) => undefined,
    questionsGranted: async () => 0,
  };
}
