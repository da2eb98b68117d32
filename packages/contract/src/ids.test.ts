import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { IdSchema, idFromBytes, isDigest, isId } from './ids.ts';
import { matches } from './parse.ts';

const bytes = Uint8Array.from({ length: 15 }, (_, i) => i * 17);

describe('ids', () => {
  it('spells the random bytes in base 32, five bits a character', () => {
    // 00 11 22 33 44 | 55 66 77 88 99 | aa bb cc dd ee by RFC 4648 base 32
    assert.equal(idFromBytes('SiteId', bytes), 'site_aaisem2ekvthpcezvk54zxpo');
  });

  it('refuses an id of another kind, by function and by schema', () => {
    const project = idFromBytes('ProjectId', bytes);
    assert.ok(isId('ProjectId', project));
    assert.ok(!isId('SiteId', project));
    assert.ok(matches(IdSchema('ProjectId'), project));
    assert.ok(!matches(IdSchema('SiteId'), project));
    assert.ok(!isId('ProjectId', `${project}\n`));
    assert.ok(!isId('ProjectId', `${project}x`));
  });

  it('needs 120 random bits', () => {
    assert.throws(() => idFromBytes('SiteId', bytes.subarray(0, 14)), RangeError);
  });

  it('knows a digest by its form alone', () => {
    assert.ok(isDigest('0'.repeat(64)));
    for (const bad of ['0'.repeat(63), `${'0'.repeat(63)}A`, '../../etc/passwd', 7]) assert.ok(!isDigest(bad));
  });
});
