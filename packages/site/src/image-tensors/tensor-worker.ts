/** The thread of `tensor-making.ts`: makes numbers of the images it is asked for, one after another. */
import { parentPort, workerData } from 'node:worker_threads';
import { DicomError, projectionOf, volumeOf } from '@lantern/dicom';
import { openedWhenRead } from '../research-images/series-file.ts';
import { TOLERATED } from '../research-images/volume-facts.ts';
import { inPatientAxes } from './patient-axes.ts';
import { type Grid, normalised, resampled } from './resampling.ts';
import type { TensorAnswer, TensorOrder } from './tensor-making.ts';

const { image } = workerData as TensorOrder; // given by tensor-making.ts, which types it

parentPort?.on('message', (paths: readonly string[]) => {
  const answer: TensorAnswer = { values: madeOf(paths) };
  parentPort?.postMessage(answer, answer.values === undefined ? [] : [answer.values.buffer]);
});

function madeOf(paths: readonly string[]): Float32Array<ArrayBuffer> | undefined {
  try {
    const found = image.shape[0] === 1 ? projected(paths) : stacked(paths);
    if (found === undefined) return undefined;
    const values = resampled(found.grid, image);
    return Float32Array.from(normalised(values, { window: image.window, isInverted: found.isInverted }));
  } catch (caught) {
    if (caught instanceof DicomError) return undefined; // it will not be read better another time
    throw caught;
  }
}

type Found = { readonly grid: Grid; readonly isInverted: boolean };

/** Of a series of one image. */
function projected(paths: readonly string[]): Found | undefined {
  const [path] = paths;
  const projection = path === undefined || paths.length !== 1 ? undefined : projectionOf(openedWhenRead(path));
  if (projection === undefined) return undefined;
  const { rows, columns, spacing, values, isInverted } = projection;
  return { grid: { size: [1, rows, columns], spacing: [1, ...spacing], values }, isInverted };
}

function stacked(paths: readonly string[]): Found | undefined {
  const result = volumeOf(paths.map(openedWhenRead), TOLERATED);
  return result.outcome === 'refused' ? undefined : { grid: inPatientAxes(result.volume), isInverted: false };
}
