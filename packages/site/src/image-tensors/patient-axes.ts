/**
 * A volume in the axes of the patient, whichever way it was scanned: slices from the feet to the head, rows from the front to the back,
 * columns from the right to the left, as axial slices are shown. Each axis of the array becomes the one it is nearest to; nothing is
 * rotated or interpolated.
 */
import type { Volume } from '@lantern/dicom';
import type { Grid } from './resampling.ts';

/** Of RAS millimetres: which of them each axis of the result runs along, and which way. */
const WANTED = [
  { ras: 2, sign: 1 },
  { ras: 1, sign: -1 },
  { ras: 0, sign: -1 },
] as const;

export function inPatientAxes({ columns, rows, slices, spacing, affine, values }: Volume): Grid {
  const counts = [columns, rows, slices];
  const strides = [1, columns, columns * rows];
  const axes = nearestAxes(affine);
  const chosen = WANTED.map(({ ras, sign }) => {
    const axis = axes.indexOf(ras);
    const count = counts[axis] ?? 1;
    const stride = strides[axis] ?? 1;
    const isForward = Math.sign(affine[ras][axis] ?? 1) === sign;
    return {
      count,
      spacing: spacing[axis] ?? 1,
      first: isForward ? 0 : (count - 1) * stride,
      step: isForward ? stride : -stride,
    };
  });
  const [depth, height, width] = chosen;
  if (depth === undefined || height === undefined || width === undefined)
    return { size: [0, 0, 0], spacing: [1, 1, 1], values: [] };
  const result = new Float32Array(values.length);
  let at = 0;
  for (let slice = 0; slice < depth.count; slice += 1) {
    for (let row = 0; row < height.count; row += 1) {
      const start = depth.first + slice * depth.step + height.first + row * height.step + width.first;
      for (let column = 0; column < width.count; column += 1) {
        result[at] = values[start + column * width.step] ?? 0;
        at += 1;
      }
    }
  }
  return {
    size: [depth.count, height.count, width.count],
    spacing: [depth.spacing, height.spacing, width.spacing],
    values: result,
  };
}

/** For each axis of the array the one of the patient (0 right, 1 front, 2 head): the clearest first, each once. */
function nearestAxes(affine: Volume['affine']): number[] {
  const pairs = [0, 1, 2].flatMap((ras) =>
    [0, 1, 2].map((axis) => {
      const column = [0, 1, 2].map((row) => affine[row as 0 | 1 | 2][axis] ?? 0); // one of three
      return { ras, axis, share: Math.abs(column[ras] ?? 0) / Math.hypot(...column) };
    }),
  );
  const found = [-1, -1, -1];
  for (const { ras, axis } of pairs.toSorted((one, other) => other.share - one.share)) {
    if (found[axis] === -1 && !found.includes(ras)) found[axis] = ras;
  }
  return found;
}
