/** Where a frame lies in the patient (PS3.3 C.7.6.2, C.7.6.16.2): of classic images, and per frame of enhanced ones. */
import { type DataSet, numberOf, numbersOf } from '../data-set.ts';
import { functionalGroup } from '../pixel/functional-groups.ts';

const TAGS = {
  imagePosition: 0x00200032,
  imageOrientation: 0x00200037,
  pixelSpacing: 0x00280030,
  sliceThickness: 0x00180050,
  spacingBetweenSlices: 0x00180088,
  planePosition: 0x00209113,
  planeOrientation: 0x00209116,
  pixelMeasures: 0x00289110,
} as const;

/** [mm], in the patient's LPS axes: to the left, to the back, to the head. */
export type Vector = readonly [number, number, number];

export type SliceGeometry = {
  /** Centre of the first pixel. */
  readonly position: Vector;
  /** Unit vectors in which the column index and the row index grow. */
  readonly alongRow: Vector;
  readonly alongColumn: Vector;
  /** Unit vector: alongRow x alongColumn. */
  readonly normal: Vector;
  /** Between the centres of neighbours in a row, and in a column [mm]. */
  readonly columnSpacing: number;
  readonly rowSpacing: number;
  /** To the next slice, as far as one slice says it [mm]. */
  readonly thickness: number | undefined;
};

/** `undefined` where the image does not say where it lies, or says it wrongly: axes must be of length one and at right angles. */
export function sliceGeometryOf(dataSet: DataSet, frameIndex: number): SliceGeometry | undefined {
  const holder = (sequence: number) => functionalGroup(dataSet, frameIndex, sequence) ?? dataSet;
  const measures = holder(TAGS.pixelMeasures);
  const position = vectorOf(numbersOf(holder(TAGS.planePosition), TAGS.imagePosition));
  const orientation = numbersOf(holder(TAGS.planeOrientation), TAGS.imageOrientation);
  const alongRow = vectorOf(orientation.slice(0, 3));
  const alongColumn = vectorOf(orientation.slice(3));
  const [rowSpacing, columnSpacing] = numbersOf(measures, TAGS.pixelSpacing);
  if (position === undefined || alongRow === undefined || alongColumn === undefined) return undefined;
  if (rowSpacing === undefined || columnSpacing === undefined || rowSpacing <= 0 || columnSpacing <= 0)
    return undefined;
  const isOrthonormal = [
    dot(alongRow, alongRow) - 1,
    dot(alongColumn, alongColumn) - 1,
    dot(alongRow, alongColumn),
  ].every((off) => Math.abs(off) < AXES_TOLERANCE);
  if (!isOrthonormal) return undefined;
  const thickness = numberOf(measures, TAGS.spacingBetweenSlices) ?? numberOf(measures, TAGS.sliceThickness);
  return {
    position,
    alongRow,
    alongColumn,
    normal: cross(alongRow, alongColumn),
    columnSpacing,
    rowSpacing,
    thickness,
  };
}

export type Plane = 'axial' | 'coronal' | 'sagittal';

/** The plane that a frame is nearest to, by the axis that its normal points along most; `undefined` where it says no orientation. */
export function planeOf(dataSet: DataSet, frameIndex: number): Plane | undefined {
  const orientation = numbersOf(
    functionalGroup(dataSet, frameIndex, TAGS.planeOrientation) ?? dataSet,
    TAGS.imageOrientation,
  );
  const alongRow = vectorOf(orientation.slice(0, 3));
  const alongColumn = vectorOf(orientation.slice(3));
  if (alongRow === undefined || alongColumn === undefined) return undefined;
  const [x, y, z] = cross(alongRow, alongColumn).map(Math.abs);
  if (x === undefined || y === undefined || z === undefined || Math.max(x, y, z) < AXES_TOLERANCE) return undefined;
  if (z >= Math.max(x, y)) return 'axial';
  return y >= x ? 'coronal' : 'sagittal';
}

/** [mm] */
export function sliceThicknessOf(dataSet: DataSet, frameIndex: number): number | undefined {
  return numberOf(functionalGroup(dataSet, frameIndex, TAGS.pixelMeasures) ?? dataSet, TAGS.sliceThickness);
}

/** Direction cosines come with few digits from some scanners. */
const AXES_TOLERANCE = 0.01;

function vectorOf(numbers: readonly number[]): Vector | undefined {
  const [x, y, z, ...others] = numbers;
  return x === undefined || y === undefined || z === undefined || others.length > 0 ? undefined : [x, y, z];
}

export function dot(a: Vector, b: Vector): number {
  return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

function cross(a: Vector, b: Vector): Vector {
  return [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
}

export function difference(a: Vector, b: Vector): Vector {
  return [a[0] - b[0], a[1] - b[1], a[2] - b[2]];
}

export function scaled(a: Vector, factor: number): Vector {
  return [a[0] * factor, a[1] * factor, a[2] * factor];
}

export function norm(a: Vector): number {
  return Math.sqrt(dot(a, a));
}
