/**
 * Slices of a series in order along their normal, and whether they make up a volume. Instance numbers and file names say nothing:
 * only where each slice lies does.
 */
import { difference, dot, norm, type SliceGeometry, scaled, type Vector } from './slice-geometry.ts';

/** What keeps slices from being a volume with even steps. */
export type VolumeProblem =
  /** A slice does not say where it lies. */
  | 'no geometry'
  | 'different orientation'
  | 'different size'
  | 'different pixel spacing'
  /** Two slices lie in one place: several volumes in a series, by time, echo or direction. */
  | 'duplicate position'
  /** A step is a multiple of the others. */
  | 'missing slice'
  | 'uneven spacing'
  /** The slices are not stacked along their normal, as with a tilted gantry; the affine says so, a consumer may not look. */
  | 'sheared'
  /** Colours have no number per voxel. */
  | 'colour';

export type Slice = {
  readonly geometry: SliceGeometry;
  readonly rows: number;
  readonly columns: number;
};

export type Stack<S extends Slice> = {
  /** In the direction of the normal. */
  readonly slices: readonly S[];
  /** From one slice to the next [mm, LPS]: the mean of all steps. */
  readonly step: Vector;
  readonly problems: readonly VolumeProblem[];
};

const DIRECTION_TOLERANCE = 1e-3; // of a cosine: a twentieth of a degree
/** Positions come with some digits only: a hundredth of a millimetre, and one part in a hundred of a step. */
const POSITION_TOLERANCE_MM = 0.01;
const STEP_TOLERANCE = 0.01;
/** A step of at least this many others lacks a slice. */
const MISSING_STEPS_MIN = 1.9;
const THICKNESS_DEFAULT_MM = 1;

/** `slices`: one at least. */
export function stackOf<S extends Slice>(slices: readonly S[]): Stack<S> {
  const [reference] = slices;
  if (reference === undefined) return { slices, step: [0, 0, 0], problems: ['no geometry'] };
  const { normal } = reference.geometry;
  const along = ({ geometry }: S) => dot(geometry.position, normal);
  const ordered = slices.toSorted((a, b) => along(a) - along(b));
  const problems = new Set<VolumeProblem>();
  for (const slice of slices) for (const problem of differences(reference, slice)) problems.add(problem);
  for (const problem of stepProblems(ordered.map(along))) problems.add(problem);
  const step = meanStep(ordered);
  if (norm(difference(step, scaled(normal, dot(step, normal)))) > STEP_TOLERANCE * norm(step) + POSITION_TOLERANCE_MM)
    problems.add('sheared');
  return { slices: ordered, step, problems: [...problems] };
}

function* differences(reference: Slice, slice: Slice): Generator<VolumeProblem> {
  const [a, b] = [reference.geometry, slice.geometry];
  if (reference.rows !== slice.rows || reference.columns !== slice.columns) yield 'different size';
  if (
    dot(a.alongRow, b.alongRow) < 1 - DIRECTION_TOLERANCE ||
    dot(a.alongColumn, b.alongColumn) < 1 - DIRECTION_TOLERANCE
  )
    yield 'different orientation';
  const spacings: readonly [number, number][] = [
    [a.columnSpacing, b.columnSpacing],
    [a.rowSpacing, b.rowSpacing],
  ];
  if (spacings.some(([one, other]) => Math.abs(one - other) > STEP_TOLERANCE * one)) yield 'different pixel spacing';
}

/** `places`: ascending, along the normal [mm]. */
function* stepProblems(places: readonly number[]): Generator<VolumeProblem> {
  const steps = places.slice(1).map((place, index) => place - (places[index] ?? 0));
  const usual = steps.toSorted((a, b) => a - b)[Math.floor(steps.length / 2)] ?? 0;
  for (const step of steps) {
    if (step < POSITION_TOLERANCE_MM) yield 'duplicate position';
    else if (step > MISSING_STEPS_MIN * usual) yield 'missing slice';
    else if (Math.abs(step - usual) > STEP_TOLERANCE * usual + POSITION_TOLERANCE_MM) yield 'uneven spacing';
  }
}

function meanStep(ordered: readonly Slice[]): Vector {
  const [first, last] = [ordered[0]?.geometry, ordered.at(-1)?.geometry];
  if (first === undefined || last === undefined) return [0, 0, 0];
  if (ordered.length === 1) return scaled(first.normal, first.thickness ?? THICKNESS_DEFAULT_MM);
  return scaled(difference(last.position, first.position), 1 / (ordered.length - 1));
}
