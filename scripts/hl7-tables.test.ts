import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { hl7TablesDocument } from './hl7-tables.ts';

describe("the page of HL7's tables", () => {
  it('says what is carried out of them; node scripts/hl7-tables.ts prints it anew', () => {
    const page = readFileSync(path.resolve(import.meta.dirname, '../docs/HL7-V2-TABLES.md'), 'utf8');
    assert.equal(page, hl7TablesDocument());
  });
});
