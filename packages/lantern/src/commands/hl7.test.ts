/** `lantern hl7 listen` and `send` against each other, as a person types them. */
import assert from 'node:assert/strict';
import { appendFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Readable, Writable } from 'node:stream';
import { after, before, describe, it } from 'node:test';
import { runProgram } from '../cli/program.ts';

let dir: string;

before(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'lantern-hl7-command-'));
});
after(() => rm(dir, { recursive: true, force: true }));

type Run = {
  readonly ended: Promise<{ code: number; out: string; err: string }>;
  firstLine(): Promise<string>;
  stop(): void;
};

function start(...args: string[]): Run {
  const text = { out: '', err: '' };
  const stop = new AbortController();
  let wake = () => {};
  const sink = (key: 'out' | 'err') =>
    Object.assign(
      new Writable({
        write(chunk, _encoding, done) {
          text[key] += String(chunk);
          wake();
          done();
        },
      }),
      { isTTY: false },
    );
  const context = {
    env: {},
    stdin: Readable.from([]),
    stdout: sink('out') as never,
    stderr: sink('err') as never,
    signal: stop.signal,
  };
  const ended = runProgram(['hl7', ...args], context).then((code) => ({ code, ...text }));
  return {
    ended,
    stop: () => stop.abort(),
    async firstLine() {
      while (!text.out.includes('\n')) await new Promise<void>((resolve) => (wake = resolve));
      return text.out.split('\n', 1)[0] ?? '';
    },
  };
}

async function listening(folder: string): Promise<{ run: Run; to: string }> {
  const run = start('listen', '--folder', folder, '--port', '0', '--json');
  const { port } = JSON.parse(await run.firstLine());
  return { run, to: `127.0.0.1:${port}` };
}

const send = (...args: string[]) => start('send', ...args).ended;

async function fileOf(name: string, content: string | Buffer): Promise<string> {
  const file = path.join(dir, name);
  await writeFile(file, content);
  return file;
}

const message = (id: string, more = '') => `MSH|^~\\&|LAB|N|L|S|2026||ORU^R01|${id}|P|2.5.1${more}\nPID|1||${id}\n`;

describe('lantern hl7 listen and send', () => {
  it('bring every message of a file into the folder, once, also past a crash', async () => {
    const folder = path.join(dir, 'kept');
    const file = await fileOf('two.hl7', message('1') + message('2'));
    const first = await listening(folder);
    const sent = await send(file, '--to', first.to, '--json');
    assert.equal(sent.code, 0, sent.err);
    const { results } = JSON.parse(sent.out);
    assert.deepEqual(
      results.map((one: { controlId: string; outcome: string }) => [one.controlId, one.outcome]),
      [
        ['1', 'accepted'],
        ['2', 'accepted'],
      ],
    );
    first.run.stop();
    const listened = await first.run.ended;
    assert.equal(listened.out.trim().split('\n').length, 3);
    const journal = path.join(folder, 'messages.jsonl');
    await appendFile(journal, '{"sequence":3,"cut'); // as a crash leaves it
    const second = await listening(folder);
    assert.equal((await send(file, '--to', second.to)).code, 0);
    const counted = message('2').replace('PID|1', 'PID|2'); // by a sender that counts anew
    assert.equal((await send(await fileOf('other.hl7', counted), '--to', second.to)).code, 0);
    second.run.stop();
    await second.run.ended;
    const lines = (await readFile(journal, 'utf8')).trim().split('\n');
    const kept = lines.map((line) => Buffer.from(JSON.parse(line).content, 'base64').toString());
    assert.deepEqual(
      kept,
      [message('1'), message('2'), counted].map((text) => text.replaceAll('\n', '\r')),
    );
  });

  it('say in words what is odd about what they are given', async () => {
    const empty = await fileOf('empty.hl7', 'hello\n');
    const good = await fileOf('good.hl7', message('9'));
    const cases: [string[], RegExp][] = [
      [['--to', 'nowhere', good], /--to: must be host:port/],
      [['--to', '127.0.0.1:99999', good], /--to: must be host:port/],
      [['--to', '127.0.0.1:1', '--attempts', 'often', good], /--attempts: must be a whole number/],
      [['--to', '127.0.0.1:1', path.join(dir, 'none.hl7')], /does not exist/],
      [['--to', '127.0.0.1:1', dir], /is a folder, not a file/],
      [['--to', '127.0.0.1:1', empty], /no line begins with MSH/],
      [['--to', '127.0.0.1:1', '--attempts', '1', good], /did not acknowledge: The receiver cannot be reached/],
    ];
    for (const [args, meant] of cases) {
      const { code, err } = await send(...args);
      assert.notEqual(code, 0);
      assert.match(err, meant);
    }
    const port = await start('listen', '--folder', path.join(dir, 'x'), '--port', 'many').ended;
    assert.match(port.err, /--port: must be a whole number/);
  });

  it('send what can be sent and name what cannot', async () => {
    const { run, to } = await listening(path.join(dir, 'mixed'));
    const unreadable = message('8', '||||||MOON');
    const file = await fileOf('mixed.hl7', message('7') + unreadable);
    const { code, out } = await send(file, '--to', to);
    assert.equal(code, 1);
    assert.match(out, /#1 {2}7 {2}accepted \(AA\)/);
    assert.match(out, /#2 .*unreadable: MSH-18: this character set is not known here/);
    run.stop();
    await run.ended;
  });
});
