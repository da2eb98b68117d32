/**
 * Feasibility questions: one task per site of the project. The hub passes the question on and shows what came back; whether
 * and how a site answers is the site's own matter (its policy, its gate, its budget).
 */
import {
  AppError,
  assertCohort,
  HUB_TASK_STATES,
  isFinal,
  type NewQuestion,
  type Project,
  type ProjectId,
  type Question,
  type QuestionId,
  type SiteId,
  type SiteTask,
} from '@lantern/contract';
import { newId } from '@lantern/service';
import { activeSites } from '../enrolment/enrolment.ts';
import { issueTasks } from '../exchange/tasks.ts';
import { audit, type HubContext, type Person } from '../hub-context.ts';
import { openProject } from '../projects/projects.ts';
import type { HubDb, HubTx } from '../tables.ts';
import * as store from './store.ts';
import { sumsOf } from './sums.ts';

export async function askQuestion(
  context: HubContext,
  asked: { projectId: ProjectId; question: NewQuestion; person: Person },
): Promise<Question> {
  const { projectId, question, person } = asked;
  if ('cohort' in question) assertCohort(question.cohort); // what the sites would all refuse
  const questionId = newId('QuestionId');
  await context.transaction(async (tx: HubTx) => {
    const project = await openProject(tx, { projectId, person, states: ['draft', 'submitted'] });
    if (!project.spec.datasets.includes(question.dataset)) {
      throw new AppError('input.invalid', 'dataset is not among the datasets of the project.', { field: '/dataset' });
    }
    const askedAt = context.clock.now();
    await store.insertQuestion(tx, { questionId, projectId, question, askedBy: person.name, askedAt });
    const tasks = (await activeSites(tx, project.spec.sites)).map((siteId) => ({
      questionId,
      task: taskFor({ project, question, siteId, createdAt: askedAt }),
    }));
    await issueTasks(context, tx, tasks);
    audit(context, tx, { actor: person.userId, action: 'question.ask', object: questionId });
  });
  return currentQuestion(context.db, questionId);
}

function taskFor(about: { project: Project; question: NewQuestion; siteId: SiteId; createdAt: Date }): SiteTask {
  const { question } = about;
  const head = {
    schema: 'lantern.task/1' as const,
    taskId: newId('TaskId'),
    siteId: about.siteId,
    projectId: about.project.projectId,
    createdAt: about.createdAt.toISOString(),
    dataset: question.dataset,
  };
  if ('cohort' in question) return { ...head, kind: 'cohort', cohort: question.cohort };
  if ('concepts' in question) return { ...head, kind: 'concepts', concepts: question.concepts };
  const { filter, columns } = question;
  return columns === undefined ? { ...head, kind: 'count', filter } : { ...head, kind: 'summary', filter, columns };
}

/** The answers so far; waits up to `waitMs` for all of them. */
export async function readQuestion(
  context: HubContext,
  wanted: { questionId: QuestionId; waitMs: number; signal: AbortSignal },
): Promise<Question> {
  const endsAtMs = context.clock.monotonicMs() + wanted.waitMs;
  const subscription = context.wakeups.subscribe(`question:${wanted.questionId}`);
  try {
    for (;;) {
      const question = await currentQuestion(context.db, wanted.questionId);
      const leftMs = endsAtMs - context.clock.monotonicMs();
      if (question.complete || leftMs <= 0) return question;
      if (!(await subscription.wait(leftMs, wanted.signal))) return question;
    }
  } finally {
    subscription.close();
  }
}

async function currentQuestion(db: HubDb, questionId: QuestionId): Promise<Question> {
  const row = await store.findQuestion(db, questionId);
  if (row === undefined) throw new AppError('not-found', 'There is no such question.');
  const tasks = await store.listQuestionTasks(db, questionId);
  const sums = sumsOf(tasks.map(({ answer }) => answer ?? undefined));
  return {
    questionId,
    projectId: row.project_id,
    question: row.question,
    complete: tasks.every((task) => isFinal(HUB_TASK_STATES, task.state)),
    answers: tasks.map(({ siteId, state, answer }) => ({
      siteId,
      state,
      ...(answer === null ? {} : { body: answer }),
    })),
    ...(sums === undefined ? {} : { sums }),
  };
}
