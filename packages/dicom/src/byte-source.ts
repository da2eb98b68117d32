/** Where a data set is read from: memory, or a file of which only windows are held, so that a study of gigabytes costs kilobytes. */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { DicomError } from './dicom-error.ts';

/** Element headers lie close together; a window of this size holds hundreds of them. */
const WINDOW_BYTES = 64 * 1024;

export type ByteSource = {
  readonly sizeBytes: number;
  /** `length` bytes from `start` on; a view that stays valid. Throws `truncated` where the source ends before. */
  bytes(start: number, length: number): Buffer;
};

export type FileSource = ByteSource & { close(): void };

export function memorySource(content: Uint8Array): ByteSource {
  const buffer = Buffer.from(content.buffer, content.byteOffset, content.byteLength);
  return {
    sizeBytes: buffer.byteLength,
    bytes(start, length) {
      assertInside(start, length, buffer.byteLength);
      return buffer.subarray(start, start + length);
    },
  };
}

/** The caller closes it. Reads synchronously: headers are small and on local disk. */
export function openFileSource(file: string): FileSource {
  const descriptor = openSync(file, 'r');
  const sizeBytes = fstatSync(descriptor).size;
  let window = Buffer.alloc(0);
  let windowStart = 0;
  const read = (start: number, length: number) => {
    const target = Buffer.alloc(length);
    let filled = 0;
    while (filled < length) {
      const count = readSync(descriptor, target, filled, length - filled, start + filled);
      if (count === 0) throw new DicomError('truncated', 'The file became shorter while it was read.');
      filled += count;
    }
    return target;
  };
  return {
    sizeBytes,
    bytes(start, length) {
      assertInside(start, length, sizeBytes);
      if (length > WINDOW_BYTES) return read(start, length);
      if (start < windowStart || start + length > windowStart + window.byteLength) {
        window = read(start, Math.min(WINDOW_BYTES, sizeBytes - start)); // a new buffer: views of the old one stay valid
        windowStart = start;
      }
      return window.subarray(start - windowStart, start - windowStart + length);
    },
    close: () => closeSync(descriptor),
  };
}

function assertInside(start: number, length: number, sizeBytes: number): void {
  if (length < 0 || start + length > sizeBytes)
    throw new DicomError('truncated', 'The data set ends within an element.');
}
