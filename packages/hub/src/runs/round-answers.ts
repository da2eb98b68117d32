/**
 * Whether an answer is what its step asked for, decided before it counts: right kind, right shape, numbers that are finite,
 * files that are here and are exactly the tensors of the plan. A round is folded only from answers that passed.
 */
import {
  type AnswerBody,
  AppError,
  type GraphManifest,
  type RoundTask,
  type RunId,
  type TensorRef,
} from '@lantern/contract';
import { evaluationMetrics, featureNames } from '@lantern/learning';
import type { RoundAnswers } from '../exchange/answers.ts';
import type { HubContext } from '../hub-context.ts';
import { projectFor } from '../projects/projects.ts';
import type { FoldingDeps } from './folding.ts';
import { graphOf } from './results.ts';
import * as store from './store.ts';
import { holdFiles } from './sweeping.ts';
import { checkUpdateFile } from './update-file.ts';

export type RoundAnswersDeps = Pick<HubContext, 'db'> & FoldingDeps & { readonly look: (runId: RunId) => void };

const ANSWER_OF_STEP = {
  prepare: 'prepared',
  standardise: 'moments',
  newton: 'newton',
  train: 'update',
  evaluate: 'evaluation',
} as const;

export function createRoundAnswers(deps: RoundAnswersDeps): RoundAnswers {
  const preparedRowCount = rememberRowCounts(deps);
  return {
    problemOf: async (task, body) => {
      const expected = ANSWER_OF_STEP[task.step.kind];
      if (body.kind !== expected) return `Step ${task.step.kind} was asked for; the answer is of kind ${body.kind}.`;
      if ((body.kind === 'newton' || body.kind === 'update') && body.rowCount > (await preparedRowCount(task))) {
        return 'rowCount is more than the site prepared.'; // a site cannot claim more rows: the number weighs its update
      }
      return bodyProblem(deps, task, body);
    },

    holdFiles: (tx, body) => holdFiles(deps, tx, body),

    /** A run may go on after the last answer, the one that makes quorum, or a drop-out. */
    async taskEnded({ runId, round }) {
      // Read after the commit: of answers that come together, the last to commit sees them all.
      const { quorum, answered, pending } = await store.tallyRound(deps.db, runId, round);
      if (pending === 0 || answered >= quorum || answered + pending < quorum) deps.look(runId);
    },
  };
}

const REMEMBERED_COUNT_MAX = 20_000; // 100 runs of 100 sites at once, twice over

/** Rows that the site of a task had when it prepared: fixed from then on, so read once. Without a limit before. */
function rememberRowCounts(deps: RoundAnswersDeps): (task: RoundTask) => Promise<number> {
  const known = new Map<string, number>();
  return async ({ runId, siteId }) => {
    const key = `${runId} ${siteId}`;
    const rowCount = known.get(key) ?? (await store.findPreparedRowCount(deps.db, runId, siteId));
    if (rowCount === undefined) return Number.POSITIVE_INFINITY;
    if (known.size >= REMEMBERED_COUNT_MAX) known.clear();
    known.set(key, rowCount);
    return rowCount;
  };
}

async function bodyProblem(deps: RoundAnswersDeps, task: RoundTask, body: AnswerBody): Promise<string | undefined> {
  if (body.kind === 'moments') {
    const featureCount = await featureCountOf(deps, task);
    const fits = body.moments.mean.length === featureCount && body.moments.m2.length === featureCount;
    return fits ? undefined : `moments must have ${featureCount} features.`;
  }
  if (body.kind === 'newton' && task.step.kind === 'newton') {
    const size = task.step.theta.length;
    const fits = body.gradient.length === size && body.hessian.length === size * size;
    return fits ? undefined : `gradient must have ${size} numbers and hessian ${size * size}.`;
  }
  if (body.kind === 'evaluation') return messageOfRefusal(() => evaluationMetrics(body.evaluation));
  if (body.kind === 'update' && task.step.kind === 'train') {
    return updateProblem(deps, graphOf(task.manifest), {
      delta: body.delta,
      controlDelta: body.controlDelta,
      controlExpected: task.step.strategy.kind === 'scaffold',
    });
  }
  return undefined;
}

/** What a check of `learning` says against a number; `undefined` when it says nothing. */
function messageOfRefusal(check: () => unknown): string | undefined {
  try {
    check();
    return undefined;
  } catch (caught) {
    if (caught instanceof AppError) return caught.message;
    throw caught;
  }
}

async function featureCountOf(deps: RoundAnswersDeps, task: RoundTask): Promise<number> {
  const project = await projectFor(deps.db, task.projectId);
  const algorithm = project.spec.algorithms.find((candidate) => candidate.name === task.algorithm);
  if (algorithm === undefined) throw new AppError('internal', 'The task names an algorithm its project does not have.');
  return featureNames(algorithm.features).length;
}

async function updateProblem(
  deps: FoldingDeps,
  manifest: GraphManifest,
  update: { delta: TensorRef; controlDelta: TensorRef | undefined; controlExpected: boolean },
): Promise<string | undefined> {
  if (update.controlExpected !== (update.controlDelta !== undefined)) {
    return update.controlExpected ? 'controlDelta is missing.' : 'controlDelta was not asked for.';
  }
  const files = [update.delta, ...(update.controlDelta === undefined ? [] : [update.controlDelta])];
  for (const file of files) {
    const problem = (await uploadProblem(deps, file)) ?? (await contentProblem(deps, file, manifest));
    if (problem !== undefined) return problem;
  }
  return undefined;
}

async function uploadProblem(deps: FoldingDeps, file: TensorRef): Promise<string | undefined> {
  if (file.bytes !== undefined) return undefined;
  const present = await deps.blobs.stat(file.digest);
  if (present === undefined) throw missing();
  return present.sizeBytes === file.sizeBytes ? undefined : 'sizeBytes is not the size of the uploaded update.';
}

/** A sweep may take the same bytes of another round away at any moment before the answer holds them. */
async function contentProblem(
  deps: FoldingDeps,
  file: TensorRef,
  manifest: GraphManifest,
): Promise<string | undefined> {
  try {
    return await checkUpdateFile(deps, file, manifest.parameters);
  } catch (caught) {
    if (caught instanceof AppError && caught.code === 'not-found') throw missing();
    throw caught;
  }
}

function missing(): AppError {
  return new AppError('conflict', 'The update was not uploaded yet, or is gone; upload it, then answer.');
}
