import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { DicomError } from '../dicom-error.ts';
import { PROFILE_DEFAULT, parseDeidentificationProfile } from './profile.ts';

const refusedBecause = (words: RegExp) => (thrown: unknown) =>
  thrown instanceof DicomError && thrown.code === 'profile' && words.test(thrown.message);

describe('a profile of de-identification', () => {
  test('keeps least where it says nothing', () => {
    assert.deepEqual(parseDeidentificationProfile({}), PROFILE_DEFAULT);
    const kept = Object.values(PROFILE_DEFAULT).filter((value) => value === 'retain');
    assert.deepEqual(kept, []);
  });

  test('takes each setting as it is given', () => {
    const given = {
      name: 'Stroke study 2',
      uids: 'retain',
      dates: 'shift',
      dateShiftDaysMax: 30,
      birthDate: 'shift',
      patientCharacteristics: 'retain',
      ageYearsMax: 85,
      deviceIdentity: 'retain',
      institutionIdentity: 'retain',
      safePrivate: 'retain',
      descriptors: 'clean',
      structuredContent: 'clean',
      graphics: 'clean',
      pixels: 'untouched',
      readPixels: 'all',
    };
    assert.deepEqual(parseDeidentificationProfile(given), { ...given, pixelRules: [] });
  });

  for (const [what, given, words] of [
    ['a key that it does not know', { retainUids: true }, /retainUids is not a setting/],
    ['a key that every object has', { constructor: 'x' }, /constructor is not a setting/],
    ['a value that is none of the choices', { dates: 'keep' }, /dates must be one of: remove, shift, retain/],
    ['an option that is not there', { recognizableVisualFeatures: 'clean' }, /not supported/],
    ['a shift of a fraction of a day', { dateShiftDaysMax: 0.5 }, /whole number from 1/],
    [
      'a birth date without shifted dates',
      { birthDate: 'shift', dates: 'remove', patientCharacteristics: 'retain' },
      /birthDate/,
    ],
    ['a name with a line end', { name: 'a\nb' }, /name must be/],
    ['a list', [], /JSON object/],
    [
      'a pixel rule on an attribute that is none',
      {
        pixelRules: [
          { label: 'a', all: [[{ how: 'equals', field: 'Maker', values: ['x'] }]], regions: [[0, 0, 1, 1]] },
        ],
      },
      /keyword/,
    ],
    [
      'a pixel rule without conditions',
      { pixelRules: [{ label: 'a', all: [], regions: [[0, 0, 1, 1]] }] },
      /conditions/,
    ],
    [
      'a pixel rule with half a region',
      {
        pixelRules: [{ label: 'a', all: [[{ how: 'missing', field: 'Modality', values: [] }]], regions: [[0, 0, 1]] }],
      },
      /four whole numbers/,
    ],
  ] as const) {
    test(`refuses ${what}`, () => {
      assert.throws(() => parseDeidentificationProfile(given), refusedBecause(words));
    });
  }
});
