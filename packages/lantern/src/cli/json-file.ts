/** Reads a JSON file named on the command line and parses it by a schema. */
import { readFile } from 'node:fs/promises';
import { AppError, parse } from '@lantern/contract';
import type { Static, TSchema } from 'typebox';

export async function readJsonFile<S extends TSchema>(file: string, schema: S, what: string): Promise<Static<S>> {
  let value: unknown;
  try {
    value = JSON.parse(await readFile(file, 'utf8'));
  } catch (error) {
    throw new AppError('input.invalid', `${what}: ${file} cannot be read as JSON.`, { cause: error });
  }
  return parse(schema, value, { what });
}
