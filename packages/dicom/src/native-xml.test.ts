import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';
import { openFileSource } from './byte-source.ts';
import { dataSetOf, textElement } from './element-values.ts';
import { metadataXml } from './native-xml.ts';
import { readPart10 } from './part10.ts';

const FIXTURES = path.resolve(import.meta.dirname, '../../../fixtures/dicom');

function attributeIn(file: string, tag: string): string | undefined {
  const source = openFileSource(path.join(FIXTURES, file));
  try {
    const xml = metadataXml(readPart10(source).dataSet, (where) => `/bulk/${where}?a&b`);
    return new RegExp(`<DicomAttribute tag="${tag}".*?</DicomAttribute>`, 's').exec(xml)?.[0];
  } finally {
    source.close();
  }
}

test('values stand as they were written, each with its number', () => {
  assert.equal(
    attributeIn('rtplan.dcm', '300A0018'),
    '<DicomAttribute tag="300A0018" vr="DS" keyword="DoseReferencePointCoordinates"><Value number="1">239.531250000000</Value>' +
      '<Value number="2">239.531250000000</Value><Value number="3">-741.87000000000</Value></DicomAttribute>',
  );
});

test('names come in their groups and parts, in UTF-8', () => {
  assert.equal(
    attributeIn('chrH31.dcm', '00100010'),
    '<DicomAttribute tag="00100010" vr="PN" keyword="PatientName"><PersonName number="1">' +
      '<Alphabetic><FamilyName>Yamada</FamilyName><GivenName>Tarou</GivenName></Alphabetic>' +
      '<Ideographic><FamilyName>山田</FamilyName><GivenName>太郎</GivenName></Ideographic>' +
      '<Phonetic><FamilyName>やまだ</FamilyName><GivenName>たろう</GivenName></Phonetic></PersonName></DicomAttribute>',
  );
  assert.match(attributeIn('chrH31.dcm', '00080005') ?? '', /<Value number="1">ISO_IR 192</);
});

test('pixels lie behind their URI, and private elements name who made them', () => {
  assert.equal(
    attributeIn('MR_small.dcm', '7FE00010'),
    '<DicomAttribute tag="7FE00010" vr="OW" keyword="PixelData"><BulkData uri="/bulk/7FE00010?a&amp;b"/></DicomAttribute>',
  );
  assert.match(attributeIn('chrKoreanMulti.dcm', '00190010') ?? '', /vr="UN" privateCreator="AGFA"|vr="LO"/);
  assert.match(attributeIn('chrKoreanMulti.dcm', '00190013') ?? '', /privateCreator="AGFA"/);
});

test('what XML has no way to write becomes a sign for that', () => {
  const xml = metadataXml(dataSetOf([textElement('PatientComments', 'a<b>&"c"\f\rd\ne')]), () => '');
  assert.ok(xml.includes('>a&lt;b&gt;&amp;&quot;c&quot;\ufffd&#13;d\ne<'), xml);
});
