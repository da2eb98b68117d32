import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { DicomError } from './dicom-error.ts';
import { readIncomingFile } from './part10-stream.ts';
import { metaFor } from './part10-writer.ts';

const FIXTURES = path.resolve(import.meta.dirname, '../../../fixtures/dicom');
const UIDS = {
  sopClassUid: '1.2.840.10008.5.1.4.1.1.2',
  sopInstanceUid: '1.2.3.4',
  transferSyntaxUid: '1.2.840.10008.1.2.4.70',
};
const META = metaFor(UIDS);

async function* cut(bytes: Buffer, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.byteLength; at += size) yield bytes.subarray(at, at + size);
}

async function read(bytes: Buffer, size: number) {
  const { dataSet, ...uids } = await readIncomingFile(cut(bytes, size));
  const pieces: Uint8Array[] = [];
  for await (const piece of dataSet) pieces.push(piece);
  return { uids, dataSet: Buffer.concat(pieces) };
}

const fails = (code: string) => (thrown: unknown) => thrown instanceof DicomError && thrown.code === code;

describe('a file that arrives', () => {
  test('is told by its meta information, and its data set comes as it is, wherever the pieces end', async () => {
    const dataSet = Buffer.from('08000500 43530a0049534f5f4952203139322000'.replaceAll(' ', ''), 'hex');
    for (const size of [1, 7, 100, 131, 132, 133, META.byteLength - 1, META.byteLength, META.byteLength + 1, 10_000]) {
      assert.deepEqual(await read(Buffer.concat([META, dataSet]), size), { uids: UIDS, dataSet }, `${size}`);
    }
  });

  test('may have meta information of many kilobytes, though not of any length', async () => {
    const information = (bytes: number) => {
      const header = Buffer.from('020002014f42000000000000', 'hex');
      header.writeUInt32LE(bytes, 8);
      return Buffer.concat([META, header, Buffer.alloc(bytes), Buffer.from('0800050043530000', 'hex')]);
    };
    assert.equal((await read(information(100_000), 999)).dataSet.byteLength, 8);
    await assert.rejects(read(information(300_000), 999), fails('limit'));
  });

  test('without a data set has an empty one', async () => {
    assert.equal((await read(META, 64)).dataSet.byteLength, 0);
  });

  test('is refused without preamble, without a UID, and where it ends early', async () => {
    await assert.rejects(read(readFileSync(path.join(FIXTURES, 'ExplVR_LitEndNoMeta.dcm')), 500), fails('malformed'));
    await assert.rejects(read(metaFor({ ...UIDS, transferSyntaxUid: '' }), 500), fails('malformed'));
    for (const bytes of [0, 100, 131, 140, META.byteLength - 3]) {
      await assert.rejects(read(META.subarray(0, bytes), 50), fails('truncated'), `${bytes}`);
    }
  });
});
