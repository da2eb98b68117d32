import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { readCsvHeader } from './csv-header.ts';

let dir: string;
before(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'lantern-csv-'));
});
after(() => rm(dir, { recursive: true, force: true }));

async function headerOf(content: string | Buffer): Promise<string[]> {
  const file = path.join(dir, 'table.csv');
  await writeFile(file, content);
  return readCsvHeader(file);
}

describe('the header of a CSV file', () => {
  it('is read as RFC 4180 writes it: quoted, with doubled quotation marks and commas inside', async () => {
    assert.deepEqual(await headerOf('age,"sex","a ""b"", c"\n1,2,3\n'), ['age', 'sex', 'a "b", c']);
  });

  it('ends at any line end or at the end of the file, and drops blanks around names and a byte order mark', async () => {
    for (const end of ['\r\n1,2', '\n', '']) assert.deepEqual(await headerOf(`\ufeff age , sex${end}`), ['age', 'sex']);
  });

  it('keeps an empty name, which no schema declares', async () => {
    assert.deepEqual(await headerOf('age,,sex\n'), ['age', '', 'sex']);
  });

  it('is said to have another delimiter than the comma, where it has', async () => {
    for (const [character, name] of [
      [';', 'semicolons'],
      ['\t', 'tabs'],
      ['|', 'vertical bars'],
    ] as const)
      await assert.rejects(headerOf(['age', 'sex', 'bp'].join(character)), {
        code: 'dataset.invalid',
        message: new RegExp(`separated by ${name}; save the table with commas`),
      });
    assert.deepEqual(await headerOf('age;years,sex\n'), ['age;years', 'sex']);
  });

  it('is refused without quoting it when the file is empty, no text, or no list of names', async () => {
    await assert.rejects(headerOf(''), { code: 'dataset.invalid', message: /empty/ });
    await assert.rejects(headerOf(Buffer.from([0x61, 0xff, 0x0a])), { code: 'dataset.invalid', message: /UTF-8/ });
    await assert.rejects(headerOf('"SECRET"x,b\n'), (error: Error) => {
      assert.match(error.message, /Line 1/);
      assert.doesNotMatch(error.message, /SECRET/);
      return true;
    });
    await assert.rejects(headerOf('"never closed,b\n'), { code: 'dataset.invalid' });
  });
});
