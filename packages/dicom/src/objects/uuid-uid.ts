/** UIDs that need no registration: 2.25 and a UUID as one number (PS3.5 B.2). */
import { randomUUID } from 'node:crypto';

export function randomUid(): string {
  return uidOfUuid(randomUUID());
}

/** `uuid`: 32 hexadecimal digits, with or without hyphens. A UUID made of a name gives the same UID each time. */
export function uidOfUuid(uuid: string): string {
  return `2.25.${BigInt(`0x${uuid.replaceAll('-', '')}`)}`;
}
