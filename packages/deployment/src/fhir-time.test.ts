import assert from 'node:assert/strict';
import { test } from 'node:test';
import { completedYears, parseDate, parseTime } from './fhir-time.ts';

test('an instant with its zone is one moment, to the millisecond', () => {
  const at = Date.UTC(2026, 2, 10, 7, 0, 0, 123);
  assert.deepEqual(parseTime('2026-03-10T08:00:00.123+01:00'), { earliest: at, latest: at });
  assert.deepEqual(parseTime('2026-03-10T08:00:00.123456789+01:00'), { earliest: at, latest: at });
});

test('a date spans every moment that has this date somewhere on Earth', () => {
  assert.deepEqual(parseTime('2026-03-10'), {
    earliest: Date.UTC(2026, 2, 9, 10), // 00:00 at UTC+14
    latest: Date.UTC(2026, 2, 11, 12) - 1, // 24:00 at UTC-12
  });
});

test('what is less exact than a day, has no zone or does not exist is no time', () => {
  const texts = ['', '2026', '2026-03', '2026-02-29', '2026-13-01', '2026-03-10T08:00:00', '2026-03-10T08:00Z'];
  const more = [
    '2026-03-10T24:00:00Z',
    '2026-03-10T08:00:60Z',
    '2026-03-10T08:00:00+15:00',
    ' 2026-03-10',
    '2026-03-10 ',
  ];
  for (const text of [...texts, ...more, '0000-01-01', '12026-03-10']) assert.equal(parseTime(text), undefined, text);
});

test('the 29th of February exists in leap years', () => {
  assert.deepEqual(parseDate('2024-02-29'), { year: 2024, month: 2, day: 29 });
  assert.equal(parseDate('2100-02-29'), undefined);
});

test('years are completed on the birthday, and on 1 March for those born on 29 February', () => {
  const spring = { year: 1970, month: 3, day: 15 };
  assert.equal(completedYears(spring, new Date('2026-03-14T23:59:59Z')), 55);
  assert.equal(completedYears(spring, new Date('2026-03-15T00:00:00Z')), 56);
  const born = { year: 2000, month: 2, day: 29 };
  assert.equal(completedYears(born, new Date('2026-02-28T23:59:59Z')), 25);
  assert.equal(completedYears(born, new Date('2026-03-01T00:00:00Z')), 26);
  assert.equal(completedYears({ year: 2027, month: 1, day: 1 }, new Date('2026-03-01T00:00:00Z')), -1);
});
