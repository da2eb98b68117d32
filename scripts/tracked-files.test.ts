import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { writeTree } from './fixture-tree.ts';
import { checkTrackedFiles } from './tracked-files.ts';

function offencesOf(t: TestContext, files: Readonly<Record<string, string>>): string[] {
  return checkTrackedFiles(writeTree(t, files)).map(({ file, line, rule }) => `${file}:${line} ${rule}`);
}

/** Written in parts, so that this file does not break the rules that it tests. */
const REGISTRY = ['https:/', '/registry.example.org/pg'].join('');
const PERSON = ['/home', 'ada/lantern'].join('/');
const HEADER = ['-----BEGIN', 'PRIVATE KEY-----'].join(' ');

describe('tracked files', () => {
  it('refuses download addresses in the lock file and allows links inside the workspace', (t) => {
    const packages = {
      'node_modules/@lantern/contract': { resolved: 'packages/contract', link: true },
      'node_modules/pg': { resolved: 'https://packages.example.org/pg-8.0.0.tgz' },
    };
    assert.deepEqual(offencesOf(t, { 'package-lock.json': JSON.stringify({ packages }) }), [
      'package-lock.json:0 lock file holds a download address: node_modules/pg',
    ]);
  });

  it('refuses the address of a registry in any file', (t) => {
    assert.deepEqual(offencesOf(t, { 'docs/a.md': `one\ntwo ${REGISTRY}\n` }), ['docs/a.md:2 address of a registry']);
  });

  it('refuses folders of people and of the clone itself', (t) => {
    const root = writeTree(t, { 'a.md': `see "${PERSON}"\n`, 'b.md': 'see /opt/lantern/x and lantern/home/x/y\n' });
    writeFileSync(path.join(root, 'c.md'), `see ${root}\nsee ${root}/src\n`);
    assert.deepEqual(
      checkTrackedFiles(root).map(({ file, line, rule }) => `${file}:${line} ${rule}`),
      ["a.md:1 folder of one person's machine", 'c.md:2 folder of this machine'],
    );
  });

  it('refuses private keys with their line, and allows those that are known to guard nothing', (t) => {
    const secret = `a\n${HEADER}\n${'Q'.repeat(48)}\n`;
    const known = `${HEADER}\nMIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgul9XIpO5${'q'.repeat(8)}\n`;
    assert.deepEqual(offencesOf(t, { 'a.pem': secret, 'b.pem': known }), ['a.pem:2 a private key']);
  });

  it('refuses access tokens and leaves binary files alone', (t) => {
    const token = ['npm', 'a'.repeat(36)].join('_');
    assert.deepEqual(offencesOf(t, { 'a.txt': token, 'b.bin': `\0${token}` }), ['a.txt:1 looks like an access token']);
  });

  it('looks only at what git would hand on', (t) => {
    const root = writeTree(t, { 'kept.md': REGISTRY, 'ignored.md': REGISTRY, '.gitignore': 'ignored.md\n' });
    execFileSync('git', ['init', '-q'], { cwd: root });
    execFileSync('git', ['add', '.'], { cwd: root });
    assert.deepEqual(
      checkTrackedFiles(root).map(({ file }) => file),
      ['kept.md'],
    );
  });
});
