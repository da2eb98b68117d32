/** Asserts that a call is refused with a code, and that the message names what it should. */
import assert from 'node:assert/strict';
import { AppError, type ErrorCode } from '@lantern/contract';

export async function refused(call: Promise<unknown>, code: ErrorCode, says: RegExp = /./): Promise<void> {
  await assert.rejects(call, (caught) => {
    assert.ok(caught instanceof AppError, `not an AppError: ${String(caught)}`);
    assert.equal(caught.code, code, caught.message);
    assert.match(caught.message, says);
    return true;
  });
}
