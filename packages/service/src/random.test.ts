import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isId } from '@lantern/contract';
import { newId, newSecret } from './random.ts';

test('an id is of its kind and of no other', () => {
  const id = newId('RunId');
  assert.ok(isId('RunId', id));
  assert.ok(!isId('SiteId', id));
});

test('ten thousand ids are all different and use every character of their alphabet', () => {
  const ids = Array.from({ length: 10_000 }, () => newId('TaskId'));
  assert.equal(new Set(ids).size, 10_000);
  assert.equal(new Set(ids.map((id) => id.slice(5)).join('')).size, 32);
});

test('a secret holds as many random bytes as asked for, in characters that need no escaping', () => {
  const secret = newSecret(32);
  assert.match(secret, /^[A-Za-z0-9_-]{43}$/);
  assert.equal(Buffer.from(secret, 'base64url').length, 32);
  assert.notEqual(newSecret(32), secret);
});

test('a secret that could be guessed is refused', () => {
  for (const bytes of [0, 15, 16.5]) assert.throws(() => newSecret(bytes), RangeError);
});
