import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { readJsonObject, readPackages, SCOPE } from './source-tree.ts';

const ROOT = path.resolve(import.meta.dirname, '..');
const DOCUMENT = 'docs/dependencies.md';

type Row = { readonly users: string; readonly why: string; readonly instead: string };

/** Rows of the table, by dependency. */
function documented(): Map<string, Row> {
  const lines = readFileSync(path.join(ROOT, DOCUMENT), 'utf8').split('\n');
  const rows = lines.filter((line) => line.startsWith('| ')).map((line) => line.split('|').map((cell) => cell.trim()));
  return new Map(
    rows
      .filter(([, dependency]) => dependency !== 'dependency')
      .map(([, dependency = '', users = '', why = '', instead = '']) => [dependency, { users, why, instead }]),
  );
}

/** Installed runtime dependency -> the packages of ours that name it. */
function declared(): Map<string, string> {
  const users = new Map<string, string[]>();
  for (const name of Object.keys(readJsonObject(path.join(ROOT, 'package.json'))['dependencies'] ?? {})) {
    users.set(name, ['workspace']);
  }
  for (const { name, dependencies } of readPackages(ROOT)) {
    for (const dependency of dependencies.filter((installed) => !installed.startsWith(SCOPE))) {
      users.set(dependency, [...(users.get(dependency) ?? []), name]);
    }
  }
  return new Map([...users].map(([name, packages]) => [name, packages.join(', ')]));
}

describe(DOCUMENT, () => {
  it('names every runtime dependency with the packages that use it, and no other', () => {
    const written = [...documented()].map(([name, { users }]) => `${name}: ${users}`);
    const real = [...declared()].map(([name, users]) => `${name}: ${users}`);
    assert.deepEqual(written.toSorted(), real.toSorted());
  });

  it('says for each why it is there and what else could be', () => {
    for (const [name, { why, instead }] of documented()) {
      assert.ok(why.length > 20, `${name}: why`);
      assert.ok(instead.length > 5, `${name}: instead`);
    }
  });
});

describe('package.json files', () => {
  it('pin every version exactly, and one library in one version', () => {
    const versions = new Map<string, string>();
    for (const { directory } of [{ directory: '.' }, ...readPackages(ROOT)]) {
      const manifest = readJsonObject(path.join(ROOT, directory, 'package.json'));
      for (const field of ['dependencies', 'devDependencies']) {
        for (const [name, version] of Object.entries(manifest[field] ?? {})) {
          assert.match(String(version), /^(npm:[a-z]+@)?\d+\.\d+\.\d+(-[\w.]+)?$/, `${directory}: ${name}`);
          assert.equal(versions.get(name) ?? version, version, `${directory}: ${name} in two versions`);
          versions.set(name, String(version));
        }
      }
    }
  });
});
