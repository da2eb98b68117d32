/**
 * The first record of a CSV file (RFC 4180): names of columns. It is read here, before the table engine, so that a file
 * without a header is refused without its first row, which would be a patient, being quoted in a message.
 */
import { open } from 'node:fs/promises';
import { AppError, COLUMN_COUNT_MAX } from '@lantern/contract';

export const HEADER_BYTES_MAX = COLUMN_COUNT_MAX * 80; // names of ours have at most 63 characters
const BYTE_ORDER_MARK = '\ufeff';

/** What programs put between values where a comma is the decimal point, or by habit. */
const OTHER_DELIMITERS: readonly (readonly [character: string, name: string])[] = [
  [';', 'semicolons'],
  ['\t', 'tabs'],
  ['|', 'vertical bars'],
];

/** Throws `dataset.invalid` for a header that is not UTF-8, too long, or not a CSV record. */
export async function readCsvHeader(file: string): Promise<string[]> {
  const handle = await open(file, 'r');
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(HEADER_BYTES_MAX), 0, HEADER_BYTES_MAX, 0);
    return parseCsvHeader(buffer.subarray(0, bytesRead));
  } finally {
    await handle.close();
  }
}

/** `bytes`: the beginning of a file. */
export function parseCsvHeader(bytes: Buffer): string[] {
  return parseHeader(decode(bytes));
}

function decode(bytes: Buffer): string {
  // Cut after the last line end, so that a character of a later line is not split.
  const end = bytes.lastIndexOf(0x0a);
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(
      end < 0 ? bytes : bytes.subarray(0, end + 1),
    );
    return text.startsWith(BYTE_ORDER_MARK) ? text.slice(1) : text;
  } catch {
    // What cannot be decoded is not worth keeping as a cause.
    throw new AppError('dataset.invalid', 'The file is not UTF-8; save it as CSV with UTF-8 encoding.');
  }
}

function parseHeader(text: string): string[] {
  const names: string[] = [];
  let position = 0;
  for (;;) {
    const field = /^(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r?\n|$)/.exec(text.slice(position));
    if (field === null)
      throw new AppError('dataset.invalid', 'Line 1 is not a list of column names separated by commas.');
    names.push((field[1]?.replaceAll('""', '"') ?? field[2] ?? '').trim());
    position += field[0].length;
    if (field[3] !== ',') break;
    if (names.length > COLUMN_COUNT_MAX)
      throw new AppError('dataset.invalid', `The file has more than ${COLUMN_COUNT_MAX} columns.`);
  }
  if (names.length === 1 && names[0] === '') throw new AppError('dataset.invalid', 'The file is empty.');
  const [only, ...others] = names;
  const delimiter = OTHER_DELIMITERS.find(([character]) => others.length === 0 && only?.includes(character));
  if (delimiter !== undefined)
    throw new AppError(
      'dataset.invalid',
      `The values seem to be separated by ${delimiter[1]}; save the table with commas between values, and with points in numbers.`,
    );
  return names;
}
