/** A radiograph, or any other image of one frame, as numbers: what algorithms take that look at one picture. */
import { type DataSet, numbersOf } from '../data-set.ts';
import { modalityTransformOf, modalityValue } from '../pixel/grayscale.ts';
import { openPixels, type PixelSource } from '../pixel/pixels.ts';

const PIXEL_SPACING = 0x00280030;
const IMAGER_PIXEL_SPACING = 0x00181164;

export type Projection = {
  readonly rows: number;
  readonly columns: number;
  /** Distance of neighbouring rows, and of columns [mm]; in the patient, else at the detector, else 1 and 1. */
  readonly spacing: readonly [number, number];
  /** Modality values, column fastest. */
  readonly values: Float32Array;
  /** Shown the other way round: the least value white (MONOCHROME1). */
  readonly isInverted: boolean;
};

/** `undefined` where the image is in colour or has several frames. Throws what decoding throws. */
export function projectionOf(object: PixelSource): Projection | undefined {
  const pixels = openPixels(object);
  const { rows, columns, frameCount, samplesPerPixel } = pixels.description;
  if (frameCount !== 1 || samplesPerPixel !== 1) return undefined;
  const frame = pixels.frame(0);
  const transform = modalityTransformOf({ ...object, frameIndex: 0 });
  const values = Float32Array.from(frame.values, (stored) => modalityValue(transform, stored));
  const isInverted = frame.photometricInterpretation === 'MONOCHROME1';
  return { rows, columns, spacing: spacingOf(object.dataSet), values, isInverted };
}

function spacingOf(dataSet: DataSet): readonly [number, number] {
  for (const tag of [PIXEL_SPACING, IMAGER_PIXEL_SPACING]) {
    const [byRow, byColumn] = numbersOf(dataSet, tag);
    if (byRow !== undefined && byColumn !== undefined && byRow > 0 && byColumn > 0) return [byRow, byColumn];
  }
  return [1, 1];
}
