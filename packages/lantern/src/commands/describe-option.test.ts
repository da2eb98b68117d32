import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { AppError } from '@lantern/contract';
import { describeOption } from './describe-option.ts';

describe('what --describe asks for', () => {
  it('is written as a list, with what most people mean where a number is left out', () => {
    assert.deepEqual(
      describeOption(
        'sex,age,age:5, year,top-conditions:3,top-drugs,modality,measurement:3004410/8554/6.5/7.5,crossing:sex+age',
      ),
      [
        { kind: 'sex' },
        { kind: 'age', bandYears: 10 },
        { kind: 'age', bandYears: 5 },
        { kind: 'year' },
        { kind: 'top-conditions', limit: 3 },
        { kind: 'top-drugs', limit: 10 },
        { kind: 'modality' },
        { kind: 'measurement', conceptId: '3004410', unitConceptId: '8554', bounds: [6.5, 7.5] },
        { kind: 'crossing', of: ['sex', 'age'] },
      ],
    );
  });

  it('is refused by the part that is not understood', () => {
    for (const part of ['height', 'sex:2', 'age:7', 'crossing:sex', 'measurement:1/2/x', 'top-drugs:100']) {
      assert.throws(
        () => describeOption(`year,${part}`),
        (error) => error instanceof AppError && error.message.includes(part),
        part,
      );
    }
  });
});
