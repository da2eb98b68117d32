import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { PassThrough, Writable } from 'node:stream';
import { describe, it } from 'node:test';
import { readPassword } from './password.ts';

/** A terminal that types one answer whenever it is asked something. */
function terminal(...answers: string[]) {
  const raw: boolean[] = [];
  const rawAtPrompt: (boolean | undefined)[] = [];
  const stdin = Object.assign(new PassThrough(), { isTTY: true, setRawMode: (on: boolean) => raw.push(on) });
  let shown = '';
  const stderr = new Writable({
    write(chunk, _encoding, done) {
      shown += String(chunk);
      if (String(chunk).endsWith(': ')) {
        rawAtPrompt.push(raw.at(-1));
        setImmediate(() => stdin.write(answers.shift() ?? '\u0003'));
      }
      done();
    },
  });
  return { stdin, stderr, raw, rawAtPrompt, shown: () => shown };
}

describe('a password', () => {
  it('is read from a terminal without being shown, with mistakes erased', async () => {
    const io = terminal('correxx\u007f\u007fct hörse\r');
    assert.equal(await readPassword(io, { label: 'Password of grace' }), 'correct hörse');
    assert.equal(io.shown(), 'Password of grace: \n');
    assert.deepEqual(io.rawAtPrompt, [true], 'a terminal shows what is typed before it is told not to');
    assert.deepEqual(io.raw, [true, false]);
  });

  it('that is new is asked for twice and must be the same', async () => {
    assert.equal(await readPassword(terminal('abc\r', 'abc\r'), { label: 'New', twice: true }), 'abc');
    await assert.rejects(readPassword(terminal('abc\r', 'abd\r'), { label: 'New', twice: true }), /differ/);
  });

  it('that is not typed after all leaves the terminal as it was', async () => {
    const io = terminal('abc\u0003');
    await assert.rejects(readPassword(io, { label: 'Password' }), { code: 'input.invalid' });
    assert.deepEqual(io.raw, [true, false]);
  });

  it('comes from a line of standard input or from a file, without the end of the line', async () => {
    const stdin = new PassThrough();
    stdin.end(' with spaces \nsecond line\n');
    assert.equal(await readPassword({ stdin, stderr: new PassThrough() }, { label: 'x' }), ' with spaces ');
    const nothing = new PassThrough();
    nothing.end();
    await assert.rejects(
      readPassword({ stdin: nothing, stderr: new PassThrough() }, { label: 'x' }),
      /--password-file/,
    );
    const folder = await mkdtemp(path.join(os.tmpdir(), 'lantern-password-'));
    try {
      const file = path.join(folder, 'password');
      await writeFile(file, 'from a file\n');
      assert.equal(await readPassword(terminal(), { label: 'x', file }), 'from a file');
      await assert.rejects(readPassword(terminal(), { label: 'x', file: `${file}.none` }), /cannot be read/);
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});
