import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { DataSet, Element } from '../data-set.ts';
import { createTextCleaner } from './text-cleaning.ts';

const cleaner = createTextCleaner((value) => value.replace('Yamada', '_'));
const YAMADA_IN_ISO_2022 = Buffer.from('Yamada \x1b$B;3ED\x1b(B', 'latin1');

function clean(bytes: Buffer, characterSets: readonly string[]): Buffer | 'same' {
  const element: Element = { tag: 0x00081030, vr: 'LO', value: { kind: 'bytes', bytes } };
  const around: DataSet = { elements: new Map(), littleEndian: true, characterSets };
  const cleaned = cleaner(element, 'LO', around);
  return cleaned === element || cleaned.value.kind !== 'bytes' ? 'same' : cleaned.value.bytes;
}

describe('changed text', () => {
  test('stays in the character set of its data set, value by value, at an even length', () => {
    assert.equal(clean(Buffer.from('Yamada\\liver'), []).toString('latin1'), '_\\liver ');
    assert.equal(clean(Buffer.from('Yamada Größe', 'latin1'), ['ISO_IR 100']).toString('latin1'), '_ Größe ');
    assert.equal(clean(Buffer.from('Yamada 山', 'utf8'), ['ISO_IR 192']).toString('utf8'), '_ 山 ');
  });

  test('that would need escapes to be written goes whole', () => {
    assert.equal(clean(YAMADA_IN_ISO_2022, ['', 'ISO 2022 IR 87']).toString('latin1'), '_ ');
  });

  test('is no change where nothing was found: the element is the same one', () => {
    assert.equal(clean(Buffer.from('\x1b$B;3ED\x1b(B', 'latin1'), ['', 'ISO 2022 IR 87']), 'same');
  });
});
