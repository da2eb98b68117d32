import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { packageJson, writeTree } from './fixture-tree.ts';
import { checkLayers } from './layers.ts';
import { readSourceTree } from './source-tree.ts';

type Files = Readonly<Record<string, string>>;

function offencesOf(t: TestContext, files: Files): string[] {
  const offences = checkLayers(readSourceTree(writeTree(t, files)));
  return offences.map(({ file, line, rule }) => `${file}:${line} ${rule}`);
}

/** A contract and a service that keep all rules, to which each test adds one file that does not. */
const SOUND: Files = {
  'packages/contract/package.json': packageJson([]),
  'packages/contract/src/index.ts': 'export const ID = 1;\n',
  'packages/service/package.json': packageJson(['@lantern/contract', 'pg']),
  'packages/service/src/index.ts':
    "import { ID } from '@lantern/contract';\nimport pg from 'pg';\nexport const x = [ID, pg];\n",
};

const HUB: Files = {
  ...SOUND,
  'packages/runner/package.json': packageJson([]),
  'packages/runner/src/index.ts': 'export const checkBundle = 1;\nexport const createGraphExecutor = 2;\n',
  'packages/hub/package.json': packageJson(['@lantern/runner']),
  'packages/hub/src/runs/store.ts':
    "import { checkBundle } from '@lantern/runner';\nexport const rows = checkBundle;\n",
};

describe('layers', () => {
  it('has nothing to say about a tree that keeps the rules', (t) => {
    assert.deepEqual(offencesOf(t, SOUND), []);
    assert.deepEqual(offencesOf(t, HUB), []);
  });

  const upward = {
    'an import': "\nimport { x } from '@lantern/service';\n",
    'an import of types': "\nimport type { X } from '@lantern/service';\n",
    'a re-export': "\nexport { x } from '@lantern/service';\n",
    'a dynamic import': "\nexport const later = () => import('@lantern/service');\n",
    'a type that is imported in place': "\nexport type X = import('@lantern/service').X;\n",
  };
  for (const [what, text] of Object.entries(upward)) {
    it(`refuses ${what} against the direction of the layers`, (t) => {
      const found = offencesOf(t, { ...SOUND, 'packages/contract/src/other.ts': text });
      assert.deepEqual(found, ['packages/contract/src/other.ts:2 layer: contract may not import service']);
    });
  }

  it('refuses a dependency that the table does not allow, in tests too', (t) => {
    const files = {
      ...SOUND,
      'packages/contract/package.json': packageJson(['@lantern/service']),
      'packages/contract/src/ids.test.ts': "import { x } from '@lantern/service';\n",
    };
    assert.deepEqual(offencesOf(t, files), [
      'packages/contract/package.json:0 layer: contract may not depend on service',
      'packages/contract/src/ids.test.ts:1 layer: contract may not import service',
    ]);
  });

  it('refuses a package without a row in the table', (t) => {
    const found = offencesOf(t, { 'packages/billing/package.json': packageJson([]) });
    assert.deepEqual(found, ['packages/billing/package.json:0 package "billing" has no row in LAYERS']);
  });

  it('refuses a package that is used but not declared, and one that is declared but not used', (t) => {
    const files = { ...SOUND, 'packages/service/package.json': packageJson(['@lantern/contract', 'pino']) };
    assert.deepEqual(offencesOf(t, files), [
      'packages/service/package.json:0 dependency pino is imported nowhere',
      'packages/service/src/index.ts:2 pg is not among the dependencies of service',
    ]);
  });

  it('takes the development dependencies of the workspace for tests alone', (t) => {
    const text = "import fc from 'fast-check';\nexport const y = fc;\n";
    const root = { 'package.json': JSON.stringify({ devDependencies: { 'fast-check': '4.0.0' } }) };
    assert.deepEqual(offencesOf(t, { ...SOUND, ...root, 'packages/service/src/y.test.ts': text }), []);
    assert.deepEqual(offencesOf(t, { ...SOUND, ...root, 'packages/service/src/y.ts': text }), [
      'packages/service/src/y.ts:1 fast-check is not among the dependencies of service',
    ]);
  });

  it('refuses a relative import that leaves its package', (t) => {
    const text = "import { ID } from '../../contract/src/index.ts';\nexport const y = ID;\n";
    assert.deepEqual(offencesOf(t, { ...SOUND, 'packages/service/src/y.ts': text }), [
      'packages/service/src/y.ts:1 relative import leaves the package: ../../contract/src/index.ts',
    ]);
  });

  it('refuses that a package imports its own index, by path or by name', (t) => {
    const text =
      "import { x } from './index.ts';\nimport { x as z } from '@lantern/service';\nexport const y = [x, z];\n";
    assert.deepEqual(offencesOf(t, { ...SOUND, 'packages/service/src/y.ts': text }), [
      'packages/service/src/y.ts:1 inside a package import the file, never the index',
      'packages/service/src/y.ts:2 service imports itself: inside a package import the file',
    ]);
  });

  it('keeps the store of a capability to itself', (t) => {
    const text = "import { rows } from '../runs/store.ts';\nexport const y = rows;\n";
    assert.deepEqual(offencesOf(t, { ...HUB, 'packages/hub/src/models/models.ts': text }), [
      'packages/hub/src/models/models.ts:1 the store of runs belongs to runs',
    ]);
    assert.deepEqual(offencesOf(t, { ...HUB, 'packages/hub/src/runs/runs.ts': text }), []);
    const wiring = "import { rows } from './runs/store.ts';\nexport const y = rows;\n";
    assert.deepEqual(offencesOf(t, { ...HUB, 'packages/hub/src/main.ts': wiring }), []);
  });

  it('lets the hub take from the runner only what the table names', (t) => {
    const some =
      "import { checkBundle, createGraphExecutor } from '@lantern/runner';\nexport const y = [checkBundle];\n";
    const all = "import * as runner from '@lantern/runner';\nexport const z = runner;\n";
    assert.deepEqual(offencesOf(t, { ...HUB, 'packages/hub/src/a.ts': some, 'packages/hub/src/b.ts': all }), [
      'packages/hub/src/a.ts:1 hub may not take createGraphExecutor from runner',
      'packages/hub/src/b.ts:1 hub may not take everything from runner',
    ]);
  });

  it('keeps input, clock and randomness out of the pure packages, but not out of their tests', (t) => {
    const text = [
      "import { readFileSync } from 'node:fs';",
      'export const now = [Date.now(), new Date(), new Date(5), Math.random(), readFileSync];',
    ].join('\n');
    assert.deepEqual(offencesOf(t, { ...SOUND, 'packages/contract/src/a.ts': text }), [
      'packages/contract/src/a.ts:1 contract is pure: no node:fs',
      'packages/contract/src/a.ts:2 contract is pure: no Date.now, take it as an argument',
      'packages/contract/src/a.ts:2 contract is pure: no new Date(), take it as an argument',
      'packages/contract/src/a.ts:2 contract is pure: no Math.random, take it as an argument',
    ]);
    assert.deepEqual(offencesOf(t, { ...SOUND, 'packages/contract/src/a.test.ts': text }), []);
    assert.deepEqual(offencesOf(t, { ...SOUND, 'packages/service/src/a.ts': text }), []);
  });

  it('lets main.ts and tests alone read the environment', (t) => {
    const text = "import { env } from 'node:process';\nexport const home = [process.env, env];\n";
    const rule = 'process.env is read in main.ts alone';
    assert.deepEqual(offencesOf(t, { ...SOUND, 'packages/service/src/a.ts': text }), [
      `packages/service/src/a.ts:1 ${rule}`,
      `packages/service/src/a.ts:2 ${rule}`,
    ]);
    assert.deepEqual(offencesOf(t, { ...SOUND, 'packages/service/src/main.ts': text }), []);
    assert.deepEqual(offencesOf(t, { ...SOUND, 'packages/service/src/a.test.ts': text }), []);
  });
});
