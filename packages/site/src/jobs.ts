/**
 * The site's durable jobs: every effect outside the database is one of these rows, written in the transaction of the change
 * that asks for it.
 */
import { type DatasetBuildId, IdSchema, type ProjectId, parse, type TaskId } from '@lantern/contract';
import type { QueueTask } from '@lantern/service';
import { Type } from 'typebox';

export const JOBS = {
  /** Performs a task of the hub and delivers its answer. */
  performTask: 'task.perform',
  /** Sends the copy of a decision to the hub. */
  deliverDecision: 'decision.deliver',
  /** Tells the hub which datasets are offered now. */
  offerDatasets: 'datasets.offer',
  /** Builds a dataset out of a cohort. */
  buildDataset: 'datasets.build',
  /** Makes the research copies of a study in one collection. */
  copyStudy: 'research-images.copy-study',
  /** Finds the studies that an approved collection takes of those that are here. */
  fillCollection: 'research-images.fill-collection',
  /** Removes the copies of a collection that was withdrawn. */
  removeCopies: 'research-images.remove-copies',
  /** Removes the copies of patients who have opted out, and copies those who no longer do. */
  applyOptOuts: 'research-images.apply-opt-outs',
} as const;

export type JobHandlers = {
  readonly performTask: (taskId: TaskId, job: { signal: AbortSignal; attempt: number }) => Promise<void>;
  readonly deliverDecision: (projectId: ProjectId, sequence: number, signal: AbortSignal) => Promise<void>;
  readonly offerDatasets: (signal: AbortSignal) => Promise<void>;
  readonly buildDataset: (buildId: DatasetBuildId, signal: AbortSignal) => Promise<void>;
};

const PerformTaskSchema = Type.Object({ taskId: IdSchema('TaskId') });
const BuildDatasetSchema = Type.Object({ buildId: IdSchema('DatasetBuildId') });
const DeliverDecisionSchema = Type.Object({ projectId: IdSchema('ProjectId'), sequence: Type.Integer() });

export function buildIdOf(payload: unknown): DatasetBuildId {
  return parse(BuildDatasetSchema, payload, { what: 'job', code: 'internal' }).buildId;
}

/** The handlers as the queue wants them. */
export function queueTasks(handlers: JobHandlers): Record<string, QueueTask> {
  return {
    [JOBS.performTask]: async (payload, job) => {
      const { taskId } = parse(PerformTaskSchema, payload, { what: 'job', code: 'internal' });
      await handlers.performTask(taskId, job);
    },
    [JOBS.deliverDecision]: async (payload, { signal }) => {
      const { projectId, sequence } = parse(DeliverDecisionSchema, payload, { what: 'job', code: 'internal' });
      await handlers.deliverDecision(projectId, sequence, signal);
    },
    [JOBS.offerDatasets]: async (_payload, { signal }) => handlers.offerDatasets(signal),
    [JOBS.buildDataset]: async (payload, { signal }) => {
      await handlers.buildDataset(buildIdOf(payload), signal);
    },
  };
}
