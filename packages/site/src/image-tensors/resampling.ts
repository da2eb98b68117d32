/**
 * From an image of any size to the fixed shape that a model takes. Always the same way: a part of the image is cut into as many equal
 * boxes as the shape has numbers, and each becomes the mean of what lies in it (voxels that a border cuts count by their share).
 * So a number never rests on less than the image has there, and nothing outside of the image is made up.
 *
 *   crop      the part is the largest one in the middle whose sides, in millimetres, are in the proportion of the shape
 *   stretch   the part is the whole image
 */
import type { ImageInput } from '@lantern/contract';

type Triple = readonly [number, number, number];

/** Slices, rows, columns; column fastest. */
export type Grid = {
  readonly size: Triple;
  /** Distance of neighbours by slice, row and column [mm]. */
  readonly spacing: Triple;
  readonly values: ArrayLike<number>;
};

type Box = { readonly start: number; readonly end: number };

/** Means of boxes in `shape`; row-major, in the unit of the grid. */
export function resampled(grid: Grid, { shape, fit }: Pick<ImageInput, 'shape' | 'fit'>): Float64Array {
  const [slices = 1, rows = 1, columns = 1] = shape;
  const wanted: Triple = [slices, rows, columns];
  const boxes = fit === 'crop' ? middle(grid, wanted) : grid.size.map((end): Box => ({ start: 0, end }));
  let values = grid.values;
  let size = [...grid.size];
  for (const axis of [2, 1, 0] as const) {
    values = along(values, size, { axis, box: boxes[axis] ?? { start: 0, end: 1 }, count: wanted[axis] });
    size = size.with(axis, wanted[axis]);
  }
  return Float64Array.from(values);
}

/** By voxels, with fractions. A shape of one slice says nothing of its depth. */
function middle({ size, spacing }: Grid, wanted: Triple): Box[] {
  const extents = size.map((count, axis) => count * (spacing[axis] ?? 1));
  const axes = wanted[0] === 1 ? [1, 2] : [0, 1, 2];
  const side = Math.min(...axes.map((axis) => (extents[axis] ?? 1) / (wanted[axis] ?? 1)));
  return size.map((count, axis) => {
    if (!axes.includes(axis)) return { start: 0, end: count };
    const length = Math.min(count, (side * (wanted[axis] ?? 1)) / (spacing[axis] ?? 1));
    return { start: (count - length) / 2, end: (count + length) / 2 };
  });
}

type Along = { readonly axis: 0 | 1 | 2; readonly box: Box; readonly count: number };

/** Replaces one axis by `count` means of equal parts of the box. */
function along(values: ArrayLike<number>, size: readonly number[], { axis, box, count }: Along): Float64Array {
  const length = size[axis] ?? 1;
  const inner = size.slice(axis + 1).reduce((product, side) => product * side, 1);
  const outer = size.slice(0, axis).reduce((product, side) => product * side, 1);
  const step = (box.end - box.start) / count;
  const result = new Float64Array(outer * count * inner);
  for (let part = 0; part < count; part += 1) {
    const from = box.start + part * step;
    const to = from + step;
    for (let at = Math.max(0, Math.floor(from)); at < Math.min(length, Math.ceil(to)); at += 1) {
      const weight = (Math.min(at + 1, to) - Math.max(at, from)) / step;
      if (weight <= 0) continue;
      for (let block = 0; block < outer; block += 1) {
        const source = (block * length + at) * inner;
        const target = (block * count + part) * inner;
        for (let index = 0; index < inner; index += 1)
          result[target + index] = (result[target + index] ?? 0) + weight * (values[source + index] ?? 0);
      }
    }
  }
  return result;
}

/**
 * Numbers in [0, 1]: by the window, else by the least and the greatest of the image; 0 for one without any difference.
 * `isInverted`: the other way round.
 */
export function normalised(
  values: Float64Array,
  { window, isInverted }: { window: ImageInput['window']; isInverted: boolean },
): Float32Array {
  let { min, max } = window ?? { min: Number.POSITIVE_INFINITY, max: Number.NEGATIVE_INFINITY };
  if (window === undefined) {
    for (const value of values) {
      min = Math.min(min, value);
      max = Math.max(max, value);
    }
  }
  if (!(max > min)) return new Float32Array(values.length);
  return Float32Array.from(values, (value) => {
    const share = Math.min(1, Math.max(0, (value - min) / (max - min)));
    return isInverted ? 1 - share : share;
  });
}
