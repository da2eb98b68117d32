/**
 * The row a model takes, from the values of its columns: the features in the order and with the names of `FeatureSpec`, then
 * (x - mean) / stdDev by the pooled standardisation of the model version. It is the bedside's half of what `learning` does in
 * training; a test holds the two together.
 */
import { AppError, type Feature, type FeatureSpec, imageNames, type Standardisation } from '@lantern/contract';

export type DesignRow =
  | { readonly kind: 'row'; readonly values: readonly number[] }
  /** Columns without a value, or whose value is not one that the features describe. */
  | { readonly kind: 'unusable'; readonly columns: readonly string[] };

/** Names of the features in order: a column, `column=category`, or `column[index]` of an image, which no bedside has yet. */
export function designNames(spec: Pick<FeatureSpec, 'features'>): string[] {
  return spec.features.flatMap((feature) => {
    if (feature.kind === 'one-hot') return shownCategories(feature).map((each) => `${feature.column}=${each}`);
    if (feature.kind === 'numeric') return [feature.column];
    return imageNames(feature);
  });
}

/**
 * values           column -> number or category; others are ignored
 * standardisation  one mean and stdDev per feature
 * Throws `input.invalid` when the standardisation has another number of features.
 */
export function designRow(
  spec: Pick<FeatureSpec, 'features'>,
  standardisation: Standardisation,
  values: ReadonlyMap<string, number | string>,
): DesignRow {
  const encoded: number[] = [];
  const unusable: string[] = [];
  for (const feature of spec.features) {
    const numbers = encode(feature, values.get(feature.column));
    if (numbers === undefined) unusable.push(feature.column);
    else encoded.push(...numbers);
  }
  if (unusable.length > 0) return { kind: 'unusable', columns: unusable };
  const { mean, stdDev } = standardisation;
  if (mean.length !== encoded.length || stdDev.length !== encoded.length) {
    throw new AppError('input.invalid', `The standardisation is of ${mean.length} features, not ${encoded.length}.`);
  }
  return { kind: 'row', values: encoded.map((value, index) => scale(value, mean[index], stdDev[index])) };
}

/** A feature without spread in training carries no information and is passed as 0. */
function scale(value: number, mean = Number.NaN, stdDev = Number.NaN): number {
  return stdDev === 0 ? 0 : (value - mean) / stdDev;
}

function encode(feature: Feature, value: number | string | undefined): number[] | undefined {
  if (value === undefined || feature.kind === 'image') return undefined;
  if (feature.kind === 'numeric') return typeof value === 'number' && Number.isFinite(value) ? [value] : undefined;
  const text = String(value).replace(/^(-?[0-9]+)\.0+$/, '$1'); // "1.0" is how some tables spell the category "1"
  if (!feature.categories.includes(text)) return undefined;
  return shownCategories(feature).map((category) => (category === text ? 1 : 0));
}

function shownCategories(feature: Extract<Feature, { kind: 'one-hot' }>): readonly string[] {
  return feature.dropFirst ? feature.categories.slice(1) : feature.categories;
}
