import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { dateSpellings, shiftDate, yearsBetween } from './dates.ts';

describe('dates', () => {
  for (const [from, days, to] of [
    ['20040301', -1, '20040229'],
    ['20030301', -1, '20030228'],
    ['20040101', -366, '20021231'],
    ['2004.01.19', -20, '2003.12.30'],
    ['20040119072730.123456+0100', -19, '20031231072730.123456+0100'],
    ['2004011907', -1, '2004011807'],
  ] as const) {
    test(`${from} moves by ${days} days to ${to}, its time untouched`, () => {
      assert.equal(shiftDate(from, days), to);
    });
  }

  for (const text of [
    '20040230',
    '20041301',
    '2004',
    '200401',
    '00010101',
    'yesterday',
    '20040119Smith',
    '20040119072730Z',
  ]) {
    test(`${text} is no date that days can be added to`, () => {
      assert.equal(shiftDate(text, -1), undefined);
    });
  }

  test('keep their intervals', () => {
    const day = (text: string) => Date.parse(`${text.slice(0, 4)}-${text.slice(4, 6)}-${text.slice(6)}`) / 86_400_000;
    const [first = '', second = ''] = ['19991231', '20240229'].map((date) => shiftDate(date, -777));
    assert.equal(day(second) - day(first), day('20240229') - day('19991231'));
  });

  test('are known in the spellings of forms, letters and machines', () => {
    const { long, short } = dateSpellings('19500704');
    for (const spelling of ['19500704', '04071950', '07041950', '4july1950', 'jul41950', '04jul1950'])
      assert.ok(long.includes(spelling), spelling);
    for (const spelling of ['500704', '040750', '070450', '4jul50', '471950'])
      assert.ok(short.includes(spelling), spelling);
  });

  test('tell an age, whole years and not one more', () => {
    assert.equal(yearsBetween('19500720', '20040719'), 53);
    assert.equal(yearsBetween('19500720', '20040720'), 54);
    assert.equal(yearsBetween('', '20040720'), undefined);
  });
});
