/** Where a command gets a password from: a file, the terminal (without showing it), or a line of standard input. */
import { readFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { StringDecoder } from 'node:string_decoder';
import { AppError, PASSWORD_LENGTH_MAX } from '@lantern/contract';

export type InputStream = Readable & { readonly isTTY?: boolean; setRawMode?(raw: boolean): unknown };
type Streams = { readonly stdin: InputStream; readonly stderr: Writable };

/** `twice`: asks again on a terminal, for a password that nobody has typed before. */
export async function readPassword(
  streams: Streams,
  from: { readonly file?: string | undefined; readonly label: string; readonly twice?: boolean },
): Promise<string> {
  if (from.file !== undefined) return readPasswordFile(from.file);
  if (streams.stdin.isTTY !== true) return readLine(streams.stdin);
  const password = await askHidden(streams, `${from.label}: `);
  if (from.twice === true && (await askHidden(streams, `${from.label} (again): `)) !== password)
    throw new AppError('input.invalid', 'The two passwords differ.');
  return password;
}

async function readPasswordFile(file: string): Promise<string> {
  try {
    return (await readFile(file, 'utf8')).replace(/\r?\n$/, '');
  } catch (cause) {
    throw new AppError('input.invalid', `The password file ${file} cannot be read.`, { cause });
  }
}

async function readLine(stdin: Readable): Promise<string> {
  const lines = createInterface({ input: stdin });
  try {
    for await (const line of lines) return line;
  } finally {
    lines.close();
  }
  throw new AppError(
    'input.invalid',
    'No password: type it at a terminal, or give --password-file FILE or a line of standard input.',
  );
}

const ENTER = new Set(['\r', '\n']);
const ERASE = new Set(['\b', '\u007f']);
const GIVE_UP = new Set(['\u0003', '\u0004']); // Ctrl-C and Ctrl-D: no signals in raw mode

function askHidden({ stdin, stderr }: Streams, prompt: string): Promise<string> {
  const decoder = new StringDecoder('utf8');
  stdin.setRawMode?.(true); // before anybody is asked: what is typed until then is shown
  stderr.write(prompt);
  return new Promise<string>((resolve, reject) => {
    let typed: string[] = [];
    const end = (settle: () => void): void => {
      stdin.removeListener('data', read).removeListener('end', giveUp);
      stdin.setRawMode?.(false);
      stdin.pause();
      stderr.write('\n');
      settle();
    };
    const giveUp = (): void => end(() => reject(new AppError('input.invalid', 'No password was typed.')));
    function read(chunk: Buffer): void {
      for (const char of decoder.write(chunk)) {
        if (ENTER.has(char)) {
          end(() => resolve(typed.join('')));
          return;
        }
        if (GIVE_UP.has(char)) {
          giveUp();
          return;
        }
        typed = ERASE.has(char) ? typed.slice(0, -1) : [...typed, char].slice(0, PASSWORD_LENGTH_MAX + 1);
      }
    }
    stdin.on('data', read).once('end', giveUp).resume();
  });
}
