import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Hl7Error } from '../hl7-error.ts';
import { isRawNumber, type JsonValue, parseJson, writeJson } from './json.ts';

const LIMITS = { lengthMax: 10_000, depthMax: 8 };
const read = (text: string): JsonValue => parseJson(text, LIMITS);

describe('JSON of FHIR', () => {
  it('leaves as it came, whatever its numbers are', () => {
    for (const text of [
      '[1.10,0.0,-0,1E5,1e-7,0.30000000000000004,12345678901234567890,123456789.123456789123456789]',
      '{"a":[],"b":{},"c":null,"d":true,"e":false,"f":"\\u0000\\n\\"ü😀"}',
      '"1.10"',
      '0',
    ]) {
      assert.equal(writeJson(read(text)), text);
    }
  });

  it('makes plain numbers of those that a double says, and keeps the text of the others', () => {
    const value = read('[17,-3,1.5,1.50,9007199254740993]');
    assert.ok(Array.isArray(value));
    assert.deepEqual(value.slice(0, 3), [17, -3, 1.5]);
    assert.deepEqual(value.slice(3).map(isRawNumber), [true, true]);
  });

  it('agrees with JSON.parse on what is JSON', () => {
    for (const text of [
      '',
      ' ',
      '{',
      '[1,]',
      '{"a":1,}',
      '01',
      '+1',
      '.5',
      '1.',
      'nul',
      '"\t"',
      '"\\x"',
      '[1 2]',
      "{'a':1}",
      '1 1',
      '-',
      '"',
    ]) {
      assert.throws(() => JSON.parse(text), SyntaxError, text);
      assert.throws(() => read(text), { name: 'Hl7Error', code: 'malformed' }, text);
    }
  });

  it('refuses what two readers may understand differently', () => {
    assert.throws(() => read('{"id":"a","id":"b"}'), /twice/);
    assert.throws(() => read('{"__proto__":{"x":1}}'), { code: 'malformed' });
    assert.throws(() => read('"\\ud800"'), /surrogate/);
    assert.throws(() => read('"\ud800"'), /surrogate/);
  });

  it('reads objects alike whether or not it has met their names before', () => {
    const texts = [
      '{"name":1,"id":2}',
      '{"name":1,"id":2,"use":3}',
      '{"names":1,"nam":2,"":3}',
      '{"name":{"name":{"id":[{"name":null}]}},"id":2}',
      '{"id":2,"name":1}',
      '{"na\\u006de":1,"id":2,"a\\"b":3,"use":4}',
      '{ "name" : 1 ,\n "id":2}',
    ];
    for (const text of [...texts, ...texts.toReversed()]) assert.deepEqual(read(text), JSON.parse(text), text);
    for (const text of [
      '{"name":1,"id":2,"id":3}',
      '{"name":1,"name":2}',
      '{"id":1,"\\u0069d":2}',
      '{"a\\"b":1,"c":2,"c":3}',
    ]) {
      assert.throws(() => read(text), /twice/, text);
      assert.throws(() => read(text), /twice/, text);
    }
    for (const text of ['{"name', '{"name"', '{"name":1,"id', '{"name":1,"id"', '"a\\']) {
      assert.throws(() => read(text), { code: 'malformed' }, text);
    }
  });

  it('forgets names rather than keep ever more of them', () => {
    for (let index = 0; index < 50_000; index += 1) assert.deepEqual(read(`{"n${index}":1}`), { [`n${index}`]: 1 });
    assert.throws(() => read('{"name":1,"id":2,"id":3}'), /twice/);
  });

  it('ends at its limits, without a word of the text', () => {
    assert.throws(() => read(`${'['.repeat(9)}${']'.repeat(9)}`), { code: 'limit' });
    assert.throws(() => read(`"${'x'.repeat(10_000)}"`), { code: 'limit' });
    assert.throws(
      () => read('{"name":Secret}'),
      (thrown) => thrown instanceof Hl7Error && !thrown.message.includes('Secret'),
    );
  });
});
