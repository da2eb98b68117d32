/** What the copies of a series are together, told from their headers. */
import { setImmediate } from 'node:timers/promises';
import type { VolumeFacts } from '@lantern/contract';
import { DicomError, openFileSource, readPart10, volumeLayoutOf } from '@lantern/dicom';

/** Headers are read in one go; between so many the process does other things. */
const HEADERS_AT_ONCE = 32;
/** Said in the facts; the file of the volume is made with the same. */
export const TOLERATED = ['uneven spacing', 'missing slice', 'sheared'] as const;

export async function volumeFactsOf(paths: readonly string[]): Promise<VolumeFacts> {
  try {
    const objects: ReturnType<typeof readPart10>[] = [];
    for (const [index, path] of paths.entries()) {
      objects.push(headerIn(path));
      if (index % HEADERS_AT_ONCE === 0) await setImmediate();
    }
    const result = volumeLayoutOf(objects, TOLERATED);
    if (result.outcome === 'refused') return { kind: 'none', problems: [...result.problems] };
    const { columns, rows, slices, spacing, affine, problems } = result.layout;
    return {
      kind: 'volume',
      columns,
      rows,
      slices,
      spacingMm: [...spacing],
      affine: affine.map((row) => [...row]),
      problems: [...problems],
    };
  } catch (caught) {
    if (caught instanceof DicomError) return { kind: 'none', problems: ['no pixels that can be read'] };
    throw caught;
  }
}

/** Closed again: no pixel of it is looked at. */
function headerIn(path: string): ReturnType<typeof readPart10> {
  const source = openFileSource(path);
  try {
    return readPart10(source);
  } finally {
    source.close();
  }
}
