/** A file of a series whose pixels are read when they are needed: a series may have more files than a process may hold open. */
import { type ByteSource, openFileSource, readPart10 } from '@lantern/dicom';

export function openedWhenRead(path: string): ReturnType<typeof readPart10> {
  const source = openFileSource(path);
  try {
    return { ...readPart10(source), source: reopened(path, source.sizeBytes) };
  } finally {
    source.close();
  }
}

function reopened(path: string, sizeBytes: number): ByteSource {
  return {
    sizeBytes,
    bytes(start, length) {
      const source = openFileSource(path);
      try {
        return source.bytes(start, length);
      } finally {
        source.close();
      }
    },
  };
}
