/** A task as the audit log describes it: ids and names of ours, nothing of its content. */
import type { SiteTask } from '@lantern/contract';

export function taskDetails(task: SiteTask): Record<string, string | number> {
  const common = { projectId: task.projectId, kind: task.kind };
  return task.kind === 'round'
    ? { ...common, runId: task.runId, round: task.round, step: task.step.kind }
    : { ...common, dataset: task.dataset };
}
