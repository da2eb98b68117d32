/**
 * From the columns of a row to the numbers an algorithm takes: the same at training, at evaluation and at the bedside, because
 * all three read one `FeatureSpec`. A row with a missing value is never completed by a guess, and a category that the
 * description does not list is never taken for the reference category (all zeros): both are answers of their own.
 */
import {
  AppError,
  FEATURE_COUNT_MAX,
  type Feature,
  type FeatureSpec,
  imageNames,
  imageSize,
  type Standardisation,
} from '@lantern/contract';

/** A value of a column as a row gives it; `null` and `undefined` are missing. */
export type ColumnValue = number | string | null | undefined;

/** `values` in the order of `featureNames`. `columns` names what stopped the row, each once, in the order of the features. */
export type EncodedRow =
  | { readonly kind: 'complete'; readonly values: number[] }
  | { readonly kind: 'missing'; readonly columns: readonly string[] }
  | { readonly kind: 'invalid'; readonly columns: readonly string[] };

/** Name of each feature, in order: the column, `column=category` for one-hot, or `column[index]` for an image. Throws `input.invalid` for too many. */
export function featureNames(spec: Pick<FeatureSpec, 'features'>): string[] {
  const pixelCount = spec.features.reduce((sum, one) => sum + (one.kind === 'image' ? imageSize(one) : 0), 0);
  if (pixelCount > FEATURE_COUNT_MAX)
    throw new AppError('input.invalid', `Features: images make more than ${FEATURE_COUNT_MAX} columns.`);
  return spec.features.flatMap((feature) => {
    if (feature.kind === 'numeric') return [feature.column];
    if (feature.kind === 'one-hot') return hotCategories(feature).map((category) => `${feature.column}=${category}`);
    return imageNames(feature);
  });
}

/**
 * The features of one row, not yet standardised. `missing` when a column has no value; `invalid` when a number is not a
 * finite number or a category is not one of those listed (and nothing is missing).
 */
export function encodeRow(spec: Pick<FeatureSpec, 'features'>, row: Readonly<Record<string, ColumnValue>>): EncodedRow {
  const values: number[] = [];
  const missing = new Set<string>();
  const invalid = new Set<string>();
  for (const feature of spec.features) {
    const value = Object.hasOwn(row, feature.column) ? row[feature.column] : undefined;
    if (value === null || value === undefined) {
      missing.add(feature.column);
      continue;
    }
    const encoded = encodeFeature(feature, value);
    if (encoded === undefined) invalid.add(feature.column);
    else values.push(...encoded);
  }
  if (missing.size > 0) return { kind: 'missing', columns: [...missing] };
  if (invalid.size > 0) return { kind: 'invalid', columns: [...invalid] };
  return { kind: 'complete', values };
}

function encodeFeature(feature: Feature, value: number | string): number[] | undefined {
  if (feature.kind === 'image') return undefined; // not one value of a row; nothing at a bedside gives one
  if (feature.kind === 'numeric') return typeof value === 'number' && Number.isFinite(value) ? [value] : undefined;
  const category = feature.categories.find((each) => each === categoryText(value));
  if (category === undefined) return undefined;
  return hotCategories(feature).map((each) => (each === category ? 1 : 0));
}

function hotCategories(feature: Extract<Feature, { kind: 'one-hot' }>): readonly string[] {
  return feature.dropFirst ? feature.categories.slice(1) : feature.categories;
}

/** Categories compare as text; an integer may be spelled with zero decimals. */
function categoryText(value: number | string): string {
  return String(value).replace(/^(-?[0-9]+)\.0+$/, '$1');
}

/**
 * (x - mean) / stdDev for rows [rows, features], row-major, in a new array; 0 for a feature without spread. Throws
 * `input.invalid` when the numbers of features differ.
 */
export function standardise(values: ArrayLike<number>, by: Standardisation): Float64Array {
  const featureCount = by.mean.length;
  if (by.stdDev.length !== featureCount || featureCount === 0 || values.length % featureCount !== 0) {
    throw new AppError('input.invalid', `Rows do not have the ${featureCount} features of the standardisation.`);
  }
  const scaled = new Float64Array(values.length);
  for (let index = 0; index < values.length; index += 1) {
    const feature = index % featureCount;
    const spread = by.stdDev[feature] ?? 0;
    if (spread > 0) scaled[index] = ((values[index] ?? Number.NaN) - (by.mean[feature] ?? 0)) / spread;
  }
  return scaled;
}
