import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { readArchitecture, withEgressTable } from './egress-document.ts';

const ROOT = path.resolve(import.meta.dirname, '..');

describe('docs/ARCHITECTURE.md', () => {
  it('shows exactly the messages that the contract lets leave a hospital', () => {
    const document = readArchitecture();
    assert.equal(document, withEgressTable(document), 'run: node scripts/egress-document.ts');
  });

  it('names only files and folders that exist', () => {
    const named = [...readArchitecture().matchAll(/`((?:packages|tests|scripts|bench|docs|fixtures)\/[\w./-]+)`/g)];
    const missing = named.map((match) => match[1] ?? '').filter((file) => !existsSync(path.join(ROOT, file)));
    assert.ok(named.length > 10);
    assert.deepEqual(missing, []);
  });
});
