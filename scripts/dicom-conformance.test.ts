import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { it } from 'node:test';
import { conformanceStatement } from '@lantern/site';
import { CONFORMANCE_DOCUMENT } from './dicom-conformance.ts';

it('docs/DICOM-CONFORMANCE.md says what the tables of the code say', () => {
  assert.equal(
    readFileSync(CONFORMANCE_DOCUMENT, 'utf8'),
    conformanceStatement(),
    'run: node scripts/dicom-conformance.ts',
  );
});
