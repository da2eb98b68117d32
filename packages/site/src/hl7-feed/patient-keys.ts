/**
 * Whose message it is, as keyed hashes: the feed can tell that two messages are of one patient and cannot tell of whom. Made of the
 * first identifier of PID-3 and its authority, and of the day of birth; the key is the site's own.
 */
import { createHmac } from 'node:crypto';
import { firstSegment, type Message, textAt } from '@lantern/hl7';
import type { FeedSender } from './feed-settings.ts';

export type PatientKeys = { readonly patientKey: Buffer | undefined; readonly birthKey: Buffer | undefined };

const BIRTH_DAY = /^\d{8}/;

export function patientKeysOf(message: Message, key: Buffer, sender: FeedSender): PatientKeys {
  const pid = firstSegment(message, 'PID');
  if (pid === undefined) return { patientKey: undefined, birthKey: undefined };
  const number = textAt(message, pid, { field: 3 }).trim();
  const authority = textAt(message, pid, { field: 3, component: 4 }).trim();
  const [born] = BIRTH_DAY.exec(textAt(message, pid, { field: 7 }).trim()) ?? [];
  const hashed = (what: string, ...parts: string[]) =>
    createHmac('sha256', key)
      .update(JSON.stringify([what, ...parts]))
      .digest();
  return {
    // Numbers without an authority are the sender's own: those of two hospitals never meet.
    patientKey: number === '' ? undefined : hashed('patient', number, authority === '' ? `${sender.name}:` : authority),
    birthKey: born === undefined ? undefined : hashed('birth', born),
  };
}
