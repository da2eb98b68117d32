/** Window and viewport as the query of a rendered resource writes them (PS3.18 8.3.5.1.3, 8.3.5.1.4). */
import { AppError } from '@lantern/contract';
import type { Window } from '@lantern/dicom';
import type { Rendering } from '../image-retrieval/pixel-work.ts';

/** A wall of displays; bounds the memory of a picture. */
const VIEWPORT_SIDE_MAX = 8192;
const NUMBER = /^[+-]?(\d{1,10}(\.\d{0,10})?|\.\d{1,10})(e[+-]?\d{1,2})?$/i;
const SHAPES: Readonly<Record<string, Window['shape']>> = {
  linear: 'LINEAR',
  'linear-exact': 'LINEAR_EXACT',
  sigmoid: 'SIGMOID',
};

function invalid(field: string, rule: string): AppError {
  return new AppError('input.invalid', `query: ${field} ${rule}.`, { field: `/${field}` });
}

/** Throws `input.invalid`. */
export function windowOf(text: string): Window {
  const [center = '', width = '', shapeName = '', ...others] = text.split(',').map((part) => part.trim());
  const shape = SHAPES[shapeName.toLowerCase()];
  const isWhole = NUMBER.test(center) && NUMBER.test(width) && shape !== undefined && others.length === 0;
  if (!isWhole) throw invalid('window', `is center,width,function; a function is ${Object.keys(SHAPES).join(', ')}`);
  const window = { center: Number(center), width: Number(width), shape };
  // PS3.3 C.11.2.1.2: at least 1 where the window is linear, above 0 otherwise.
  if (window.width < (shape === 'LINEAR' ? 1 : Number.MIN_VALUE))
    throw invalid('window', 'has a width that is too small');
  return window;
}

/** Throws `input.invalid`. */
export function viewportOf(text: string): NonNullable<Rendering['viewport']> {
  const parts = text.split(',').map((part) => part.trim());
  const [columns, rows, x, y, width, height] = parts.map((part) => numberIn(part));
  if (parts.length !== 2 && parts.length !== 6)
    throw invalid('viewport', 'is columns,rows or columns,rows,sx,sy,sw,sh');
  for (const side of [columns, rows]) {
    if (side === undefined || !Number.isInteger(side) || side < 1 || side > VIEWPORT_SIDE_MAX) {
      throw invalid('viewport', `has columns and rows from 1 to ${VIEWPORT_SIDE_MAX}`);
    }
  }
  if (width === 0 || height === 0) throw invalid('viewport', 'shows a region without size');
  return {
    columns: columns ?? 1,
    rows: rows ?? 1,
    ...(parts.length === 2
      ? {}
      : {
          region: {
            ...(x === undefined ? {} : { x }),
            ...(y === undefined ? {} : { y }),
            ...(width === undefined ? {} : { columns: width }),
            ...(height === undefined ? {} : { rows: height }),
          },
        }),
  };
}

/** `undefined` where nothing stands, which means what is usual. */
function numberIn(part: string): number | undefined {
  if (part === '') return undefined;
  if (!NUMBER.test(part)) throw invalid('viewport', 'has a part that is no number');
  return Number(part);
}
