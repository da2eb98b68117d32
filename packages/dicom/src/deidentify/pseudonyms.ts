/**
 * Replacements that only the holder of the project's key can compute, the same for the same original in every file and run:
 * HMAC-SHA256 of the original under the key, a label keeping the kinds apart.
 *
 * Each pseudonym carries a second HMAC of its first part. So the key's holder knows its own pseudonyms and leaves them as they
 * are, which makes de-identification idempotent: without it a second run would replace replacements, and shift dates again. Nobody
 * without the key can tell or forge one.
 *
 * UIDs are 2.25 followed by a UUID as a number (PS3.5 B.2) of version 8, which leaves 122 bits to us (RFC 9562 5.8): 74 bits of
 * the first HMAC, so that among 10^9 originals two meet with probability 3 * 10^-5, and 48 bits of the second.
 */
import { hash } from 'node:crypto';
import { DicomError } from '../dicom-error.ts';

const KEY_BYTES_MIN = 32;
const UUID_BYTES = 16;
const UID_CHECK_BYTES = 6;
const UID_ROOT = '2.25.';
const ID_BYTES = 10; // 80 bits: one patient per pseudonym, also among millions
const ID_CHECK_BYTES = 5;
const ID_PREFIX = 'PSN';
/** Without letters that are taken for others (Crockford). */
const BASE32 = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';
/** Of what is remembered; a study names a series' UIDs in every instance. */
const MEMORY_COUNT_MAX = 10_000;

export type Pseudonyms = {
  /** 2.25.<number>; a UID that is one of ours comes back as it is. */
  uid(original: string): string;
  /** Twenty-seven characters that fit LO, SH and PN; one of ours comes back as it is. */
  patientId(original: string): string;
  isPatientId(text: string): boolean;
  /** Whole days into the past, 1 to `daysMax`. `patient` is the original PatientID or what stands for it. */
  dateShiftDays(patient: string, daysMax: number): number;
};

/** Throws `profile` for a key of less than 32 bytes: guessing it would undo every pseudonym. */
export function createPseudonyms(key: Buffer): Pseudonyms {
  if (key.byteLength < KEY_BYTES_MIN)
    throw new DicomError('profile', `The key must have ${KEY_BYTES_MIN} bytes or more.`);
  const hmac = hmacUnder(key);
  const uids = new Map<string, string>();
  const ids = new Map<string, string>();
  const shifts = new Map<string, bigint>();
  const isPatientId = (text: string) => {
    const bytes = fromBase32(text);
    return (
      bytes !== undefined &&
      hmac('id check', bytes.subarray(0, ID_BYTES)).compare(bytes, ID_BYTES, undefined, 0, ID_CHECK_BYTES) === 0
    );
  };
  return {
    uid(original) {
      const known = uids.get(original);
      if (known !== undefined) return known;
      const pseudonym = isOurUid(original, hmac) ? original : newUid(original, hmac);
      if (uids.size >= MEMORY_COUNT_MAX) uids.clear();
      uids.set(original, pseudonym);
      return pseudonym;
    },
    isPatientId,
    patientId(original) {
      if (isPatientId(original)) return original;
      const known = ids.get(original);
      if (known !== undefined) return known;
      const first = hmac('id', original).subarray(0, ID_BYTES);
      const id = toBase32(Buffer.concat([first, hmac('id check', first).subarray(0, ID_CHECK_BYTES)]));
      if (ids.size >= MEMORY_COUNT_MAX) ids.clear();
      ids.set(original, id);
      return id;
    },
    dateShiftDays(patient, daysMax) {
      const chance = shifts.get(patient) ?? hmac('date', patient).readBigUInt64BE(0);
      if (shifts.size >= MEMORY_COUNT_MAX) shifts.clear();
      shifts.set(patient, chance);
      return 1 + Number(chance % BigInt(daysMax));
    },
  };
}

type Hmac = (label: string, data: string | Buffer) => Buffer;
const BLOCK_BYTES = 64;

/**
 * HMAC-SHA256 (RFC 2104) of label, NUL and data. By two calls of one-shot SHA-256, because an `Hmac` object of Node.js takes several
 * times as long to set up as so little data takes to hash; a test compares both.
 */
export function hmacUnder(key: Buffer): Hmac {
  const padded = Buffer.alloc(BLOCK_BYTES);
  (key.byteLength > BLOCK_BYTES ? hash('sha256', key, 'buffer') : key).copy(padded);
  const inner = padded.map((byte) => byte ^ 0x36);
  const outer = padded.map((byte) => byte ^ 0x5c);
  return (label, data) => {
    const message = Buffer.concat([
      inner,
      Buffer.from(`${label}\0`),
      typeof data === 'string' ? Buffer.from(data) : data,
    ]);
    return hash('sha256', Buffer.concat([outer, hash('sha256', message, 'buffer')]), 'buffer');
  };
}

function newUid(original: string, hmac: Hmac): string {
  const uuid = Buffer.alloc(UUID_BYTES);
  hmac('uid', original).copy(uuid, 0, 0, UUID_BYTES - UID_CHECK_BYTES);
  uuid[6] = ((uuid[6] ?? 0) & 0x0f) | 0x80; // version 8
  uuid[8] = ((uuid[8] ?? 0) & 0x3f) | 0x80; // variant of RFC 9562
  checkOf(uuid, hmac).copy(uuid, UUID_BYTES - UID_CHECK_BYTES);
  return `${UID_ROOT}${BigInt(`0x${uuid.toString('hex')}`)}`;
}

function checkOf(uuid: Buffer, hmac: Hmac): Buffer {
  return hmac('uid check', uuid.subarray(0, UUID_BYTES - UID_CHECK_BYTES)).subarray(0, UID_CHECK_BYTES);
}

function isOurUid(uid: string, hmac: Hmac): boolean {
  if (!/^2\.25\.[1-9][0-9]{30,38}$/.test(uid)) return false;
  const hex = BigInt(uid.slice(UID_ROOT.length))
    .toString(16)
    .padStart(2 * UUID_BYTES, '0');
  if (hex.length !== 2 * UUID_BYTES || hex[12] !== '8') return false;
  const uuid = Buffer.from(hex, 'hex');
  return checkOf(uuid, hmac).equals(uuid.subarray(UUID_BYTES - UID_CHECK_BYTES));
}

/** 15 bytes as PSN and 24 characters of five bits each. */
function toBase32(bytes: Buffer): string {
  const number = BigInt(`0x${bytes.toString('hex')}`);
  const length = (8 * bytes.byteLength) / 5;
  const characters = Array.from(
    { length },
    (_, index) => BASE32[Number((number >> BigInt(5 * (length - 1 - index))) & 31n)],
  );
  return ID_PREFIX + characters.join('');
}

function fromBase32(text: string): Buffer | undefined {
  if (!/^PSN[0-9A-HJKMNP-TV-Z]{24}$/.test(text)) return undefined;
  let number = 0n;
  for (const character of text.slice(ID_PREFIX.length)) number = (number << 5n) | BigInt(BASE32.indexOf(character));
  return Buffer.from(number.toString(16).padStart(2 * (ID_BYTES + ID_CHECK_BYTES), '0'), 'hex');
}
