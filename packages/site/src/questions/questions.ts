/**
 * Counts and summaries: rows become sets of patients, and sets go through the disclosure gate (`gated-release.ts`).
 */
import { AppError, type ProjectId, type SiteTask } from '@lantern/contract';
import {
  answerCount,
  answerSummary,
  type PatientSet,
  type PatientTable,
  planQuestion,
  type QuestionPlan,
} from '@lantern/omop';
import { LISTS_STALE } from '../cohort-datasets/remainder.ts';
import type { Dataset } from '../datasets/datasets.ts';
import { readPatientCells, readPatients } from '../datasets/patients.ts';
import type { TableEngine } from '../datasets/table-engine.ts';
import type { Performed } from '../exchange/performer.ts';
import { allowsQuestion, type QuestionPermission, type Refusal, type Standing } from '../governance/policy.ts';
import type { SiteTx } from '../tables.ts';
import { askGate, budgetSpent, decisionOf, type GateDeps, refused } from './gated-release.ts';

export type QuestionTask = Extract<SiteTask, { kind: 'count' | 'summary' }>;

export type QuestionsDeps = GateDeps & {
  readonly engine: TableEngine;
  readonly findDataset: (name: string) => Promise<Dataset | undefined>;
  /** With the content that may be used now: patients who opted out since have left it. */
  readonly withoutLeavers: (dataset: Dataset, signal: AbortSignal) => Promise<Dataset | 'lists-stale'>;
  readonly standingOf: (projectId: ProjectId, signal: AbortSignal) => Promise<Standing | undefined>;
};

export function createQuestions(deps: QuestionsDeps) {
  return {
    async answer(task: QuestionTask, signal: AbortSignal): Promise<Performed> {
      const offered = await deps.findDataset(task.dataset);
      const permission = await permissionOf(deps, { task, dataset: offered, signal });
      if (offered === undefined) return refused('not-found', `This site offers no dataset "${task.dataset}".`);
      if (!permission.allowed) return refused(permission.code, permission.message);
      const dataset = await deps.withoutLeavers(offered, signal);
      if (dataset === 'lists-stale') return refused('policy.refused', LISTS_STALE);
      const plan = await planOrRefuse(deps, task, dataset);
      if ('body' in plan) return plan;
      const counted = await countPatients(deps, { plan, dataset, signal });
      const asked = { task, permission, plan, counted };
      const performed = await deps.database.transaction((tx: SiteTx) => releaseInside(deps, tx, asked));
      return { ...performed, wording: plan.price.key };
    },

    /** May the stored answer still leave? */
    async recheck(task: QuestionTask): Promise<Refusal | undefined> {
      const dataset = await deps.findDataset(task.dataset);
      const permission = await permissionOf(deps, { task, dataset, signal: new AbortController().signal });
      return permission.allowed ? undefined : permission;
    },
  };
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
  permission: QuestionPermission;
  plan: QuestionPlan;
  counted: Counted;
};

async function releaseInside(deps: QuestionsDeps, tx: SiteTx, asked: Asked): Promise<Performed> {
  const { task, permission, plan, counted } = asked;
  const answer = await askGate(deps, tx, {
    task,
    permission,
    sets: [counted.total, ...counted.tables.flatMap(({ cells }) => cells.map(({ patients }) => patients))],
    ask: (gate) =>
      task.kind === 'count'
        ? answerCount(gate, { price: plan.price, patients: counted.total })
        : answerSummary(gate, { price: plan.price, ...counted }),
  });
  if (answer.kind === 'budget-spent') return budgetSpent(permission, plan.price.cost, answer);
  const { questionsLeft } = answer;
  const body: Performed['body'] =
    answer.kind === 'count'
      ? { kind: 'count', count: answer.count, questionsLeft }
      : { kind: 'summary', total: answer.total, tables: [...answer.tables], questionsLeft };
  return { body, ...decisionOf(permission) };
}
