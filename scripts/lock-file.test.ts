import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { completeLock, lockFileOffences, refusedScripts } from './lock-file.ts';

function lockText(packages: object): string {
  return JSON.stringify({ name: 'x', lockfileVersion: 3, packages });
}

const PARENT = {
  version: '2.6.8',
  dev: true,
  license: 'MIT',
  engines: { node: '>=14' },
  optionalDependencies: {
    '@tool/cli-linux-x64': '2.6.8',
    '@tool/cli-linux-arm64-musl': '2.6.8',
    '@tool/cli-win32-x64': '2.6.8',
  },
};
const PRESENT = { version: '2.6.8', os: ['linux'], cpu: ['x64'], optional: true };
const INCOMPLETE = lockText({
  '': { name: 'x' },
  'node_modules/@tool/cli': PARENT,
  'node_modules/@tool/cli-linux-x64': PRESENT,
  'node_modules/zod': { version: '4.0.0' },
});

describe('a lock file', () => {
  it('is refused when it lacks the package of another platform', () => {
    assert.deepEqual(
      lockFileOffences('package-lock.json', INCOMPLETE).map(({ rule }) => rule),
      [
        'node_modules/@tool/cli-linux-arm64-musl of node_modules/@tool/cli is missing: npm run lock',
        'node_modules/@tool/cli-win32-x64 of node_modules/@tool/cli is missing: npm run lock',
      ],
    );
  });

  it('gets the missing entries at their place, with platform and version, and stays as it is otherwise', () => {
    const { text, addedCount } = completeLock(INCOMPLETE);
    assert.equal(addedCount, 2);
    const packages: [string, unknown][] = Object.entries(JSON.parse(text).packages);
    const names = packages.map(([name]) => name);
    assert.deepEqual(names, [
      '',
      'node_modules/@tool/cli',
      'node_modules/@tool/cli-linux-arm64-musl',
      'node_modules/@tool/cli-linux-x64',
      'node_modules/@tool/cli-win32-x64',
      'node_modules/zod',
    ]);
    const expected = { version: '2.6.8', dev: true, license: 'MIT', optional: true, engines: { node: '>=14' } };
    assert.deepEqual(packages[2]?.[1], { ...expected, os: ['linux'], cpu: ['arm64'], libc: ['musl'] });
    assert.deepEqual(packages[4]?.[1], { ...expected, os: ['win32'], cpu: ['x64'] });
    assert.deepEqual(packages[3]?.[1], PRESENT);
    assert.deepEqual(lockFileOffences('package-lock.json', text), []);
    assert.deepEqual(completeLock(text), { text, addedCount: 0 });
  });

  it('tells of no install script that package.json refuses, wherever the package lies, and of every other', () => {
    const refused = refusedScripts('{"allowScripts": {"loader": false, "node": true}}');
    const entry = { version: '1.0.0', hasInstallScript: true };
    const before = lockText({
      'node_modules/loader': entry,
      'node_modules/node': entry,
      'node_modules/other/node_modules/loader': entry,
    });
    assert.deepEqual(
      lockFileOffences('package-lock.json', before, refused).map(({ rule }) => rule.replace(/ would.*/, '')),
      ['node_modules/loader', 'node_modules/other/node_modules/loader'],
    );
    const { text } = completeLock(before, refused);
    assert.deepEqual(JSON.parse(text).packages, {
      'node_modules/loader': { version: '1.0.0' },
      'node_modules/node': entry,
      'node_modules/other/node_modules/loader': { version: '1.0.0' },
    });
    assert.deepEqual(lockFileOffences('package-lock.json', text, refused), []);
  });

  it('accepts a package that its parent keeps in its own folder', () => {
    const packages = { 'node_modules/@tool/cli': { ...PARENT, optionalDependencies: { 'x-linux-x64': '1.0.0' } } };
    const nested = { ...packages, 'node_modules/@tool/cli/node_modules/x-linux-x64': PRESENT };
    assert.equal(lockFileOffences('package-lock.json', lockText(packages)).length, 1);
    assert.deepEqual(lockFileOffences('package-lock.json', lockText(nested)), []);
  });

  it('is not completed by guessing: a name without a platform or a range of versions is an error', () => {
    for (const optionalDependencies of [{ colours: '1.0.0' }, { 'x-linux-x64': '^1.0.0' }]) {
      assert.throws(
        () => completeLock(lockText({ 'node_modules/a': { optionalDependencies } })),
        /not a package for one platform/,
      );
    }
  });
});
