/** Files that we write, as DCMTK reads them. */
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, describe, test } from 'node:test';
import {
  bytesElement,
  dataSetOf,
  dataSetOfJson,
  dicomJson,
  memorySource,
  numberElement,
  openFileSource,
  readPart10,
  sequenceElement,
  textElement,
  transferSyntaxOf,
  withElements,
  writePart10,
} from '@lantern/dicom';
import { dicomProgramsMissing, run } from './dicom-programs.ts';

const FIXTURES = path.resolve(import.meta.dirname, '../../fixtures/dicom');
const SYNTAXES = ['1.2.840.10008.1.2', '1.2.840.10008.1.2.1', '1.2.840.10008.1.2.2', '1.2.840.10008.1.2.1.99'];
const folder = mkdtempSync(path.join(tmpdir(), 'lantern-dicom-'));
after(() => rmSync(folder, { recursive: true }));

/** Tags and values of a file as dcmdump prints them, without meta information, lengths, group lengths and VRs. */
async function dumped(file: string): Promise<string[]> {
  const { exitCode, output } = await run('dcmdump', ['-q', '+L', '+R', '100', file]);
  assert.equal(exitCode, 0, output);
  const lines = output.split('\n').filter((line) => /^ *\([0-9a-f]{4},[0-9a-f]{4}\)/.test(line));
  return lines
    .filter((line) => !/^\(0002,|,0000\)|\(fffe,/.test(line))
    .map((line) =>
      line
        .replace(/#.*$/, '')
        .replace(/^( *\(....,....\)) \S\S/, '$1')
        .replace(/ \((Sequence|Item) .*/, '')
        .trimEnd(),
    );
}

describe('a file that we write', { skip: dicomProgramsMissing }, () => {
  test('is to dcmdump what the original is, for each fixture that it reads', async () => {
    let count = 0;
    for (const name of readdirSync(FIXTURES).filter((file) => file.endsWith('.dcm') && !file.includes('truncated'))) {
      const original = path.join(FIXTURES, name);
      const source = openFileSource(original);
      const file = readPart10(source);
      const ids = {
        '00080016': { vr: 'UI', Value: ['1.2.840.10008.5.1.4.1.1.7'] },
        '00080018': { vr: 'UI', Value: ['2.25.1'] },
      };
      const copy = path.join(folder, name);
      // Some fixtures are no objects of their own; a file must be one.
      const meta = { ...file.meta, elements: new Map([...file.meta.elements, ...renamed(ids)]) };
      writeFileSync(copy, Buffer.concat([...writePart10({ ...file, meta })]));
      source.close();
      if ((await run('dcmdump', ['-q', original])).exitCode !== 0) continue;
      assert.deepEqual(await dumped(copy), await dumped(original), name);
      count += 1;
    }
    assert.ok(count >= 25, `${count} files`);
  });

  test('made from scratch is read by dcmdump and converted by dcmconv, in every native syntax', async () => {
    const dataSet = withElements(
      dataSetOf([
        textElement('SOPClassUID', '1.2.840.10008.5.1.4.1.1.7'),
        textElement('SOPInstanceUID', '2.25.77'),
        textElement('PatientName', 'Müller^Jürgen'),
        numberElement('Rows', 2),
        numberElement('SliceThickness', 1 / 3),
        sequenceElement('ReferencedSeriesSequence', [[textElement('SeriesInstanceUID', '2.25.5')], []]),
        bytesElement('PixelData', Buffer.from([1, 2, 3, 4]), 'OW'),
      ]),
      [textElement('PatientID', 'L-1')],
    );
    for (const [index, uid] of SYNTAXES.entries()) {
      const file = path.join(folder, `scratch-${index}.dcm`);
      const content = { dataSet, transferSyntax: transferSyntaxOf(uid), source: memorySource(Buffer.alloc(0)) };
      writeFileSync(file, Buffer.concat([...writePart10(content)]));
      const converted = path.join(folder, `converted-${index}.dcm`);
      assert.equal((await run('dcmconv', ['+te', file, converted])).exitCode, 0);
      const source = openFileSource(converted);
      assert.deepEqual(shown(readPart10(source)), shown({ dataSet }), uid);
      source.close();
    }
  });
});

function renamed(json: object) {
  const [sopClass, sopInstance] = [...dataSetOfJson(json).elements.values()].filter(({ vr }) => vr === 'UI');
  assert.ok(sopClass !== undefined && sopInstance !== undefined);
  return [
    [0x00020002, { ...sopClass, tag: 0x00020002 }],
    [0x00020003, { ...sopInstance, tag: 0x00020003 }],
  ] as const;
}

function shown({ dataSet }: { dataSet: Parameters<typeof dicomJson>[0] }) {
  return dicomJson(dataSet);
}
