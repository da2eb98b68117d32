import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { AppError } from '@lantern/contract';
import { Type } from 'typebox';
import { readJsonFile } from './json-file.ts';

const PLAN = Type.Object({ rounds: Type.Integer({ minimum: 1 }) }, { additionalProperties: false });

describe('a JSON file of a command', () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(path.join(os.tmpdir(), 'lantern-json-'));
  });
  after(() => rm(folder, { recursive: true }));

  const refusal = async (file: string): Promise<string> => {
    const caught = await readJsonFile(file, PLAN, 'Run plan').catch((error: unknown) => error);
    assert.ok(caught instanceof AppError && caught.code === 'input.invalid');
    return caught.message;
  };
  const refusalOf = async (text: string): Promise<string> => {
    const file = path.join(folder, 'plan.json');
    await writeFile(file, text);
    return (await refusal(file)).replaceAll(folder, '');
  };

  it('that fits is read', async () => {
    const file = path.join(folder, 'good.json');
    await writeFile(file, '{"rounds": 7}');
    assert.deepEqual(await readJsonFile(file, PLAN, 'Run plan'), { rounds: 7 });
  });

  it('that is missing, or is a folder, is told from one that is no JSON', async () => {
    assert.equal(await refusal(path.join(folder, 'none.json')), `Run plan: ${folder}/none.json does not exist.`);
    assert.match(await refusal(folder), /is a folder, not a file/);
  });

  it('that is no JSON is refused with the line, without quoting the file', async () => {
    assert.match(
      await refusalOf('{"rounds": 7,\n"secret": 12 34}'),
      /plan\.json is not JSON: line 2, column 14: Expected/,
    );
    assert.match(await refusalOf('{"rounds": [1,\n2'), /not JSON: .*line 2/);
    assert.match(await refusalOf('\n'), /not JSON: it is empty/);
    const message = await refusalOf('{"rounds": secret}');
    assert.match(message, /not JSON: it holds something/);
    assert.ok(!message.includes('secret'));
  });

  it('that does not match is refused with field and rule', async () => {
    assert.match(await refusalOf('{"rounds": 0}'), /^Run plan in \/plan\.json: field \/rounds must be >= 1\.$/);
    assert.match(await refusalOf('{"rounds": 1, "quorm": 2}'), /field \/quorm is not a known field/);
  });
});
