/** A rendered image cut, mirrored and scaled to be looked at (PS3.18 8.3.5.1.3). */
import { DicomError } from '../dicom-error.ts';
import type { RenderedImage } from './render.ts';

export type Viewport = {
  /** In which the image has to fit; its proportions stay [pixels]. */
  readonly columns: number;
  readonly rows: number;
  /** The part that is shown, from the top left corner [pixels of the image]; a negative size mirrors it. */
  readonly region?: { readonly x: number; readonly y: number; readonly columns: number; readonly rows: number };
};

/** Throws `value` where the region has no part of the image. */
export function fitted(image: RenderedImage, viewport: Viewport): RenderedImage {
  const shown = viewport.region === undefined ? image : cut(image, viewport.region);
  const scale = Math.min(viewport.columns / shown.columns, viewport.rows / shown.rows);
  const columns = Math.max(1, Math.min(viewport.columns, Math.round(shown.columns * scale)));
  const rows = Math.max(1, Math.min(viewport.rows, Math.round(shown.rows * scale)));
  if (columns === shown.columns && rows === shown.rows) return shown;
  const { samplesPerPixel } = shown;
  // Along rows first, then along columns: a pass touches each sample a few times, both together would square that.
  const across = resampled(shown.bytes, { lines: shown.rows, from: shown.columns, to: columns, samplesPerPixel });
  const turned = transposed(across, { rows: shown.rows, columns, samplesPerPixel });
  const down = resampled(turned, { lines: columns, from: shown.rows, to: rows, samplesPerPixel });
  return { rows, columns, samplesPerPixel, bytes: transposed(down, { rows: columns, columns: rows, samplesPerPixel }) };
}

function cut(image: RenderedImage, region: NonNullable<Viewport['region']>): RenderedImage {
  const { samplesPerPixel } = image;
  const [left, top] = [Math.max(0, Math.floor(region.x)), Math.max(0, Math.floor(region.y))];
  const right = Math.min(image.columns, Math.ceil(region.x + Math.abs(region.columns)));
  const bottom = Math.min(image.rows, Math.ceil(region.y + Math.abs(region.rows)));
  const [columns, rows] = [right - left, bottom - top];
  if (columns <= 0 || rows <= 0) throw new DicomError('value', 'The region of the viewport has no part of the image.');
  const bytes = Buffer.alloc(rows * columns * samplesPerPixel);
  for (let row = 0; row < rows; row += 1) {
    const sourceRow = top + (region.rows < 0 ? rows - 1 - row : row);
    for (let column = 0; column < columns; column += 1) {
      const sourceColumn = left + (region.columns < 0 ? columns - 1 - column : column);
      const source = (sourceRow * image.columns + sourceColumn) * samplesPerPixel;
      image.bytes.copy(bytes, (row * columns + column) * samplesPerPixel, source, source + samplesPerPixel);
    }
  }
  return { rows, columns, samplesPerPixel, bytes };
}

type Tap = { readonly start: number; readonly weights: readonly number[] };

/**
 * What each sample of a line is made of: where the line gets shorter, of all samples that fall into it by the part of them that does;
 * where it gets longer, of the two nearest by distance.
 */
function tapsOf(from: number, to: number): Tap[] {
  const step = from / to;
  return Array.from({ length: to }, (_, index) => {
    if (step <= 1) {
      const centre = Math.min(from - 1, Math.max(0, (index + 0.5) * step - 0.5));
      const start = Math.min(Math.floor(centre), from - 1);
      const part = centre - start;
      return part === 0 ? { start, weights: [1] } : { start, weights: [1 - part, part] };
    }
    const [low, high] = [index * step, Math.min((index + 1) * step, from)];
    const start = Math.floor(low);
    const weights = Array.from({ length: Math.ceil(high) - start }, (_unused, offset) => {
      const sample = start + offset;
      return (Math.min(high, sample + 1) - Math.max(low, sample)) / (high - low);
    });
    return { start, weights };
  });
}

/** bytes: [lines, from, samplesPerPixel] to [lines, to, samplesPerPixel] */
function resampled(
  bytes: Buffer,
  { lines, from, to, samplesPerPixel }: { lines: number; from: number; to: number; samplesPerPixel: number },
): Buffer {
  const taps = tapsOf(from, to);
  const made = Buffer.alloc(lines * to * samplesPerPixel);
  for (let line = 0; line < lines; line += 1) {
    for (const [index, { start, weights }] of taps.entries()) {
      for (let sample = 0; sample < samplesPerPixel; sample += 1) {
        let sum = 0;
        for (let tap = 0; tap < weights.length; tap += 1) {
          sum += (weights[tap] ?? 0) * (bytes[(line * from + start + tap) * samplesPerPixel + sample] ?? 0);
        }
        made[(line * to + index) * samplesPerPixel + sample] = Math.round(sum);
      }
    }
  }
  return made;
}

/** bytes: [rows, columns, samplesPerPixel] to [columns, rows, samplesPerPixel] */
function transposed(
  bytes: Buffer,
  { rows, columns, samplesPerPixel }: { rows: number; columns: number; samplesPerPixel: number },
): Buffer {
  const made = Buffer.alloc(bytes.byteLength);
  for (let row = 0; row < rows; row += 1) {
    for (let column = 0; column < columns; column += 1) {
      for (let sample = 0; sample < samplesPerPixel; sample += 1) {
        made[(column * rows + row) * samplesPerPixel + sample] =
          bytes[(row * columns + column) * samplesPerPixel + sample] ?? 0;
      }
    }
  }
  return made;
}
