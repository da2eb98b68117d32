import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { openBlobStore } from '@lantern/service';
import { openTableEngine, type TableEngine } from './table-engine.ts';

let dir: string;
let engine: TableEngine;
const signal = new AbortController().signal;

before(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'lantern-engine-'));
  const blobs = await openBlobStore({ dir: path.join(dir, 'site', 'blobs'), freeBytesMin: 0 });
  engine = await openTableEngine({ dataDir: path.join(dir, 'site'), blobs, memoryMiB: 128, threads: 2 });
});

after(async () => {
  engine.close();
  await rm(dir, { recursive: true, force: true });
});

const run = (sql: string) => engine.session(signal, (session) => session.run(sql));

describe('the table engine', () => {
  it('reads nothing outside the folder of the site, and cannot be told to', async () => {
    const outside = path.join(dir, 'outside.csv');
    await writeFile(outside, 'a\n1\n');
    await assert.rejects(run(`SELECT * FROM read_csv('${outside}')`), { code: 'internal', message: /Permission/ });
    await assert.rejects(run('SET enable_external_access = true'), { code: 'dataset.invalid' });
    await assert.rejects(run("SET allowed_directories = ['/']"), { code: 'dataset.invalid' });
    await assert.rejects(run('INSTALL httpfs'), { code: 'internal' });
    await assert.rejects(run('LOAD httpfs'));
  });

  it('says what kind of error occurred and never the text, which may quote rows', async () => {
    await assert.rejects(run("SELECT CAST('PATIENT-NAME' AS INTEGER)"), (error: Error) => {
      assert.match(error.message, /Conversion/);
      assert.doesNotMatch(`${error.message} ${String(error.cause)}`, /PATIENT/);
      return true;
    });
  });

  it('keeps the order of rows over many chunks and two threads', async () => {
    const seen: number[] = [];
    const query = { sql: 'SELECT CAST(range AS DOUBLE) AS a FROM range(300000) ORDER BY range', parameters: [] };
    await engine.session(signal, (session) => session.numbers(query, ([a]) => void seen.push(...(a ?? []))));
    assert.equal(seen.length, 300_000);
    assert.ok(seen.every((value, index) => value === index));
  });

  it('takes every number as it is, however large or small', async () => {
    const numbers = [1e19, -1e19, 2 ** 63, 1.7976931348623157e308, 5e-324, 2 ** 53 + 2, 0.1];
    const sql = `SELECT [${numbers.map((_, index) => `CAST($${index + 1} AS DOUBLE)`).join(', ')}] AS numbers`;
    const rows = await engine.session(signal, (session) => session.rows({ sql, parameters: numbers }));
    assert.deepEqual(rows, [{ numbers }]);
    const seen: number[] = [];
    const query = { sql: 'SELECT CAST($1 AS DOUBLE)', parameters: [1e300] };
    await engine.session(signal, (session) => session.numbers(query, ([a]) => void seen.push(...(a ?? []))));
    assert.deepEqual(seen, [1e300]);
  });

  it('takes values as parameters, so a text is never part of the statement', async () => {
    const query = {
      sql: "SELECT $1 || '' AS text, CAST($2 AS DOUBLE) AS number",
      parameters: ["'; DROP TABLE x; --", 2.5],
    };
    const rows = await engine.session(signal, (session) => session.rows(query));
    assert.deepEqual(rows, [{ text: "'; DROP TABLE x; --", number: 2.5 }]);
  });

  it('stops a running query when it is told to', async () => {
    const stop = new AbortController();
    const endless = engine.session(stop.signal, (session) =>
      session.run('SELECT count(*) FROM range(1000000) a, range(1000000) b WHERE a.range * 3 > b.range'),
    );
    setImmediate(() => stop.abort(new Error('withdrawn')));
    await assert.rejects(endless, { message: 'withdrawn' });
  });

  it('names an abort before it starts', async () => {
    await assert.rejects(
      engine.session(AbortSignal.abort(new Error('too late')), async () => undefined),
      { message: 'too late' },
    );
  });
});
