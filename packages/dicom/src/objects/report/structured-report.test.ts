import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { derivationOf, fixture } from '../../../test/derivations.ts';
import { memorySource } from '../../byte-source.ts';
import { DicomError } from '../../dicom-error.ts';
import { readPart10 } from '../../part10.ts';
import { part10Of } from '../derived-object.ts';
import { referenceTo } from '../instance-reference.ts';
import { type ContentItem, codeItem, container, contentItem, type Relation, textItem } from './content-item.ts';
import { contentTreeOf } from './content-tree.ts';
import { structuredReportOf } from './structured-report.ts';

const { dataSet: source } = fixture('MR_small.dcm');
const image = referenceTo(source);
const { sopClassUid, sopInstanceUid } = image;
const NAME = { value: '121071', scheme: 'DCM', schemeVersion: '01', meaning: 'Finding' };
const IMAGE: ContentItem = contentItem('CONTAINS', NAME, { type: 'IMAGE', reference: { sopClassUid, sopInstanceUid } });

const made = (children: readonly ContentItem[], evidence = [image]) =>
  structuredReportOf(derivationOf(source), {
    root: container(undefined, NAME, children),
    evidence,
    completion: 'COMPLETE',
  });
const refused = (message: string) => (thrown: unknown) =>
  thrown instanceof DicomError && thrown.code === 'object' && thrown.message.includes(message);

/** One item of each type, in a relation that it may have to a container. */
const EVERY_TYPE: readonly ContentItem[] = [
  textItem('CONTAINS', NAME, 'Straße\r\nzwei Zeilen'),
  codeItem('CONTAINS', NAME, { ...NAME, value: 'urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6', scheme: '' }),
  contentItem('CONTAINS', NAME, { type: 'NUM', quantity: { value: 3, unit: NAME }, qualifier: NAME }),
  contentItem('CONTAINS', NAME, { type: 'NUM', qualifier: NAME }),
  contentItem('HAS OBS CONTEXT', NAME, { type: 'UIDREF', uid: '2.25.4' }),
  contentItem('HAS OBS CONTEXT', NAME, { type: 'PNAME', name: 'Ärztin^Eine' }),
  contentItem('CONTAINS', NAME, { type: 'DATE', moment: '20260304' }),
  contentItem('CONTAINS', NAME, { type: 'TIME', moment: '233005' }),
  contentItem('CONTAINS', NAME, { type: 'DATETIME', moment: '20260304233005.5+0100' }),
  contentItem('CONTAINS', NAME, { type: 'COMPOSITE', reference: { sopClassUid, sopInstanceUid } }),
  contentItem('CONTAINS', NAME, { type: 'SCOORD', graphicType: 'POINT', points: [[0.5, 7.25]] }, [
    { ...IMAGE, relation: 'SELECTED FROM' },
  ]),
  contentItem('CONTAINS', NAME, { type: 'CONTAINER', continuity: 'CONTINUOUS' }, [IMAGE]),
];

describe('a structured report', () => {
  test('gives back the tree that it was made of, with an item of every type', () => {
    const { dataSet } = readPart10(memorySource(part10Of(made(EVERY_TYPE))));
    assert.deepEqual(contentTreeOf(dataSet), container(undefined, NAME, EVERY_TYPE));
  });

  test('is not read without the points of an outline that were left in the file', () => {
    const points = Array.from({ length: 10_000 }, (_, index): [number, number] => [index, index / 2]);
    const outline = contentItem('CONTAINS', NAME, { type: 'SCOORD', graphicType: 'POLYLINE', points }, [
      { ...IMAGE, relation: 'SELECTED FROM' },
    ]);
    const source = memorySource(part10Of(made([outline])));
    assert.throws(
      () => contentTreeOf(readPart10(source).dataSet),
      (thrown) => thrown instanceof DicomError && thrown.code === 'limit',
    );
    const whole = readPart10(source, Number.POSITIVE_INFINITY).dataSet;
    assert.deepEqual(contentTreeOf(whole).children, [outline]);
  });

  test('is refused where items are related as the class does not allow', () => {
    const text = textItem('CONTAINS', NAME, 'x');
    const cases: readonly [ContentItem, string][] = [
      [{ ...IMAGE, relation: 'HAS OBS CONTEXT' }, 'CONTAINER HAS OBS CONTEXT IMAGE'],
      [{ ...text, relation: 'INFERRED FROM' }, 'CONTAINER INFERRED FROM TEXT'],
      [{ ...IMAGE, children: [text] }, 'IMAGE CONTAINS TEXT'],
      [{ ...text, children: [{ ...IMAGE, relation: 'SELECTED FROM' }] }, 'TEXT SELECTED FROM IMAGE'],
      [{ ...text, children: [{ ...IMAGE, relation: 'HAS CONCEPT MOD' }] }, 'TEXT HAS CONCEPT MOD IMAGE'],
    ];
    for (const [item, message] of cases) assert.throws(() => made([item]), refused(`${message} is not allowed`));
  });

  test('lets a finding be inferred from an image, and a name have properties', () => {
    const inferred: Relation = 'INFERRED FROM';
    const finding = codeItem('CONTAINS', NAME, NAME, [{ ...IMAGE, relation: inferred }]);
    const person = contentItem('HAS OBS CONTEXT', NAME, { type: 'PNAME', name: 'A^B' }, [
      codeItem('HAS PROPERTIES', NAME, NAME),
    ]);
    assert.equal(contentTreeOf(made([finding, person])).children.length, 2);
  });

  test('is refused where an item says nothing', () => {
    assert.throws(() => made([textItem('CONTAINS', NAME, '')]), refused('a text is not empty'));
    assert.throws(() => made([contentItem('CONTAINS', NAME, { type: 'NUM' })]), refused('has a qualifier'));
    assert.throws(
      () => made([contentItem('CONTAINS', undefined, { type: 'TEXT', text: 'x' })]),
      refused('type TEXT has a name'),
    );
    assert.throws(
      () => made([contentItem('CONTAINS', NAME, { type: 'OTHER', valueType: 'TCOORD' })]),
      refused('CONTAINER CONTAINS OTHER is not allowed'),
    );
    assert.throws(
      () => made([{ ...IMAGE, value: { type: 'TEXT', text: 'x' } }, container(undefined, NAME, [])]),
      refused('only the root'),
    );
  });

  test('is refused where it refers to an instance that is not among its evidence', () => {
    assert.throws(() => made([IMAGE], []), refused('CurrentRequestedProcedureEvidenceSequence'));
  });
});
