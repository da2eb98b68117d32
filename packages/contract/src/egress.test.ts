import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { answerKinds, EGRESS_TABLE } from './egress.ts';
import { HUB_API } from './hub-api.ts';
import { EGRESS_KINDS } from './project.ts';

describe('the table of what leaves a hospital', () => {
  it('has every operation that a site may call at the hub, and no other', () => {
    const siteOperations = Object.entries(HUB_API)
      .filter(([, operation]) => operation.path.startsWith('/api/v1/site/'))
      .map(([name]) => name);
    assert.deepEqual([...new Set(EGRESS_TABLE.map((row) => row.operation))].sort(), siteOperations.sort());
  });

  it('has every kind of answer that the schema knows, once', () => {
    const inTable = EGRESS_TABLE.flatMap((row) => (row.answerKind === undefined ? [] : [row.answerKind]));
    assert.deepEqual(inTable.sort(), answerKinds().sort());
  });

  it('uses every kind of egress that a decision can allow', () => {
    const used = new Set(EGRESS_TABLE.flatMap((row) => (row.egress === undefined ? [] : [row.egress])));
    assert.deepEqual([...used].sort(), [...EGRESS_KINDS].sort());
  });
});
