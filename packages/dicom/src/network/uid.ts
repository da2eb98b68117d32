/** UIDs as PS3.5 9.1 has them, though with leading zeros, which many have. Safe as the name of a file: no separator, no "..". */
import { UID_BYTES_MAX } from './limits.ts';

export function isUid(text: string): boolean {
  return text.length <= UID_BYTES_MAX && /^\d+(\.\d+)*$/.test(text);
}
