/** Single byte ranges (RFC 9110 section 14), so that a transfer that broke off goes on where it stopped. */
import { AppError } from '@lantern/contract';

/** `start` is the first byte, `end` the byte after the last; both within the object. */
export type ByteRange = { readonly start: number; readonly end: number; readonly contentRange: string };

/**
 * Reads a Range header for an object of `sizeBytes`. `undefined`: no range was asked for, or one of a form a server may
 * ignore (other units, several ranges). Throws `input.range-invalid` when the range lies outside the object.
 */
export function parseByteRange(header: string | undefined, sizeBytes: number): ByteRange | undefined {
  const match = /^bytes=([0-9]{0,15})-([0-9]{0,15})$/.exec(header ?? '');
  if (match === null) return undefined;
  const [, first = '', last = ''] = match;
  if (first === '' && last === '') return undefined;
  const start = first === '' ? Math.max(0, sizeBytes - Number(last)) : Number(first);
  const end = first === '' || last === '' ? sizeBytes : Math.min(sizeBytes, Number(last) + 1);
  if (start >= end) {
    throw new AppError('input.range-invalid', `The range lies outside the object of ${sizeBytes} bytes.`, {
      field: 'range',
    });
  }
  return { start, end, contentRange: `bytes ${start}-${end - 1}/${sizeBytes}` };
}
