import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { buffer } from 'node:stream/consumers';
import { test } from 'node:test';
import { memorySource } from '../byte-source.ts';
import { DicomError } from '../dicom-error.ts';
import { readPart10 } from '../part10.ts';
import { decodeDataSet } from './incoming.ts';
import { instanceOfFile } from './instance-file.ts';

const FIXTURES = path.resolve(import.meta.dirname, '../../../../fixtures/dicom');

test('a file is sent without its preamble and meta information, in the syntax that they name', async () => {
  const file = path.join(FIXTURES, 'MR_small_implicit.dcm');
  const { sopClass, sopInstance, transferSyntax, open } = instanceOfFile(file);
  assert.equal(sopClass, '1.2.840.10008.5.1.4.1.1.4');
  assert.equal(sopInstance, '1.3.6.1.4.1.5962.1.1.4.1.1.20040826185059.5457');
  assert.equal(transferSyntax, '1.2.840.10008.1.2');
  const sent = await buffer(open());
  const content = readFileSync(file);
  assert.ok(content.subarray(-sent.byteLength).equals(sent));
  const { dataSet } = readPart10(memorySource(content));
  assert.deepEqual([...decodeDataSet(sent, transferSyntax).elements.keys()], [...dataSet.elements.keys()]);
});

test('a file without meta information is refused: nothing says how it is encoded', () => {
  assert.throws(() => instanceOfFile(path.join(FIXTURES, 'ExplVR_LitEndNoMeta.dcm')), DicomError);
});

test('a file whose meta information names another instance than its data set is sent under the UID of the data set', () => {
  const { sopInstance } = instanceOfFile(path.join(FIXTURES, 'rtplan.dcm'));
  assert.equal(sopInstance, '1.2.777.777.77.7.7777.7777.20030903150023');
});
