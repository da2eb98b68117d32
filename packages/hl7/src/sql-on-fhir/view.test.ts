import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import fhirpath from 'fhirpath';
import { Hl7Error } from '../hl7-error.ts';
import { compileView, type ViewRow } from './view.ts';

const SUITE = path.join(
  process.env['LANTERN_DATA_DIR'] ?? path.resolve(import.meta.dirname, '../../../../../shared/data'),
  'sql-on-fhir',
);

/** Experimental in the suite: where a time has no offset, the package leaves it out of the boundary as well. */
const NOT_MET = ['fn_boundary.json "datetime lowBoundary"', 'fn_boundary.json "datetime highBoundary"'];

type Case = {
  readonly title: string;
  readonly view: unknown;
  readonly expect?: readonly ViewRow[];
  readonly expectColumns?: readonly string[];
  readonly expectError?: boolean;
};

/** Decimals keep the digits they are written with: 1.0 has other boundaries than 1. */
function parse(text: string): { resources: unknown[]; tests: Case[] } {
  return JSON.parse(text, (_key, value, context?: { source?: string }) =>
    typeof value === 'number' && context?.source !== undefined && context.source !== String(value)
      ? fhirpath.FP_Decimal.getDecimal(context.source)
      : value,
  );
}

function sorted(rows: readonly unknown[]): string[] {
  return rows.map((row) => JSON.stringify(row, Object.keys(Object(row)).sort())).sort();
}

describe('views over FHIR resources', () => {
  it('give what the test suite of SQL on FHIR v2 expects, case by case', (t) => {
    if (!existsSync(SUITE)) return t.skip('the collection is not at hand (LANTERN_DATA_DIR names its folder)');
    const failures: string[] = [];
    let count = 0;
    for (const file of readdirSync(SUITE).filter((name) => name.endsWith('.json'))) {
      const { resources, tests } = parse(readFileSync(path.join(SUITE, file), 'utf8'));
      for (const test of tests) {
        count += 1;
        const failure = failureOf(test, resources);
        if (failure !== undefined) failures.push(`${file} "${test.title}": ${failure}`);
      }
    }
    assert.equal(count, 134);
    assert.deepEqual(
      failures.map((failure) => failure.split(':')[0]),
      NOT_MET,
    );
  });

  const patients = [
    { resourceType: 'Patient', id: 'a', name: [{ family: 'Smith', given: ['Ada', 'May'] }, { family: 'Jones' }] },
    { resourceType: 'Patient', id: 'b' },
    { resourceType: 'Observation', id: 'c' },
  ];
  const id = { name: 'id', path: 'getResourceKey()', type: 'id' };
  const rowsOf = (view: unknown) => {
    const compiled = compileView(view);
    return patients.flatMap((patient) => compiled.rowsOf(patient));
  };

  it('have a row for each name, and one of nothing where a patient has none', () => {
    const select = [
      { column: [id] },
      {
        forEachOrNull: 'name',
        column: [
          { name: 'family', path: 'family' },
          { name: 'given', path: 'given', collection: true },
        ],
      },
    ];
    assert.deepEqual(rowsOf({ resource: 'Patient', select }), [
      { id: 'a', family: 'Smith', given: ['Ada', 'May'] },
      { id: 'a', family: 'Jones', given: [] },
      { id: 'b', family: null, given: null },
    ]);
  });

  it('leave out what their condition does not take', () => {
    const view = { resource: 'Patient', where: [{ path: 'name.family = %who' }], select: [{ column: [id] }] };
    const constant = [{ name: 'who', valueString: 'Jones' }];
    assert.deepEqual(rowsOf({ ...view, constant, where: [{ path: 'name.exists(family = %who)' }] }), [{ id: 'a' }]);
    assert.throws(() => rowsOf(view), /%who: there is no such constant/);
  });

  const refused: Readonly<Record<string, { view: unknown; message: RegExp }>> = {
    'a member that nobody knows': {
      view: { resource: 'Patient', select: [{ column: [id], forEvery: 'name' }] },
      message: /view\.select\[0\]\.forEvery: is not known/,
    },
    'a name that is no name in SQL': {
      view: { resource: 'Patient', select: [{ column: [{ name: 'id"; drop', path: 'id' }] }] },
      message: /column\[0\]\.name/,
    },
    'a column that stands twice': {
      view: { resource: 'Patient', select: [{ column: [id, id] }] },
      message: /id stands twice/,
    },
    'nesting without end': {
      view: {
        resource: 'Patient',
        select: [Array.from({ length: 20 }).reduce((inner) => ({ select: [inner] }), { column: [id] })],
      },
      message: /nested more than 16/,
    },
  };
  for (const [what, { view, message }] of Object.entries(refused)) {
    it(`are refused with ${what}`, () => assert.throws(() => compileView(view), message));
  }

  it('refuse a resource with several values where a column holds one, without naming a value', () => {
    const view = { resource: 'Patient', select: [{ column: [{ name: 'family', path: 'name.family' }] }] };
    assert.throws(
      () => rowsOf(view),
      (caught: unknown) =>
        caught instanceof Hl7Error &&
        /column\[0\]: the path finds several/.test(caught.message) &&
        !/Smith/.test(caught.message),
    );
  });
});

function failureOf(test: Case, resources: readonly unknown[]): string | undefined {
  try {
    const view = compileView(test.view);
    const rows = resources.flatMap((resource) => view.rowsOf(resource));
    if (test.expectError === true) return 'expected an error';
    if (test.expectColumns !== undefined) {
      assert.deepEqual(
        view.columns.map(({ name }) => name),
        test.expectColumns,
      );
    }
    assert.deepEqual(sorted(rows), sorted(test.expect ?? []));
    return undefined;
  } catch (caught) {
    if (test.expectError === true && caught instanceof Hl7Error) return undefined;
    return caught instanceof Error ? `${caught.message}`.slice(0, 600) : String(caught);
  }
}
