/** One frame in memory. */
import type { PhotometricInterpretation } from './pixel-description.ts';
import type { PixelValues } from './pixel-values.ts';

export type PixelFrame = {
  readonly rows: number;
  readonly columns: number;
  readonly samplesPerPixel: 1 | 3;
  /** Of the values: the codec may have undone a colour transform. */
  readonly photometricInterpretation: PhotometricInterpretation;
  /** Stored values, [rows, columns, samplesPerPixel]. */
  readonly values: PixelValues;
};
