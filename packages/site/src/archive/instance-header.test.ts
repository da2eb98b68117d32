import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { memorySource } from '@lantern/dicom';
import { readInstanceHeader } from './instance-header.ts';

const EXPLICIT_LITTLE_ENDIAN = '1.2.840.10008.1.2.1';

/** An element in explicit VR little endian with a length of two bytes, padded. */
function element(tag: number, vr: string, text: string): Buffer {
  const value = Buffer.from(text.length % 2 === 0 ? text : `${text}${vr === 'UI' ? '\0' : ' '}`, 'latin1');
  const head = Buffer.alloc(8);
  head.writeUInt16LE(tag >>> 16, 0);
  head.writeUInt16LE(tag & 0xffff, 2);
  head.write(vr, 4, 'latin1');
  head.writeUInt16LE(value.byteLength, 6);
  return Buffer.concat([head, value]);
}

type Said = { characterSet?: string; name?: string; description?: string; number?: string };

function headerOf({ characterSet, name = 'M\xfcller^Eva', description, number = '3' }: Said) {
  const dataSet = Buffer.concat([
    ...(characterSet === undefined ? [] : [element(0x00080005, 'CS', characterSet)]),
    element(0x00080016, 'UI', '1.2.840.10008.5.1.4.1.1.2'),
    element(0x00080018, 'UI', `2.25.4.${number}`),
    ...(description === undefined ? [] : [element(0x0008103e, 'LO', description)]),
    element(0x00100010, 'PN', name),
    element(0x0020000d, 'UI', '2.25.4'),
    element(0x0020000e, 'UI', '2.25.4.1'),
    element(0x00200013, 'IS', number),
  ]);
  return readInstanceHeader(memorySource(dataSet), {
    start: 0,
    isWhole: true,
    transferSyntaxUid: EXPLICIT_LITTLE_ENDIAN,
  });
}

describe('what the index keeps of an instance', () => {
  it('is what this instance says, also where the one before said the same bytes in another character set', () => {
    assert.equal(headerOf({ characterSet: 'ISO_IR 100' }).study.patientName, 'Müller^Eva');
    assert.equal(headerOf({ characterSet: 'ISO_IR 144' }).study.patientName, 'Mќller^Eva');
    assert.equal(headerOf({ characterSet: 'ISO_IR 100' }).study.patientName, 'Müller^Eva');
  });

  it('differs where one attribute of study or series does, and be it that it is empty or missing', () => {
    const said = [{}, { description: '' }, { description: 'axial' }, { name: 'Muller^Eva' }];
    for (let turn = 0; turn < 2; turn += 1) {
      const headers = said.map((one, index) => headerOf({ ...one, number: String(10 * turn + index + 1) }));
      assert.deepEqual(
        headers.map(({ study, series }) => [
          study.patientName,
          series.seriesDescription,
          '0008103E' in series.attributes,
        ]),
        [
          ['Müller^Eva', '', false],
          ['Müller^Eva', '', true],
          ['Müller^Eva', 'axial', true],
          ['Muller^Eva', '', false],
        ],
      );
      assert.deepEqual(
        headers.map(({ instanceNumber }) => instanceNumber),
        [1, 2, 3, 4].map((number) => 10 * turn + number),
      );
    }
  });
});
