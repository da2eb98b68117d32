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
  type Keep,
  type KeyedHash,
  PATIENT_COLUMN,
  type PatientSet,
  type PatientTable,
  patientSet,
  planQuestion,
  type QuestionBudget,
  type QuestionPlan,
  type SqlQuery,
} from '@lantern/omop';
import type { Dataset } from '../datasets/datasets.ts';
import type { TableEngine, TableSession } from '../datasets/table-engine.ts';
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
  const histories = new Map<string, History>();
  return {
    async answer(task: QuestionTask, signal: AbortSignal): Promise<Performed> {
      const dataset = await deps.findDataset(task.dataset);
      const permission = await permissionOf(deps, { task, dataset, signal });
      if (dataset === undefined) return refused('not-found', `This site offers no dataset "${task.dataset}".`);
      if (!permission.allowed) return refused(permission.code, permission.message);
      const plan = await planOrRefuse(deps, task, dataset);
      if ('body' in plan) return plan;
      const counted = await countPatients(deps, { plan, dataset, signal });
      return deps.database.transaction((tx: SiteTx) =>
        releaseInside(deps, tx, { task, permission, plan, counted, histories }),
      );
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
    const total = patientSet((await pairs(session, asked.plan.total, ['patient'])).map(({ patient }) => patient));
    const tables: PatientTable[] = [];
    for (const { column, labels, query } of asked.plan.partitions) {
      const members = Map.groupBy(await pairs(session, query, ['cell', 'patient']), ({ cell }) => cell);
      const cells = labels.map((label, cell) => ({
        label,
        patients: patientSet((members.get(cell) ?? []).map(({ patient }) => patient)),
      }));
      tables.push({ column, cells });
    }
    return { total, tables };
  });
}

/** Patient numbers, with their cell where the query yields one. */
async function pairs(
  session: TableSession,
  query: SqlQuery,
  columns: readonly ('cell' | 'patient')[],
): Promise<{ cell: number; patient: number }[]> {
  const found: { cell: number; patient: number }[] = [];
  const names = columns.map((name) => `CAST(${name === 'patient' ? PATIENT_COLUMN : 'cell'} AS DOUBLE)`);
  await session.numbers({ ...query, sql: `SELECT ${names.join(', ')} FROM (${query.sql})` }, (chunk) => {
    const patients = chunk[columns.indexOf('patient')] ?? new Float64Array();
    const cells = chunk[columns.indexOf('cell')];
    for (const [row, patient] of patients.entries()) found.push({ cell: cells?.[row] ?? 0, patient });
  });
  return found;
}

type Asked = {
  task: QuestionTask;
  permission: { counts: CountPolicy; decisionDigest?: Digest };
  plan: QuestionPlan;
  counted: Counted;
  histories: Map<string, History>;
};

async function releaseInside(deps: QuestionsDeps, tx: SiteTx, asked: Asked): Promise<Performed> {
  const { task, permission, plan, counted } = asked;
  const { dataset } = task;
  await store.lockDataset(tx, dataset);
  const gate: CountGate = {
    policy: permission.counts,
    keyedHash: keyedHashOf(deps.noiseSecret),
    history: await historyOf(asked.histories, tx, dataset),
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

/** What was read of a dataset's history so far. It only grows, and only under the lock, so it is read once. */
type History = { readonly sets: AnsweredSet[]; ordinal: number };

async function historyOf(
  histories: Map<string, History>,
  tx: SiteTx,
  dataset: string,
): Promise<readonly AnsweredSet[]> {
  const history = histories.get(dataset) ?? { sets: [], ordinal: 0 };
  histories.set(dataset, history);
  for (const { ordinal, set } of await store.listAnswered(tx, dataset, history.ordinal)) {
    history.sets.push(set);
    history.ordinal = ordinal;
  }
  return history.sets;
}

function refused(code: Refusal['code'] | 'not-found' | 'disclosure.budget-spent', message: string): Performed {
  return { body: { kind: 'refused', code, message, findings: [] } };
}
