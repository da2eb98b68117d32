/**
 * Round tasks that this process signed lately, so that their answers need not be read against the database: a task never changes
 * once it is issued, and whether it is still open is decided by the statement that ends it. What is not here any more, or was
 * issued by another process, is read from its row.
 */
import type { RoundTask, TaskId } from '@lantern/contract';

/** A task holds up to some tens of KiB of small tensors: below 50 MiB in all. */
const ISSUED_COUNT_MAX = 1000;

export type IssuedTasks = {
  readonly note: (task: RoundTask) => void;
  readonly find: (taskId: TaskId) => RoundTask | undefined;
  readonly forget: (taskId: TaskId) => void;
};

export function createIssuedTasks(): IssuedTasks {
  const tasks = new Map<TaskId, RoundTask>(); // in the order of their issue
  return {
    note(task) {
      const [oldest] = tasks.keys();
      if (tasks.size >= ISSUED_COUNT_MAX && oldest !== undefined) tasks.delete(oldest);
      tasks.set(task.taskId, task);
    },
    find: (taskId) => tasks.get(taskId),
    forget: (taskId) => void tasks.delete(taskId),
  };
}
