/** Metadata in XML, beside what DCMTK's dcm2xml writes of the same files. */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { metadataXml, openFileSource, readPart10 } from '@lantern/dicom';
import { dicomProgramsMissing, run } from './dicom-programs.ts';

const FIXTURES = path.resolve(import.meta.dirname, '../../fixtures/dicom');
/** Where the two differ on purpose. */
const EXCEPTIONS: Readonly<Record<string, string>> = {
  'chrX1.dcm': 'dcm2xml repeats the ideographic group of a name as its phonetic one',
  'chrX2.dcm': 'the same',
  'rtdose_rle_1frame.dcm': 'dcm2xml gives elements of VR UN as bytes, also those that the dictionary knows',
  'UN_sequence.dcm': 'dcm2xml leaves the block out of a private tag that no creator reserved',
};
const FILES_MIN = 15;

/** Attributes of a document, without what may differ: white space, bytes or their place, keywords of newer editions, VR of pixels. */
function attributesOf(xml: string): string[] {
  return xml
    .replace(/^.*?<NativeDicomModel[^>]*>/s, '')
    .replaceAll('&apos;', "'")
    .replaceAll(/>\s*\n\s*</g, '><')
    .replaceAll(/<BulkData [^>]*\/>|<InlineBinary>[^<]*<\/InlineBinary>/g, '<Bytes/>')
    .replaceAll(/ keyword="[^"]*"/g, '')
    .replaceAll(/tag="7FE00010" vr="O[BW]"/g, 'tag="7FE00010"')
    .trim()
    .split('<DicomAttribute ')
    .filter((attribute) => !attribute.startsWith('tag="00080005"')); // dcm2xml names the character set also where there is none
}

function oursOf(file: string): string {
  const source = openFileSource(file);
  try {
    return metadataXml(readPart10(source).dataSet, (where) => where);
  } finally {
    source.close();
  }
}

test('metadata in XML are what dcm2xml writes', { skip: dicomProgramsMissing }, async () => {
  let compared = 0;
  for (const name of readdirSync(FIXTURES).filter((one) => one.endsWith('.dcm') && EXCEPTIONS[one] === undefined)) {
    const file = path.join(FIXTURES, name);
    const { exitCode, output } = await run('dcm2xml', ['--quiet', '--native-format', '+Xn', '+U8', file]);
    if (exitCode !== 0) continue; // broken, or in a character set that it cannot convert
    assert.deepEqual(attributesOf(oursOf(file)), attributesOf(output), name);
    compared += 1;
  }
  assert.ok(compared >= FILES_MIN, `${compared} files`);
});
