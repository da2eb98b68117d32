import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { DataSet, Element } from '../data-set.ts';
import type { Vr } from '../vr.ts';
import { asciiElement } from './dummy-values.ts';
import { judgePixels } from './pixel-judgement.ts';
import { parsePixelRules } from './pixel-rules.ts';

const SOP = {
  ct: '1.2.840.10008.5.1.4.1.1.2',
  us: '1.2.840.10008.5.1.4.1.1.6.1',
  sc: '1.2.840.10008.5.1.4.1.1.7',
  pdf: '1.2.840.10008.5.1.4.1.1.104.1',
  wsi: '1.2.840.10008.5.1.4.1.1.77.1.6',
  photo: '1.2.840.10008.5.1.4.1.1.77.1.4',
};
const TAG = {
  sopClass: 0x00080016,
  imageType: 0x00080008,
  modality: 0x00080060,
  maker: 0x00080070,
  model: 0x00081090,
  series: 0x0008103e,
  rows: 0x00280010,
  burnedIn: 0x00280301,
  features: 0x00280302,
  pixels: 0x7fe00010,
};

const pixels: Element = { tag: TAG.pixels, vr: 'OW', value: { kind: 'bytes', bytes: Buffer.alloc(2) } };
const number = (tag: number, vr: Vr, value: number): Element => {
  const bytes = Buffer.alloc(vr === 'US' ? 2 : 4);
  if (vr === 'US') bytes.writeUInt16LE(value);
  else bytes.writeUInt32LE(value);
  return { tag, vr, value: { kind: 'bytes', bytes } };
};

function image(sopClass: string, ...elements: Element[]): DataSet {
  const all = [asciiElement(TAG.sopClass, 'UI', sopClass), ...elements, pixels];
  return { elements: new Map(all.map((element) => [element.tag, element])), littleEndian: true, characterSets: [] };
}

const reasonsFor = (dataSet: DataSet) => {
  const judgement = judgePixels(dataSet, []);
  return judgement.kind === 'quarantine' ? judgement.reasons : judgement.kind;
};

describe('the pixels of', () => {
  test('a plain CT pass as they are', () => {
    assert.equal(
      reasonsFor(image(SOP.ct, asciiElement(TAG.modality, 'CS', 'CT'), asciiElement(TAG.burnedIn, 'CS', 'NO'))),
      'pass',
    );
  });

  test('captures, reports, documents, photographs and slides with their label wait for a person', () => {
    assert.deepEqual(reasonsFor(image(SOP.sc)), ['secondary-capture']);
    assert.deepEqual(reasonsFor(image(SOP.ct, asciiElement(TAG.burnedIn, 'CS', 'YES'))), ['burned-in-annotation']);
    assert.deepEqual(reasonsFor(image(SOP.ct, asciiElement(TAG.imageType, 'CS', 'DERIVED\\SECONDARY\\SCREEN SAVE'))), [
      'screen-or-report',
    ]);
    assert.deepEqual(reasonsFor(image(SOP.pdf)), ['encapsulated-document']);
    assert.deepEqual(reasonsFor(image(SOP.photo)), ['recognizable-person']);
    assert.equal(reasonsFor(image(SOP.photo, asciiElement(TAG.features, 'CS', 'NO'))), 'pass');
    assert.deepEqual(reasonsFor(image(SOP.ct, asciiElement(TAG.features, 'CS', 'YES'))), ['recognizable-person']);
    assert.deepEqual(reasonsFor(image(SOP.wsi, asciiElement(TAG.imageType, 'CS', 'ORIGINAL\\PRIMARY\\LABEL\\NONE'))), [
      'slide-label',
    ]);
  });

  test('ultrasound keep what its regions declare, both corners included, and wait without regions', () => {
    const elements = [
      number(0x00186018, 'UL', 10),
      number(0x0018601a, 'UL', 20),
      number(0x0018601c, 'UL', 109),
      number(0x0018601e, 'UL', 70),
    ];
    const item: DataSet = {
      elements: new Map(elements.map((element) => [element.tag, element])),
      littleEndian: true,
      characterSets: [],
    };
    const regions: Element = { tag: 0x00186011, vr: 'SQ', value: { kind: 'items', items: [item] } };
    const judgement = judgePixels(image(SOP.us, regions), []);
    assert.ok(judgement.kind === 'mask');
    assert.deepEqual(judgement.masks, [{ where: 'outside', regions: [{ x: 10, y: 20, width: 100, height: 51 }] }]);
    assert.deepEqual(judgement.suspect, []);
    assert.deepEqual(reasonsFor(image(SOP.us)), ['ultrasound-without-regions']);
  });

  test('a known machine are blacked out by its rule, but a suspect one is still to be read', () => {
    const dose = [
      asciiElement(TAG.modality, 'CS', 'CT'),
      asciiElement(TAG.maker, 'LO', 'GE MEDICAL SYSTEMS'),
      asciiElement(TAG.series, 'LO', 'Dose Report'),
    ];
    const judgement = judgePixels(image(SOP.ct, ...dose), []);
    assert.ok(judgement.kind === 'mask');
    assert.deepEqual(judgement.rules, ['Dose Report']);
    assert.deepEqual(judgement.masks, [{ where: 'inside', regions: [{ x: 0, y: 0, width: 512, height: 110 }] }]);
    assert.deepEqual(judgement.suspect, []);
    const capture = judgePixels(image(SOP.sc, ...dose), []);
    assert.ok(capture.kind === 'mask');
    assert.deepEqual(capture.suspect, ['secondary-capture']);
  });

  test("a site's own machine are blacked out by the site's rule", () => {
    const rules = parsePixelRules([
      {
        label: 'our C-arm',
        all: [
          [{ how: 'equals', field: 'Rows', values: ['480'] }],
          [{ how: 'contains', field: 'ManufacturerModelName', values: ['ziehm'] }],
        ],
        regions: [[4, 5, 6, 7]],
      },
    ]);
    const of = (rows: number) =>
      judgePixels(image(SOP.ct, number(TAG.rows, 'US', rows), asciiElement(TAG.model, 'LO', 'ZIEHM Vision')), rules);
    const judgement = of(480);
    assert.ok(judgement.kind === 'mask');
    assert.deepEqual(judgement.masks, [{ where: 'inside', regions: [{ x: 4, y: 5, width: 6, height: 7 }] }]);
    assert.equal(of(481).kind, 'pass');
  });

  test('are judged by each header anew, also where one differs from the last only in a value that is empty or gone', () => {
    const rules = parsePixelRules([
      {
        label: 'no series',
        all: [[{ how: 'missing', field: 'SeriesDescription', values: [] }]],
        regions: [[0, 0, 4, 2]],
      },
      { label: 'empty', all: [[{ how: 'empty', field: 'SeriesDescription', values: [] }]], regions: [[0, 0, 3, 5]] },
    ]);
    const judged = (...elements: Element[]) => {
      const judgement = judgePixels(image(SOP.ct, ...elements), rules);
      return judgement.kind === 'mask' ? judgement.rules : judgement.kind;
    };
    for (let turn = 0; turn < 2; turn += 1) {
      assert.deepEqual(judged(), ['no series']);
      assert.deepEqual(judged(asciiElement(TAG.series, 'LO', '')), ['empty']);
      assert.equal(judged(asciiElement(TAG.series, 'LO', 'null')), 'pass');
    }
  });
});
