import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { nameKey } from './name-key.ts';

describe('names as they are compared', () => {
  it('are equal whatever their case, the spaces around components, and the empty components at the end', () => {
    const same = [
      'Müller-Lüdenscheidt^Ann Marie',
      'MÜLLER-LÜDENSCHEIDT^ANN MARIE^^^',
      'müller-lüdenscheidt ^ ann marie^^',
    ];
    assert.deepEqual(new Set(same.map(nameKey)), new Set(['müller-lüdenscheidt^ann marie==']));
    assert.equal(nameKey('STRASSE^X'), nameKey('Straße^x'));
    assert.equal(nameKey('ΟΔΥΣΣΕΥΣ'), nameKey('Οδυσσευς'));
    assert.equal(nameKey('Mu\u0308ller'), nameKey('M\u00fcller'));
  });

  it('differ where a component is missing before others, and keep their three groups apart', () => {
    assert.equal(nameKey('Doe^^Jane'), 'doe^^jane==');
    assert.equal(nameKey('Yamada^Tarou=山田^太郎=やまだ^たろう'), 'yamada^tarou=山田^太郎=やまだ^たろう');
    assert.equal(nameKey('=山田'), '=山田=');
    assert.equal(nameKey(''), '==');
  });
});
