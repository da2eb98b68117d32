import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AppError } from '@lantern/contract';
import { fromDatabaseError } from './database-error.ts';

const withCode = (code: string) => Object.assign(new Error('x'), { code });

function codeOf(caught: unknown): string {
  const translated = fromDatabaseError(caught);
  return translated instanceof AppError ? translated.code : 'unchanged';
}

test('what says that the connection or the server is gone is one retryable error', () => {
  for (const code of ['ECONNREFUSED', 'ECONNRESET', 'EPIPE', '57P01', '57P03', '08006', '08P01', '53300']) {
    assert.equal(codeOf(withCode(code)), 'database.unavailable', code);
  }
  const noSocket = Object.assign(withCode('ENOENT'), { syscall: 'connect' });
  assert.equal(codeOf(noSocket), 'database.unavailable');
  for (const message of [
    'Connection terminated unexpectedly',
    'Connection terminated due to connection timeout',
    'timeout exceeded when trying to connect',
    'Client has encountered a connection error and is not queryable',
  ]) {
    assert.equal(codeOf(new Error(message)), 'database.unavailable', message);
  }
});

test('a transaction that met another one may run again', () => {
  for (const code of ['40001', '40P01', '55P03']) assert.equal(codeOf(withCode(code)), 'database.unavailable', code);
});

test('a full disk of the server is a full disk', () => {
  assert.equal(codeOf(withCode('53100')), 'storage.full');
});

test('what says something about the caller comes back as it was', () => {
  for (const caught of [
    withCode('23505'),
    Object.assign(withCode('ENOENT'), { syscall: 'open' }),
    withCode('42P01'),
    withCode('0A000'),
    new TypeError('x'),
    'text',
    undefined,
  ]) {
    assert.equal(fromDatabaseError(caught), caught);
  }
  const own = new AppError('conflict', 'Connection terminated by the user');
  assert.equal(fromDatabaseError(own), own);
});
