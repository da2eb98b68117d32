import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseJson } from './json.ts';
import { validateResource } from './validator.ts';

function issuesOf(resource: unknown): string[] {
  const value = typeof resource === 'string' ? parseJson(resource, { lengthMax: 1e6, depthMax: 64 }) : resource;
  return validateResource(value).map(({ severity, code, expression }) =>
    `${severity} ${code} ${expression ?? ''}`.trim(),
  );
}

const observation = (more: object) => ({ resourceType: 'Observation', status: 'final', code: { text: 'x' }, ...more });
const patient = (more: object) => ({ resourceType: 'Patient', ...more });

describe('the validator', () => {
  const cases: readonly (readonly [string, unknown, readonly string[]])[] = [
    ['nothing of a sound resource', observation({ valueQuantity: { value: 1.5, unit: 'kg' } }), []],
    [
      'an element that is required',
      { resourceType: 'Observation', code: { text: 'x' } },
      ['error required Observation.status'],
    ],
    ['a code outside a required set', observation({ status: 'done' }), ['error code-invalid Observation.status']],
    ['an element that does not exist', observation({ colour: 'red' }), ['error structure Observation.colour']],
    [
      'two types of a choice',
      observation({ valueString: 'a', valueInteger: 1 }),
      ['error structure Observation.valueString'],
    ],
    ['a value where a list belongs', patient({ name: { family: 'A' } }), ['error structure Patient.name']],
    ['a list where a value belongs', patient({ gender: ['male'] }), ['error structure Patient.gender']],
    [
      'an empty list and an empty object',
      patient({ name: [], maritalStatus: {} }),
      ['error structure Patient.name', 'error structure Patient.maritalStatus'],
    ],
    ['a day that the calendar lacks', patient({ birthDate: '2023-02-29' }), ['error value Patient.birthDate']],
    ['nothing of a day in a leap year', patient({ birthDate: '2024-02-29' }), []],
    ['a date that is a time', patient({ birthDate: '2024-02-29T10:00:00Z' }), ['error value Patient.birthDate']],
    ['the character U+0000', patient({ name: [{ family: 'a\0b' }] }), ['error value Patient.name[0].family']],
    ['a text as boolean', patient({ active: 'true' }), ['error value Patient.active']],
    ['a number as text', patient({ id: 7 }), ['error value Patient.id']],
    [
      'a count below one',
      observation({
        component: [{ code: { text: 'x' }, valueSampledData: { origin: { value: 1 }, period: 1, dimensions: 0 } }],
      }),
      ['error value Observation.component[0].valueSampledData.dimensions'],
    ],
    [
      'an integer beyond 32 bits',
      '{"resourceType":"Observation","status":"final","code":{"text":"x"},"valueInteger":2147483648}',
      ['error value Observation.valueInteger'],
    ],
    [
      'a broken rule of the standard (obs-6)',
      observation({ valueString: 'a', dataAbsentReason: { text: 'b' } }),
      ['error invariant Observation'],
    ],
    [
      'a period that ends before it begins (per-1)',
      patient({ name: [{ period: { start: '2020-02', end: '2020-01' } }] }),
      ['error invariant Patient.name[0].period'],
    ],
    [
      'one that ends before it begins in another time zone',
      patient({ name: [{ period: { start: '2020-01-01T09:00:00+01:00', end: '2020-01-01T09:30:00+02:00' } }] }),
      ['error invariant Patient.name[0].period'],
    ],
    [
      'nothing of one whose text alone is out of order',
      patient({ name: [{ period: { start: '2020-01-01T09:30:00+02:00', end: '2020-01-01T09:00:00+01:00' } }] }),
      [],
    ],
    ['nothing where precision leaves it open', patient({ name: [{ period: { start: '2020-02', end: '2020' } }] }), []],
    [
      'an extension with a value and extensions (ext-1)',
      patient({
        extension: [{ url: 'http://a.example', valueString: 'a', extension: [{ url: 'b', valueString: 'c' }] }],
      }),
      ['error invariant Patient.extension[0]'],
    ],
    [
      'a contained resource that nobody names (dom-3)',
      observation({ contained: [{ resourceType: 'Patient', id: 'p' }] }),
      ['error invariant Observation.contained[0]'],
    ],
    [
      'nothing of one that is named',
      observation({ contained: [{ resourceType: 'Patient', id: 'p' }], subject: { reference: '#p' } }),
      [],
    ],
    [
      'a reference to what is not contained (ref-1)',
      observation({ subject: { reference: '#q' } }),
      ['error invariant Observation.subject'],
    ],
    [
      'with a warning a reference to another type',
      observation({ encounter: { reference: 'Patient/1' } }),
      ['warning value Observation.encounter.reference'],
    ],
    [
      'a resource within a bundle, by its place',
      {
        resourceType: 'Bundle',
        type: 'collection',
        entry: [{ resource: patient({}) }, { resource: patient({ gender: 'x' }) }],
      },
      ['error code-invalid Bundle.entry[1].resource.gender'],
    ],
    [
      'extensions of a value that is absent',
      patient({ _birthDate: { extension: [{ url: 'http://a.example', valueCode: 'unknown' }] } }),
      [],
    ],
    [
      'a null in a list without its extensions',
      patient({ name: [{ given: [null, 'A'] }] }),
      ['error value Patient.name[0].given[0]'],
    ],
    ['nothing of a null that has them', patient({ name: [{ given: [null, 'A'], _given: [{ id: 'x' }, null] }] }), []],
    ['a resource of no type', { resourceType: 'Toaster' }, ['error not-supported .resourceType']],
    ['what is no resource', [1], ['error structure']],
  ];
  for (const [what, resource, issues] of cases) {
    it(`tells ${what}`, () => assert.deepEqual(issuesOf(resource), issues));
  }

  it('repeats no value, and no name that is none of an element', () => {
    const secret = 'Peter Pan born 1904';
    const resource = patient({
      gender: secret,
      birthDate: secret,
      [secret]: 1,
      name: [{ family: [secret], use: secret }],
    });
    assert.doesNotMatch(JSON.stringify(validateResource(resource)), /Peter|1904/);
  });

  it('stops after a hundred problems', () => {
    const name = Array.from({ length: 5000 }, () => ({ use: 'x', family: 7 }));
    assert.equal(validateResource(patient({ name })).length, 100);
  });
});
