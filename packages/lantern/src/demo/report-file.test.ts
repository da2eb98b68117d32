import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { openReportFile } from './report-file.ts';

describe('the report of the demonstration', () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(path.join(os.tmpdir(), 'lantern-report-'));
  });
  after(() => rm(folder, { recursive: true }));

  it('replaces an older one only when it is written', async () => {
    const file = path.join(folder, 'report.json');
    await writeFile(file, `${'old '.repeat(50)}\n`);
    const failed = await openReportFile(file);
    await failed.close();
    assert.match(await readFile(file, 'utf8'), /^old /);
    const report = await openReportFile(file);
    await report.write({ right: 203 });
    await report.close();
    assert.deepEqual(JSON.parse(await readFile(file, 'utf8')), { right: 203 });
  });

  it('leaves nothing where a story that failed found nothing', async () => {
    const file = path.join(folder, 'new.json');
    const report = await openReportFile(file);
    assert.ok(existsSync(file));
    await report.close();
    assert.equal(existsSync(file), false);
  });
});
