/** Small source trees in a temporary folder, for the tests of the gates. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { TestContext } from 'node:test';

/** Writes `files` (path -> text) below a new folder, which is removed when the test ends, and returns the folder. */
export function writeTree(t: TestContext, files: Readonly<Record<string, string>>): string {
  const root = mkdtempSync(path.join(tmpdir(), 'lantern-tree-'));
  t.after(() => rmSync(root, { recursive: true, force: true }));
  for (const [file, text] of Object.entries({ 'package.json': '{}', ...files })) {
    mkdirSync(path.join(root, path.dirname(file)), { recursive: true });
    writeFileSync(path.join(root, file), text);
  }
  return root;
}

/** The text of a package.json with these dependencies. */
export function packageJson(dependencies: readonly string[]): string {
  const versions = Object.fromEntries(dependencies.map((name) => [name, '0.1.0']));
  return JSON.stringify({ exports: { '.': './src/index.ts' }, dependencies: versions });
}
