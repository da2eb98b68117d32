/**
 * Counts and summaries: rows become sets of patients, and sets go through the disclosure gate.
 *
 * Invariant: questions on one dataset are answered one after another, each seeing the history the one before it left, and
 * what the gate wants kept is committed before the answer can leave. Two questions at once could otherwise get two answers
 * where the second must repeat the first. The history and the noise belong to the dataset, whoever asks and whichever version
 * of its content is asked: a patient keeps its number when the dataset is registered again (`datasets/table-file.ts`), so two
 * versions that differ by one patient are as near to each other as two questions that do.
 */
import { createHmac } from 'node:crypto';
import { AppError, type CountPolicy, type Digest, type ProjectId, type SiteTask } from '@lantern/contract';
import {
  type AnsweredSet,
  answerCount,
  answerSummary,
  type CountGate,
  isNear,
  type Keep,
  type KeyedHash,
  nearRanges,
  type PatientSet,
  type PatientTable,
  planQuestion,
  type QuestionBudget,
  type QuestionPlan,
} from '@lantern/omop';
import type { Dataset } from '../datasets/datasets.ts';
import { readPatientCells, readPatients } from '../datasets/patients.ts';
import type { TableEngine } from '../datasets/table-engine.ts';
import type { Performed } from '../exchange/performer.ts';
import { allowsQuestion, type Refusal, type Standing } from '../governance/policy.ts';
import type { SiteContext } from '../site-context.ts';
import type { SiteDb, SiteTx } from '../tables.ts';
import * as store from './store.ts';

export type QuestionTask = Extract<SiteTask, { kind: 'count' | 'summary' }>;

export type QuestionsDeps = SiteContext & {
  readonly engine: TableEngine;
  /** Made at this site, never leaves; draws the noise that stays with a set. */
  readonly noiseSecret: string;
  readonly findDataset: (name: string) => Promise<Dataset | undefined>;
  readonly standingOf: (projectId: ProjectId, signal: AbortSignal) => Promise<Standing | undefined>;
  readonly questionsGranted: (db: SiteDb, projectId: ProjectId, dataset: string) => Promise<number>;
};

export function createQuestions(deps: QuestionsDeps) {
  return {
    async answer(task: QuestionTask, signal: AbortSignal): Promise<Performed> {
      const dataset = await deps.findDataset(task.dataset);
      const permission = await permissionOf(deps, { task, dataset, signal });
      if (dataset === undefined) return refused('not-found', `This site offers no dataset "${task.dataset}".`);
      if (!permission.allowed) return refused(permission.code, permission.message);
      const plan = await planOrRefuse(deps, task, dataset);
      if ('body' in plan) return plan;
      const counted = await countPatients(deps, { plan, dataset, signal });
      return deps.database.transaction((tx: SiteTx) => releaseInside(deps, tx, { task, permission, plan, counted }));
    },

    /** May the stored answer still leave? */
    async recheck(task: QuestionTask): Promise<Refusal | undefined> {
      const dataset = await deps.findDataset(task.dataset);
      const permission = await permissionOf(deps, { task, dataset, signal: new AbortController().signal });
      return permission.allowed ? undefined : permission;
    },
  };
}

/** The noise of a set, by a secret of this site: `purpose` separates uses. */
export function keyedHashOf(secret: string): KeyedHash {
  const key = Buffer.from(secret, 'utf8');
  return (purpose, message) => createHmac('sha256', key).update(`${purpose}\0`).update(message).digest();
}

async function permissionOf(
  deps: QuestionsDeps,
  asked: { task: QuestionTask; dataset: Dataset | undefined; signal: AbortSignal },
) {
  const standing = await deps.standingOf(asked.task.projectId, asked.signal);
  return allowsQuestion(standing, {
    dataset: asked.task.dataset,
    feasibility: asked.dataset?.feasibility ?? 'approved-projects',
    now: deps.clock.now(),
  });
}

/** A filter that does not fit the schema is the asker's mistake, and an answer; it names schema words only. */
async function planOrRefuse(
  deps: QuestionsDeps,
  task: QuestionTask,
  dataset: Dataset,
): Promise<QuestionPlan | Performed> {
  const table = await deps.engine.tableOf(dataset.contentDigest);
  const { schema, contentDigest: dataVersion } = dataset;
  try {
    const columns = task.kind === 'summary' ? { columns: task.columns } : {};
    return planQuestion({ schema, table, dataVersion, filter: task.filter, ...columns });
  } catch (caught) {
    if (!(caught instanceof AppError) || caught.code !== 'input.invalid') throw caught;
    return { body: { kind: 'failed', code: caught.code, message: caught.message } };
  }
}

type Counted = { readonly total: PatientSet; readonly tables: readonly PatientTable[] };

async function countPatients(
  deps: QuestionsDeps,
  asked: { plan: QuestionPlan; dataset: Dataset; signal: AbortSignal },
): Promise<Counted> {
  return deps.engine.session(asked.signal, async (session) => {
    const total = await readPatients(session, asked.plan.total);
    const tables: PatientTable[] = [];
    for (const { column, labels, query } of asked.plan.partitions) {
      const sets = await readPatientCells(session, query, labels.length);
      const cells = labels.flatMap((label, cell) => {
        const patients = sets[cell];
        return patients === undefined ? [] : [{ label, patients }];
      });
      tables.push({ column, cells });
    }
    return { total, tables };
  });
}

type Asked = {
  task: QuestionTask;
  permission: { counts: CountPolicy; decisionDigest?: Digest };
  plan: QuestionPlan;
  counted: Counted;
};

async function releaseInside(deps: QuestionsDeps, tx: SiteTx, asked: Asked): Promise<Performed> {
  const { task, permission, plan, counted } = asked;
  const { dataset } = task;
  await store.lockDataset(tx, dataset);
  const gate: CountGate = {
    policy: permission.counts,
    keyedHash: keyedHashOf(deps.noiseSecret),
    history: await nearHistory(tx, { dataset, counted, policy: permission.counts }),
    budget: await budgetOf(deps, tx, task, permission.decisionDigest !== undefined),
  };
  const decision = permission.decisionDigest === undefined ? {} : { decisionDigest: permission.decisionDigest };
  const answer =
    task.kind === 'count'
      ? answerCount(gate, { price: plan.price, patients: counted.total })
      : answerSummary(gate, { price: plan.price, ...counted });
  if (answer.kind === 'budget-spent') {
    const whose = permission.decisionDigest === undefined ? 'that undecided projects share' : 'of this project';
    const message = `The question budget ${whose} on this dataset is spent; the governance lead may grant more.`;
    return { ...refused('disclosure.budget-spent', message), ...decision };
  }
  await keep(deps, tx, task, answer.keep);
  const { questionsLeft } = answer;
  if (answer.kind === 'count') return { body: { kind: 'count', count: answer.count, questionsLeft }, ...decision };
  return { body: { kind: 'summary', total: answer.total, tables: [...answer.tables], questionsLeft }, ...decision };
}

/** An approved project pays by itself, also for what it asked before; all others from the budget they share, then by grants. */
async function budgetOf(
  deps: QuestionsDeps,
  tx: SiteTx,
  { projectId, dataset }: QuestionTask,
  isApproved: boolean,
): Promise<QuestionBudget> {
  return {
    granted: await deps.questionsGranted(tx, projectId, dataset),
    charged: await store.readCharges(tx, { projectId, dataset, withShared: isApproved }),
    shared: isApproved ? undefined : await store.readSharedCharges(tx, dataset),
  };
}

async function keep(deps: QuestionsDeps, tx: SiteTx, task: QuestionTask, kept: Keep): Promise<void> {
  await store.insertKept(tx, { projectId: task.projectId, dataset: task.dataset, at: deps.clock.now() }, kept);
}

/** The sets of the dataset's history that are near one of those counted, oldest first; read one after the other. */
async function nearHistory(
  tx: SiteTx,
  asked: { dataset: string; counted: Counted; policy: CountPolicy },
): Promise<AnsweredSet[]> {
  const { dataset, counted, policy } = asked;
  const sets = [counted.total, ...counted.tables.flatMap(({ cells }) => cells.map(({ patients }) => patients))];
  const near: AnsweredSet[] = [];
  for await (const earlier of store.streamAnswered(tx, dataset, nearRanges(sets, policy))) {
    if (isNear(earlier.patients, sets, policy)) near.push(earlier);
  }
  return near;
}

function refused(code: Refusal['code'] | 'not-found' | 'disclosure.budget-spent', message: string): Performed {
  return { body: { kind: 'refused', code, message, findings: [] } };
}
