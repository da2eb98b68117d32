/** The thread of `volume-writing.ts`: reads the copies of one series, writes them as one volume, and says so. */
import { open } from 'node:fs/promises';
import { parentPort, workerData } from 'node:worker_threads';
import { DicomError, niftiGzOf, volumeOf } from '@lantern/dicom';
import { openedWhenRead } from './series-file.ts';
import { TOLERATED } from './volume-facts.ts';
import type { VolumeAnswer, VolumeOrder } from './volume-writing.ts';

const { paths, target } = workerData as VolumeOrder; // given by volume-writing.ts, which types it
parentPort?.postMessage(await write());

async function write(): Promise<VolumeAnswer> {
  try {
    const result = volumeOf(paths.map(openedWhenRead), TOLERATED);
    if (result.outcome === 'refused') return { kind: 'refused', problems: result.problems };
    const handle = await open(target, 'wx', 0o600);
    try {
      await handle.writeFile(niftiGzOf(result.volume));
      await handle.datasync();
    } finally {
      await handle.close();
    }
    return { kind: 'written' };
  } catch (caught) {
    if (caught instanceof DicomError) return { kind: 'refused', problems: [caught.code] };
    throw caught;
  }
}
