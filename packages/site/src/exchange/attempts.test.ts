import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { AppError } from '@lantern/contract';
import { isTriedAgain } from './attempts.ts';

describe('a step that failed at a site', () => {
  it('is tried as long as the task is open when the disk is full or the hub is away', () => {
    for (const code of ['storage.full', 'peer.unreachable', 'peer.ambiguous'] as const)
      assert.equal(isTriedAgain(new AppError(code, 'x'), 5_000), true, code);
  });

  it('is told to the hub after eight attempts when the algorithm ends early, at once when it cannot succeed', () => {
    assert.equal(isTriedAgain(new AppError('executor.failed', 'x'), 7), true);
    assert.equal(isTriedAgain(new AppError('executor.failed', 'x'), 8), false);
    assert.equal(isTriedAgain(new AppError('training.refused', 'x'), 1), false);
  });
});
