import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { TaskId } from '@lantern/contract';
import { createLogger, newId } from '@lantern/service';
import { createDispatcher } from './dispatcher.ts';

const log = createLogger({ name: 'test', level: 'silent' });
const never = new AbortController().signal;

/** Work that ends when the test says so. */
function controlledWork() {
  const started: TaskId[] = [];
  const ends = new Map<TaskId, { resolve: () => void; reject: (error: Error) => void }>();
  const work = (taskId: TaskId, { signal }: { signal: AbortSignal }) => {
    started.push(taskId);
    return new Promise<void>((resolve, reject) => {
      ends.set(taskId, { resolve, reject });
      signal.addEventListener('abort', () => reject(new Error('aborted')), { once: true });
    });
  };
  return { started, ends, work };
}

const settled = () => new Promise((resolve) => setImmediate(resolve));

describe('the dispatcher of tasks', () => {
  it('works on so many at a time and starts the next when one has ended', async () => {
    const { started, ends, work } = controlledWork();
    const dispatcher = createDispatcher({ work, retry: async () => undefined, concurrency: 2, log });
    const [a, b, c] = [newId('TaskId'), newId('TaskId'), newId('TaskId')];
    for (const taskId of [a, b, c]) dispatcher.start(taskId);
    assert.deepEqual(started, [a, b]);
    assert.equal(dispatcher.isBusy(c), true);
    ends.get(a)?.resolve();
    await settled();
    assert.deepEqual(started, [a, b, c]);
    assert.equal(dispatcher.isBusy(a), false);
    await dispatcher.close();
  });

  it('lets nobody else work on a task that somebody works on', async () => {
    const { started, ends, work } = controlledWork();
    const dispatcher = createDispatcher({ work, retry: async () => undefined, concurrency: 2, log });
    const taskId = newId('TaskId');
    dispatcher.start(taskId);
    await dispatcher.run(taskId, { signal: never, attempt: 2 });
    assert.deepEqual(started, [taskId]);
    ends.get(taskId)?.resolve();
    await dispatcher.close();
  });

  it('tries to keep a failed task for later until it is kept, with growing waits', async () => {
    const { ends, work } = controlledWork();
    const kept = Promise.withResolvers<TaskId>();
    const waits: number[] = [];
    const retry = async (taskId: TaskId) => {
      if (waits.length < 6) throw new Error('the database is away');
      kept.resolve(taskId);
    };
    const pause = async (ms: number) => void waits.push(ms);
    const dispatcher = createDispatcher({ work, retry, concurrency: 1, log, pause });
    const taskId = newId('TaskId');
    dispatcher.start(taskId);
    ends.get(taskId)?.reject(new Error('the database is away'));
    assert.equal(await kept.promise, taskId);
    assert.deepEqual(waits, [250, 500, 1000, 2000, 4000, 5000]);
    await dispatcher.close();
  });

  it('stops trying when it is closed', async () => {
    const { ends, work } = controlledWork();
    const tried = Promise.withResolvers<void>();
    const retry = async () => {
      tried.resolve();
      throw new Error('the database is away');
    };
    const dispatcher = createDispatcher({ work, retry, concurrency: 1, log });
    const taskId = newId('TaskId');
    dispatcher.start(taskId);
    ends.get(taskId)?.reject(new Error('the database is away'));
    await tried.promise;
    await dispatcher.close();
  });

  it('hands a failed task over to be kept for later', async () => {
    const { ends, work } = controlledWork();
    const kept: TaskId[] = [];
    const dispatcher = createDispatcher({ work, retry: async (taskId) => void kept.push(taskId), concurrency: 1, log });
    const taskId = newId('TaskId');
    dispatcher.start(taskId);
    ends.get(taskId)?.reject(new Error('the hub is away'));
    await settled();
    assert.deepEqual(kept, [taskId]);
    await dispatcher.close();
  });

  it('hands over nothing when it closes: the task is open still and is taken up at the next start', async () => {
    const { started, work } = controlledWork();
    const kept: TaskId[] = [];
    const dispatcher = createDispatcher({ work, retry: async (taskId) => void kept.push(taskId), concurrency: 1, log });
    dispatcher.start(newId('TaskId'));
    dispatcher.start(newId('TaskId'));
    await dispatcher.close();
    assert.deepEqual(kept, []);
    assert.equal(started.length, 1);
  });
});
