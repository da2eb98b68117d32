import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { memorySource } from './byte-source.ts';
import { textOf } from './data-set.ts';
import { DicomError } from './dicom-error.ts';
import { dicomJson } from './dicom-json.ts';
import { dataSetOfJson } from './dicom-json-reader.ts';
import { readPart10 } from './part10.ts';

const FIXTURES = path.resolve(import.meta.dirname, '../../../fixtures/dicom');

/** What a JSON of ours does not hold: bulk, and the character set that the text was in. */
function plain(json: unknown): unknown {
  return JSON.parse(
    JSON.stringify(json, (key, value) => {
      if (key === '00080005' || value?.omittedBytes !== undefined || /^[0-9A-F]{4}0000$/.test(key)) return undefined;
      return key === 'InlineBinary' ? Buffer.from(value, 'base64').toString('hex').replace(/00$/, '') : value; // padding
    }),
  );
}

describe('a data set in JSON', () => {
  test('is read as what it was made from, for each fixture', () => {
    let count = 0;
    for (const name of readdirSync(FIXTURES).filter(
      (file) => file.endsWith('.dcm') && file !== 'rtplan_truncated.dcm',
    )) {
      const json = dicomJson(readPart10(memorySource(readFileSync(path.join(FIXTURES, name)))).dataSet);
      const shown = Object.fromEntries(
        Object.entries(json).filter(([, element]) => element.omittedBytes === undefined),
      );
      assert.deepEqual(plain(dicomJson(dataSetOfJson(shown))), plain(json), name);
      count += 1;
    }
    assert.ok(count > 30);
  });

  test('is read as PS3.18 F.3 writes it', () => {
    const dataSet = dataSetOfJson({
      '00080005': { vr: 'CS', Value: ['ISO_IR 100'] },
      '00100010': {
        vr: 'PN',
        Value: [{ Alphabetic: 'Yamada^Tarou', Ideographic: '山田^太郎', Phonetic: 'やまだ^たろう' }],
      },
      '00200032': { vr: 'DS', Value: [-1.5, '2.50', null] },
      '00720083': { vr: 'UV', Value: ['18446744073709551615', 7] },
      '00186020': { vr: 'SL', Value: [-3] },
      '00720076': { vr: 'FL', Value: ['inf', 0.5] },
      '00280009': { vr: 'AT', Value: ['00181063'] },
      '00091002': { vr: 'UN', InlineBinary: 'z0x9c8v7' },
      '00081115': { vr: 'SQ', Value: [null, { '0020000E': { vr: 'UI', Value: ['1.2.3'] } }] },
      '00080050': { vr: 'SH' },
    });
    assert.deepEqual(dataSet.characterSets, ['ISO_IR 192']);
    assert.equal(textOf(dataSet, 0x00100010), 'Yamada^Tarou=山田^太郎=やまだ^たろう');
    const json = dicomJson(dataSet);
    assert.deepEqual(json['00200032']?.Value, [-1.5, 2.5, null]);
    assert.deepEqual(json['00720083']?.Value, ['18446744073709551615', 7]);
    assert.deepEqual(json['00720076']?.Value, ['inf', 0.5]);
    assert.deepEqual(json['00280009']?.Value, ['00181063']);
    assert.equal(json['00091002']?.InlineBinary, 'z0x9c8v7');
    assert.deepEqual(json['00081115']?.Value, [{}, { '0020000E': { vr: 'UI', Value: ['1.2.3'] } }]);
    assert.deepEqual(json['00080050'], { vr: 'SH' });
  });

  test('keeps bulk data where the caller says what stands behind its URI, and else refuses it', () => {
    const json = { '7FE00010': { vr: 'OW', BulkDataURI: 'part-1' } };
    const value = { kind: 'range', range: { start: 8, length: 4 } } as const;
    assert.equal(
      dataSetOfJson(json, (uri) => (uri === 'part-1' ? value : undefined)).elements.get(0x7fe00010)?.value,
      value,
    );
    assert.throws(() => dataSetOfJson(json), refused('malformed'));
  });

  const refused = (code: string) => (thrown: unknown) => thrown instanceof DicomError && thrown.code === code;
  const wrong: readonly [string, unknown][] = [
    ['that is no object', []],
    ['whose tag is none', { '0010001': { vr: 'LO' } }],
    ['whose element is no object', { '00100010': 7 }],
    ['without vr', { '00100010': { Value: ['x'] } }],
    ['with an unknown vr', { '00100010': { vr: 'ZZ' } }],
    ['whose Value is no array', { '00100020': { vr: 'LO', Value: 'x' } }],
    ['whose text is a number', { '00100020': { vr: 'LO', Value: [7] } }],
    ['whose number is text', { '00280010': { vr: 'US', Value: ['many'] } }],
    ['whose bytes are not base64', { '00091002': { vr: 'OB', InlineBinary: '***' } }],
    ['whose name has a number for a component group', { '00100010': { vr: 'PN', Value: [{ Alphabetic: 7 }] } }],
    ['whose item is a text', { '00081115': { vr: 'SQ', Value: ['x'] } }],
    ['whose tag value has nine digits', { '00280009': { vr: 'AT', Value: ['001810630'] } }],
  ];
  for (const [title, json] of wrong) {
    test(`${title} is refused`, () => assert.throws(() => dataSetOfJson(json), refused('malformed')));
  }

  test('whose number does not fit is refused', () => {
    assert.throws(() => dataSetOfJson({ '00280010': { vr: 'US', Value: [65_536] } }), refused('value'));
  });

  test('that nests without end is refused', () => {
    let json: unknown = {};
    for (let depth = 0; depth < 100; depth += 1) json = { '00081115': { vr: 'SQ', Value: [json] } };
    assert.throws(() => dataSetOfJson(json), refused('limit'));
  });
});
