/**
 * Whose message it is, as keyed hashes: the feed can tell that two messages are of one patient and cannot tell of whom. Made of the
 * first identifier of PID-3 and its authority, and of the day of birth; the key is the site's own.
 *
 * HMAC-SHA-256 (RFC 2104) with its two inner keys prepared once: for each message, `createHmac` would spend five times as long on the
 * key as on the hash, and take a fifth of all that a message costs here.
 */
import { hash } from 'node:crypto';
import { firstSegment, type Message, textAt } from '@lantern/hl7';
import type { FeedSender } from './feed-settings.ts';

export type PatientKeys = { readonly patientKey: Buffer | undefined; readonly birthKey: Buffer | undefined };

/** `sender` is whose numbers they are where they name no authority. */
export type PatientHasher = (message: Message, sender: Pick<FeedSender, 'name'>) => PatientKeys;

const BIRTH_DAY = /^\d{8}/;
const BLOCK_BYTES = 64; // of SHA-256

/** `key` has at most 64 bytes. */
export function createPatientHasher(key: Buffer): PatientHasher {
  const keyed = createKeyedHash(key);
  return (message, sender) => {
    const pid = firstSegment(message, 'PID');
    if (pid === undefined) return { patientKey: undefined, birthKey: undefined };
    const number = textAt(message, pid, { field: 3 }).trim();
    const authority = textAt(message, pid, { field: 3, component: 4 }).trim();
    const [born] = BIRTH_DAY.exec(textAt(message, pid, { field: 7 }).trim()) ?? [];
    // Numbers without an authority are the sender's own: those of two hospitals never meet.
    const whose = authority === '' ? ['sender', sender.name] : ['authority', authority];
    return {
      patientKey: number === '' ? undefined : keyed(JSON.stringify(['patient', number, ...whose])),
      birthKey: born === undefined ? undefined : keyed(JSON.stringify(['birth', born])),
    };
  };
}

function createKeyedHash(key: Buffer): (text: string) => Buffer {
  const block = Buffer.alloc(BLOCK_BYTES);
  key.copy(block);
  const [inner, outer] = [0x36, 0x5c].map((pad) => block.map((byte) => byte ^ pad));
  return (text) => {
    const first = hash('sha256', Buffer.concat([inner ?? block, Buffer.from(text)]), 'buffer');
    return hash('sha256', Buffer.concat([outer ?? block, first]), 'buffer');
  };
}
