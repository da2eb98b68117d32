import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, it } from 'node:test';
import { draftSchema } from '@lantern/site';
import { HOSPITALS, hospitalCsv } from './fixtures.ts';
import { DATASET } from './heart-disease.ts';

const FOLDER = path.resolve(import.meta.dirname, '../../../../fixtures/example');

describe('the example of the first steps', () => {
  it('is the first table of the demonstration, with its schema', async () => {
    assert.equal(await readFile(path.join(FOLDER, 'cleveland.csv'), 'utf8'), await hospitalCsv(HOSPITALS[0]));
    assert.deepEqual(JSON.parse(await readFile(path.join(FOLDER, 'schema.json'), 'utf8')), DATASET);
  });

  it('has the columns, kinds and gaps that a draft of its schema guesses', async () => {
    const draft = await draftSchema(path.join(FOLDER, 'cleveland.csv'), { name: DATASET.name, format: 'csv' });
    const shape = (columns: readonly { name: string; kind: string }[]) => columns.map(({ name, kind }) => [name, kind]);
    assert.deepEqual(shape(draft.columns), shape(DATASET.columns));
  });
});
