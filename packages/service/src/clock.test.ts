import assert from 'node:assert/strict';
import { test } from 'node:test';
import { manualClock, systemClock } from './clock.ts';

test('a manual clock stands still until it is advanced, and both times advance together', () => {
  const clock = manualClock('2026-03-01T08:00:00.250Z');
  const startMs = clock.monotonicMs();
  assert.equal(clock.now().toISOString(), '2026-03-01T08:00:00.250Z');
  clock.advanceMs(90_061_500);
  assert.equal(clock.now().toISOString(), '2026-03-02T09:01:01.750Z');
  assert.equal(clock.monotonicMs() - startMs, 90_061_500);
});

test('a date it gave out does not change when the clock is advanced', () => {
  const clock = manualClock('2026-03-01T08:00:00Z');
  const before = clock.now();
  clock.advanceMs(1_000);
  assert.equal(before.getTime(), Date.parse('2026-03-01T08:00:00Z'));
});

test('a manual clock refuses to run backwards and to start at no time', () => {
  const clock = manualClock('2026-03-01T08:00:00Z');
  for (const ms of [-1, Number.NaN]) assert.throws(() => clock.advanceMs(ms), RangeError);
  assert.throws(() => manualClock('tomorrow'), RangeError);
});

test('the system clock agrees with the machine and never runs backwards', () => {
  assert.ok(Math.abs(systemClock.now().getTime() - Date.now()) < 1_000);
  const first = systemClock.monotonicMs();
  assert.ok(systemClock.monotonicMs() >= first);
});
