/** What the documents tell people to type exists: every `lantern …` in them names commands and options of the program. */
import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { it } from 'node:test';
import type { Command } from 'commander';
import { buildProgram } from './program.ts';

const ROOT = path.resolve(import.meta.dirname, '../../../..');
const MENTIONS_MIN = 90;

async function documents(): Promise<string[]> {
  const pages = (await readdir(path.join(ROOT, 'docs'))).filter((name) => name.endsWith('.md'));
  return ['README.md', ...pages.map((name) => path.join('docs', name))];
}

/** Lines of `sh` blocks and pieces in backticks that begin with the program's name, without it and without comments. */
function mentions(text: string): string[] {
  const blocks = [...text.matchAll(/^```(?:sh)?\n(.*?)^```$/gms)].flatMap(([, block = '']) =>
    block.replaceAll('\\\n', ' ').split('\n'),
  );
  const inline = [...text.replaceAll(/^```.*?^```$/gms, '').matchAll(/`([^`]+)`/g)].map(([, code = '']) => code);
  return [...blocks, ...inline].flatMap((line) => {
    const said = /^(?:npm run -?s? ?lantern --|lantern) (.*)$/.exec(line.trim())?.[1];
    return said === undefined ? [] : [said.replace(/ +#.*$/, '')];
  });
}

/** What is wrong with a mention, or nothing. `a | b` says two commands at once. */
function fault(program: Command, mention: string): string | undefined {
  const words = mention.split(/\s+/);
  let command = program;
  let index = 0;
  for (; index < words.length && command.commands.length > 0; index += 1) {
    const names: string[] = [words[index] ?? ''];
    while (words[index + 1] === '|' && words[index + 2] !== undefined) {
      names.push(words[index + 2] ?? '');
      index += 2;
    }
    const found = names.map((name) => command.commands.find((child) => child.name() === name));
    const missing = names.find((_, at) => found[at] === undefined);
    if (missing !== undefined)
      return missing.startsWith('-') || missing === '…' ? undefined : `no command "${missing}"`;
    command = found[0] ?? command;
  }
  const flags = words.slice(index).flatMap((word) => /^-{1,2}[a-z][a-z-]*/i.exec(word)?.[0] ?? []);
  const unknown = flags.find((flag) => !command.options.some(({ long, short }) => flag === long || flag === short));
  return unknown === undefined ? undefined : `no option ${unknown}`;
}

it('the documents name commands and options that exist', async () => {
  const { stdin, stdout, stderr } = process; // nothing is run
  const program = buildProgram({ env: {}, stdin, stdout, stderr, signal: new AbortController().signal });
  const mentioned = await Promise.all(
    (await documents()).map(async (file) => ({ file, all: mentions(await readFile(path.join(ROOT, file), 'utf8')) })),
  );
  const wrong = mentioned.flatMap(({ file, all }) =>
    all.flatMap((mention) => {
      const why = fault(program, mention);
      return why === undefined ? [] : [`${file}: lantern ${mention}: ${why}`];
    }),
  );
  assert.deepEqual(wrong, []);
  const count = mentioned.flatMap(({ all }) => all).length;
  assert.ok(count >= MENTIONS_MIN, `${count} are found`);
});
