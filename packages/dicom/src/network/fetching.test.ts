import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fetchingContexts } from './fetching.ts';
import { SOP_CLASSES } from './sop-classes.ts';

const CT = '1.2.840.10008.5.1.4.1.1.2';
const SEG = '1.2.840.10008.5.1.4.1.1.66.4';

test('each class is asked for in every syntax by itself, native ones first, with us as the provider of storage', () => {
  const [get, ...contexts] = fetchingContexts([CT, SEG, CT]);
  assert.equal(get?.abstractSyntax, SOP_CLASSES.studyRootGet);
  assert.deepEqual(
    contexts.slice(0, 4).map(({ abstractSyntax, transferSyntaxes }) => [abstractSyntax, ...transferSyntaxes]),
    [CT, SEG, CT, SEG].map((uid, index) => [uid, index < 2 ? '1.2.840.10008.1.2.1' : '1.2.840.10008.1.2']),
  );
  assert.ok(contexts.every(({ transferSyntaxes, roles }) => transferSyntaxes.length === 1 && roles?.scp === true));
  assert.ok(contexts.some(({ transferSyntaxes }) => transferSyntaxes.includes('1.2.840.10008.1.2.4.70')));
});

test('where classes are not known, or too many, as much is asked for as an association holds', () => {
  for (const classes of [[], ['']]) {
    const contexts = fetchingContexts(classes);
    assert.equal(contexts.length, 128);
    assert.ok(contexts.some(({ abstractSyntax }) => abstractSyntax === CT));
  }
  const many = Array.from({ length: 200 }, (_, index) => `1.2.3.${index}`);
  assert.equal(fetchingContexts(many).length, 128);
});
