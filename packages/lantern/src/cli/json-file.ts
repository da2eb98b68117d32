/** Reads a JSON file named on the command line and parses it by a schema; says which of the two failed, and where. */
import { readFile } from 'node:fs/promises';
import { AppError, parse } from '@lantern/contract';
import type { Static, TSchema } from 'typebox';
import { fileReason } from './file-fault.ts';

/** Throws `input.invalid`: missing, not readable, not JSON (with the line), or not what the schema asks (field and rule). */
export async function readJsonFile<S extends TSchema>(file: string, schema: S, what: string): Promise<Static<S>> {
  return parse(schema, parseJson(await readText(file, what), `${what}: ${file}`), { what: `${what} in ${file}` });
}

/** Throws `input.invalid` where it is missing or cannot be read; `what` it is meant to be. */
export async function readText(file: string, what: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (cause) {
    throw new AppError('input.invalid', `${what}: ${file} ${fileReason(cause)}.`, { cause });
  }
}

/** The file is the person's own and shown to nobody else, but may hold values: the message names the line, never the text. */
function parseJson(text: string, where: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    const said = cause instanceof Error ? cause.message : '';
    throw new AppError('input.invalid', `${where} is not JSON: ${faultOf(said, text)}.`, { cause });
  }
}

/** V8 says where it stopped, except at the end of the text and for some unexpected characters. */
function faultOf(said: string, text: string): string {
  if (text.trim() === '') return 'it is empty';
  const place = /^(.*?)(?: in JSON)? at position \d+ \(line (\d+) column (\d+)\)/s.exec(said);
  if (place !== null)
    return `line ${place[2]}, column ${place[3]}: ${(place[1] ?? '').replace(/ after JSON$/, ' after its end')}`;
  if (said.startsWith('Unexpected end')) return `it ends too early, in line ${text.trimEnd().split('\n').length}`;
  return 'it holds something that is neither a quoted text, a number, true, false, null, a list nor an object';
}
