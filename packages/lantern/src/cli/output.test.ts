import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { describe, it } from 'node:test';
import { createOutput, table } from './output.ts';

function streams(isTTY: boolean) {
  const stdout = new PassThrough();
  const stderr = Object.assign(new PassThrough(), { isTTY });
  return { stdout, stderr, read: () => ({ out: String(stdout.read() ?? ''), err: String(stderr.read() ?? '') }) };
}

describe('what a command prints', () => {
  it('is one JSON document and nothing else with --json', () => {
    const io = streams(true);
    const output = createOutput(io, { json: true });
    output.note('hello');
    output.progress('work').update(1, 2);
    output.result({ rows: 3 }, 'three rows');
    const { out, err } = io.read();
    assert.deepEqual(JSON.parse(out), { rows: 3 });
    assert.equal(err, '');
  });

  it('redraws one bar on a terminal, and prints a line per tenth elsewhere', () => {
    const terminal = streams(true);
    const bar = createOutput(terminal, { json: false }).progress('Upload');
    bar.update(1, 4);
    bar.update(4, 4);
    bar.end();
    assert.match(terminal.read().err, /25 %.*\r.*100 %.*\n$/s);

    const pipe = streams(false);
    const lines = createOutput(pipe, { json: false }).progress('Upload');
    for (let done = 0; done <= 1000; done++) lines.update(done, 1000);
    assert.equal(pipe.read().err.trim().split('\n').length, 11);
  });

  it('aligns a table by its widest cells, numbers to the right', () => {
    assert.equal(
      table([
        ['site', 'n'],
        ['Zürich', '7'],
        ['B', '120'],
      ]),
      'site    n\n──────  ───\nZürich    7\nB       120',
    );
  });
});
