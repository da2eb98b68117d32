/**
 * Stops work at once when the approval it rests on ends: whoever works for a project holds a signal that aborts in the same
 * process in which the decision is taken. It is a shortcut only; the policy is asked again before anything leaves.
 */
import { AppError, type ProjectId } from '@lantern/contract';

export type DecisionWatch = {
  /** A signal that aborts when the project's approval ends. `release` it when the work has ended. */
  watch(projectId: ProjectId): { readonly signal: AbortSignal; release(): void };
  approvalEnded(projectId: ProjectId): void;
};

export function createDecisionWatch(): DecisionWatch {
  const watchers = new Map<ProjectId, Set<AbortController>>();
  return {
    watch(projectId) {
      const controller = new AbortController();
      const group = watchers.get(projectId) ?? new Set();
      group.add(controller);
      watchers.set(projectId, group);
      return {
        signal: controller.signal,
        release() {
          group.delete(controller);
          if (group.size === 0 && watchers.get(projectId) === group) watchers.delete(projectId);
        },
      };
    },
    approvalEnded(projectId) {
      const reason = new AppError('policy.not-approved', "This site's approval of the project has ended.");
      for (const controller of watchers.get(projectId) ?? []) controller.abort(reason);
    },
  };
}
