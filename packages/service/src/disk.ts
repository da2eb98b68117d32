/**
 * Disk space. A full disk must refuse new work before it harms old work, so writers ask first and translate what the
 * operating system says into one error that callers can retry.
 */
import { statfs } from 'node:fs/promises';
import { AppError } from '@lantern/contract';

/** Below this a folder counts as full: PostgreSQL needs room for its log to recover, and an operator room to look around. */
export const FREE_BYTES_MIN = 256 * 1024 * 1024;

const FULL_CODES = new Set(['ENOSPC', 'EDQUOT']);

function systemCode(caught: unknown): string | undefined {
  return caught instanceof Error && 'code' in caught && typeof caught.code === 'string' ? caught.code : undefined;
}

/** Bytes that an ordinary process may still write to the file system that holds `dir`. */
export async function freeBytes(dir: string): Promise<number> {
  const { bavail, bsize } = await statfs(dir);
  return bavail * bsize;
}

/** Throws `storage.full` unless `dir` can take `sizeBytes` more and keep `freeBytesMin` free. */
export async function assertFreeBytes(dir: string, sizeBytes: number, freeBytesMin = FREE_BYTES_MIN): Promise<void> {
  const free = await freeBytes(dir);
  if (free - sizeBytes < freeBytesMin) {
    throw new AppError(
      'storage.full',
      `The disk has ${free} bytes free; ${sizeBytes} more would leave less than the ${freeBytesMin} kept in reserve.`,
    );
  }
}

/** `storage.full` when the disk or quota was exhausted; anything else comes back unchanged, to be thrown as it was. */
export function fromDiskError(caught: unknown): unknown {
  if (!FULL_CODES.has(systemCode(caught) ?? '')) return caught;
  return new AppError('storage.full', 'The disk or quota is full.', { cause: caught });
}
