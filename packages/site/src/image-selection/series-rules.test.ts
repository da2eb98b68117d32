import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { SeriesRule } from '@lantern/contract';
import { dataSetOf, numberElement, sequenceElement, textElement } from '@lantern/dicom';
import { asksForFacts, type Image, imageFactsOf, isLike, NO_FACTS, takenImages } from './series-rules.ts';

const CT = '1.2.840.10008.5.1.4.1.1.2';
const SERIES = { modality: 'CT', seriesDescription: 'Thorax 1.0 B70f', bodyPartExamined: 'Chest ' };

function image(changes: Partial<Omit<Image, 'facts'>> & { readonly facts?: Partial<Image['facts']> } = {}): Image {
  const facts = { imageType: ['ORIGINAL', 'PRIMARY', 'AXIAL'], plane: 'axial', sliceThickness: 1.25 } as const;
  return { sopClassUid: CT, frameCount: 1, ...changes, facts: { ...facts, ...changes.facts } };
}

const takes = (rule: SeriesRule, images: readonly Image[] = [image()]) => takenImages([rule], SERIES, images).length;

describe('a rule of a collection', () => {
  it('takes a series of its modality and description, and no other', () => {
    assert.equal(takes({ modalities: ['MR', 'CT'] }), 1);
    assert.equal(takes({ modalities: ['MR'] }), 0);
    assert.equal(takes({ bodyParts: ['HEAD', 'CHEST'] }), 1);
    assert.equal(takes({ bodyParts: ['HEAD'] }), 0);
    assert.equal(takes({ description: 'thorax*b70?' }), 1);
    assert.equal(takes({ description: 'thorax' }), 0);
    assert.equal(takes({ modalities: ['CT'], description: 'abdomen*' }), 0);
  });

  it('takes the images of its plane, type, thickness and class', () => {
    const images = [
      image(),
      image({ facts: { plane: 'sagittal' } }),
      image({ facts: { imageType: ['ORIGINAL', 'PRIMARY', 'LOCALIZER'] } }),
      image({ facts: { sliceThickness: 5 } }),
      image({ facts: { sliceThickness: undefined } }),
      image({ sopClassUid: '1.2.840.10008.5.1.4.1.1.7' }),
    ];
    const taken = (rule: SeriesRule) => takenImages([rule], SERIES, images).map((one) => images.indexOf(one));
    assert.deepEqual(taken({ orientation: 'axial' }), [0, 2, 3, 4, 5]);
    assert.deepEqual(taken({ imageType: ['PRIMARY', 'AXIAL'] }), [0, 1, 3, 4, 5]);
    assert.deepEqual(taken({ sliceThicknessMm: { min: 1.25, max: 1.25 } }), [0, 1, 2, 5]);
    assert.deepEqual(taken({ sopClassUids: [CT] }), [0, 1, 2, 3, 4]);
  });

  it('counts the frames of the images that fit, and takes none where they are too few', () => {
    const images = [image({ frameCount: 2 }), image(), image({ facts: { plane: 'coronal' }, frameCount: 40 })];
    assert.equal(takes({ orientation: 'axial', sliceCountMin: 3 }, images), 2);
    assert.equal(takes({ orientation: 'axial', sliceCountMin: 4 }, images), 0);
  });

  it('stands beside others, of which one is enough', () => {
    assert.equal(takenImages([{ modalities: ['MR'] }, { orientation: 'axial' }], SERIES, [image()]).length, 1);
  });

  it('asks for headers only of series that it may take', () => {
    assert.equal(asksForFacts([{ modalities: ['CT'] }], SERIES), false);
    assert.equal(asksForFacts([{ modalities: ['MR'], orientation: 'axial' }], SERIES), false);
    assert.equal(asksForFacts([{ modalities: ['MR'] }, { sliceThicknessMm: { min: 0, max: 2 } }], SERIES), true);
    assert.equal(takes({ orientation: 'axial' }, [image({ facts: NO_FACTS })]), 0);
  });
});

describe('the header of an image', () => {
  it('says type, plane and thickness', () => {
    const coronal = dataSetOf([
      textElement('ImageType', ['DERIVED', 'SECONDARY']),
      numberElement('ImageOrientationPatient', [1, 0, 0, 0, 0.1, -0.99]),
      numberElement('SliceThickness', 3),
    ]);
    assert.deepEqual(imageFactsOf(coronal), {
      imageType: ['DERIVED', 'SECONDARY'],
      plane: 'coronal',
      sliceThickness: 3,
    });
    assert.deepEqual(imageFactsOf(dataSetOf([])), NO_FACTS);
  });

  it('says them in the functional groups of a multi-frame image', () => {
    const shared = [
      sequenceElement('PlaneOrientationSequence', [[numberElement('ImageOrientationPatient', [0, 1, 0, 0, 0, -1])]]),
      sequenceElement('PixelMeasuresSequence', [[numberElement('SliceThickness', 0.5)]]),
    ];
    const { plane, sliceThickness } = imageFactsOf(
      dataSetOf([sequenceElement('SharedFunctionalGroupsSequence', [shared])]),
    );
    assert.deepEqual([plane, sliceThickness], ['sagittal', 0.5]);
  });
});

describe('a pattern', () => {
  const cases: readonly [string, string, boolean][] = [
    ['thorax', 'thorax', true],
    ['thorax', 'thora', false],
    ['thora', 'thorax', false],
    ['', '*', true],
    ['', '?', false],
    ['abcbc', 'a*bc', true],
    ['abcbd', 'a*bc', false],
    ['axbyc', 'a?b?c', true],
    ['a.c', 'a.c', true],
    ['abc', 'a.c', false],
  ];
  for (const [text, pattern, expected] of cases) {
    it(`"${pattern}" ${expected ? 'is' : 'is not'} the form of "${text}"`, () =>
      assert.equal(isLike(text, pattern), expected));
  }

  it('of many stars is soon done with a long text', () => {
    const startedMs = performance.now();
    assert.equal(isLike('a'.repeat(1000), `${'*a'.repeat(31)}*b`), false);
    assert.ok(performance.now() - startedMs < 1000);
  });
});
