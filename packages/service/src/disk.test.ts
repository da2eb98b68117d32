import assert from 'node:assert/strict';
import { tmpdir } from 'node:os';
import { test } from 'node:test';
import { AppError } from '@lantern/contract';
import { assertFreeBytes, freeBytes, fromDiskError } from './disk.ts';

const systemError = (code: string) => Object.assign(new Error(code), { code });

test('a full disk and an exhausted quota become one retryable error with their cause', () => {
  for (const code of ['ENOSPC', 'EDQUOT']) {
    const cause = systemError(code);
    const translated = fromDiskError(cause);
    assert.ok(translated instanceof AppError);
    assert.equal(translated.code, 'storage.full');
    assert.equal(translated.failureClass, 'transient');
    assert.equal(translated.cause, cause);
  }
});

test('any other error stays what it was', () => {
  for (const caught of [systemError('EACCES'), new AppError('conflict', 'x'), 'text', undefined]) {
    assert.equal(fromDiskError(caught), caught);
  }
});

test('room is granted up to the reserve and not beyond', async () => {
  const free = await freeBytes(tmpdir());
  assert.ok(free > 0);
  await assertFreeBytes(tmpdir(), 1_000, 0);
  await assert.rejects(assertFreeBytes(tmpdir(), free * 2, 0), { code: 'storage.full' });
  await assert.rejects(assertFreeBytes(tmpdir(), 0, free * 2), { code: 'storage.full' });
});
