import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { DatasetSchemaSchema, matches } from '@lantern/contract';
import { draftSchema } from './schema-draft.ts';

describe('the draft of a schema', () => {
  let file: string;
  before(async () => {
    const folder = await mkdtemp(path.join(os.tmpdir(), 'lantern-draft-'));
    file = path.join(folder, 'clinic.csv');
    // 400 patients; one of them with an age and a ward that nobody else has
    const rows = Array.from({ length: 400 }, (_, index) => [
      `P${index}`,
      index === 7 ? 109 : 40 + (index % 30),
      index % 3 === 0 ? '?' : index % 2,
      index === 7 ? 'X' : 'B',
    ]);
    await writeFile(file, `patient,age,smoker,ward\n${rows.map((row) => row.join(',')).join('\n')}\n`);
  });
  after(() => rm(path.dirname(file), { recursive: true }));

  it('guesses kinds and gaps, and leaves to a person what only a person knows', async () => {
    const draft = await draftSchema(file, { name: 'clinic', format: 'csv' });
    const meaning = '';
    assert.deepEqual(draft.columns, [
      { name: 'patient', description: '', kind: 'patient-key' },
      {
        name: 'age',
        description: '',
        kind: 'number',
        unit: '',
        range: { min: null, max: null },
        missingAllowed: false,
      },
      {
        name: 'smoker',
        description: '',
        kind: 'category',
        missingAllowed: true,
        categories: [
          { value: '0', meaning },
          { value: '1', meaning },
        ],
      },
      { name: 'ward', description: '', kind: 'category', missingAllowed: false, categories: [{ value: 'B', meaning }] },
    ]);
    assert.equal(matches(DatasetSchemaSchema, draft), false, 'a draft can be registered as it is');
  });

  it('holds no value that few patients have', async () => {
    const text = JSON.stringify(await draftSchema(file, { name: 'clinic', format: 'csv' }));
    for (const rare of ['109', '"X"', 'P7']) assert.ok(!text.includes(rare), rare);
  });

  it('of what is no table is refused', async () => {
    await assert.rejects(draftSchema(file, { name: 'clinic', format: 'parquet' }), { code: 'dataset.invalid' });
  });
});
