import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { describe, it } from 'node:test';
import { writeTree } from './fixture-tree.ts';
import { findTests } from './test-run.ts';

const PASSING = "import test from 'node:test';\ntest('passes', () => {});\n";

describe('the choice of tests', () => {
  const files = {
    'packages/hub/src/runs/plan.test.ts': '',
    'packages/hub/src/runs/plan.ts': '',
    'packages/hub/test/journey.test.ts': '',
    'packages/hub/node_modules/x/src/x.test.ts': '',
    'tests/faults/disk.test.ts': '',
    'tests/peers/flower.test.ts': '',
    'scripts/layers.test.ts': '',
    'bench/measurement.test.ts': '',
  };

  it('finds the tests of packages, scripts, benches and the whole system, but no peers', (t) => {
    assert.deepEqual(findTests({ root: writeTree(t, files), patterns: [], peers: false }), [
      'bench/measurement.test.ts',
      'packages/hub/src/runs/plan.test.ts',
      'packages/hub/test/journey.test.ts',
      'scripts/layers.test.ts',
      'tests/faults/disk.test.ts',
    ]);
  });

  it('takes peers alone when asked for them, and files by any part of their path', (t) => {
    const root = writeTree(t, files);
    assert.deepEqual(findTests({ root, patterns: [], peers: true }), ['tests/peers/flower.test.ts']);
    assert.deepEqual(findTests({ root, patterns: ['hub/src', 'disk'], peers: false }), [
      'packages/hub/src/runs/plan.test.ts',
      'tests/faults/disk.test.ts',
    ]);
  });
});

/** Runs the files of `root` in a process of its own, so that what the inner tests print does not mix with ours. */
async function runIn(root: string): Promise<{ result: unknown; output: string }> {
  const driver = `
    import { findTests, runTests } from ${JSON.stringify(path.join(import.meta.dirname, 'test-run.ts'))};
    const [root] = process.argv.slice(1);
    const result = await runTests(findTests({ root, patterns: [], peers: false }), root, new AbortController().signal);
    process.stdout.write('\\n' + JSON.stringify(result));`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', driver, root], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [output] = await Promise.all([text(child.stdout), once(child, 'close')]);
  return { result: JSON.parse(output.slice(output.lastIndexOf('\n'))), output };
}

describe('a run of tests', () => {
  it('hands a server to the tests, shows the summary of the runner, and leaves nothing', async (t) => {
    const server = `
      import assert from 'node:assert';
      import test from 'node:test';
      test('is told where', () => {
        process.stdout.write('folder ' + process.env.TMPDIR);
        assert.match(process.env.LANTERN_TEST_POSTGRES_URL, /^postgres/);
      });`;
    const { result, output } = await runIn(writeTree(t, { 'tests/a.test.ts': PASSING, 'tests/b.test.ts': server }));
    assert.deepEqual(result, { passed: true, leftBehind: [] });
    assert.match(output, /tests 2\n.*suites 0\n.*pass 2\n.*fail 0\n/);
    const folder = /folder (\S+lantern-check-\w+)/.exec(output)?.[1];
    assert.ok(folder !== undefined && !existsSync(folder));
  });

  it('fails when one test fails, and names the file that another left', async (t) => {
    const failing = "import test from 'node:test';\ntest('fails', () => {\n  throw new TypeError('no');\n});\n";
    const careless = `
      import { writeFileSync } from 'node:fs';
      import test from 'node:test';
      test('forgets', () => writeFileSync(process.env.TMPDIR + '/forgotten', ''));`;
    const root = writeTree(t, { 'tests/a.test.ts': PASSING, 'tests/b.test.ts': failing, 'tests/c.test.ts': careless });
    assert.deepEqual((await runIn(root)).result, { passed: false, leftBehind: ['file forgotten'] });
  });
});
