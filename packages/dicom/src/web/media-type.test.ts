import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { parseAccept, parseMediaType } from './media-type.ts';

describe('a media type', () => {
  test('is read with its parameters, quoted or not, names in any case', () => {
    const type = parseMediaType(
      'Multipart/Related; TYPE="application/dicom"; boundary=a;b="c;d,\\"e"; transfer-syntax=*',
    );
    assert.equal(type?.name, 'multipart/related');
    assert.deepEqual(Object.fromEntries(type.parameters), {
      type: 'application/dicom',
      boundary: 'a',
      b: 'c;d,"e',
      'transfer-syntax': '*',
    });
    assert.equal(
      parseMediaType('multipart/related;type=application/dicom')?.parameters.get('type'),
      'application/dicom',
    );
  });

  test('is none without two tokens and a slash', () => {
    for (const text of ['', 'multipart', '/x', 'a/b/c', 'a b/c', ';type=x'])
      assert.equal(parseMediaType(text), undefined);
  });
});

describe('an Accept header', () => {
  test('gives the most wanted first and leaves out what is not wanted', () => {
    const names = parseAccept('image/png;q=0.2, image/jpeg, text/html;q=0, nonsense, image/gif;q=0.5, */*;q=0.2').map(
      ({ name }) => name,
    );
    assert.deepEqual(names, ['image/jpeg', 'image/gif', 'image/png', '*/*']);
  });

  test('is cut at commas outside of quotes only', () => {
    const [first, ...others] = parseAccept('multipart/related; type="a,b"; q=1');
    assert.equal(first?.parameters.get('type'), 'a,b');
    assert.equal(others.length, 0);
  });
});
