import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';

const ROOT = path.resolve(import.meta.dirname, '..');

function read(file: string): string {
  return readFileSync(path.join(ROOT, file), 'utf8');
}

describe('CI', () => {
  it('runs the commands that the README opens with, word for word and in this order', () => {
    const promised = [...read('README.md').matchAll(/^```sh\n(npm ci && .*)\n```$/gm)].map((block) => block[1]);
    const steps = [...read('.ci/run').matchAll(/^\s*step '(.*)'$/gm)].map((step) => step[1]);
    assert.ok(promised.length >= 2);
    assert.deepEqual(steps.slice(0, promised.length), promised);
  });

  it('has no step that may fail in silence', () => {
    for (const script of ['.ci/run', 'scripts/setup-peers', 'scripts/fresh-clone.sh']) {
      assert.match(read(script), /^set -euo pipefail$/m, script);
      assert.doesNotMatch(read(script), /\|\|\s*(true|:)(\s|$)/m, script);
    }
  });
});
