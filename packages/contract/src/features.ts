/**
 * How rows of a dataset become numbers for an algorithm: the same at every site, at evaluation and at the bedside, because
 * all three read this one description. Rows with a missing value in any used column are left out (`missing: 'drop-row'`).
 *
 * One-hot features are named `column=category`; with `dropFirst` the first category listed has none (it is the reference).
 * Order of features = order of entries, then of categories, or of the numbers of an image, named `column[0]` and so on.
 */
import { type Static, Type } from 'typebox';
import { CodingSchema, ColumnNameSchema, DatasetNameSchema, RangeSchema } from './dataset.ts';
import { AppError } from './errors.ts';
import { FilterSchema } from './filter.ts';

export const FEATURE_COUNT_MAX = 10_000; // bounds the design matrix; wider inputs are images, not tables

/**
 * An image as features: `shape` is [slices, rows, columns], row-major, each number in [0, 1].
 *
 * One slice: the single frame of a projection, as it is shown. More: a volume, from the feet to the head, from the front to the back,
 * from the right to the left of the patient.
 *
 * fit      crop: the largest middle part whose sides [mm] are in the proportion of the shape; stretch: all of it
 *          either way a number is the mean of what lies under it
 * window   values (Hounsfield units in CT) that become 0 and 1, and are not passed; without it the least and the greatest of the image
 */
const ImageInputSchema = Type.Object(
  {
    kind: Type.Literal('image'),
    column: ColumnNameSchema,
    shape: Type.Array(Type.Integer({ minimum: 1, maximum: FEATURE_COUNT_MAX }), { minItems: 3, maxItems: 3 }),
    fit: Type.Union([Type.Literal('crop'), Type.Literal('stretch')]),
    window: Type.Optional(RangeSchema),
  },
  { additionalProperties: false },
);
export type ImageInput = Static<typeof ImageInputSchema>;

/** Features that an image makes. Throws `input.invalid` where they are more than a design matrix may have. */
export function imageSize({ column, shape }: Pick<ImageInput, 'column' | 'shape'>): number {
  const size = shape.reduce((product, side) => product * side, 1);
  if (size <= FEATURE_COUNT_MAX) return size;
  const field = `features/${column}`;
  throw new AppError('input.invalid', `Features: ${column} makes more than ${FEATURE_COUNT_MAX} columns.`, { field });
}

/** `column[0]` and so on, in the order of the numbers. */
export function imageNames(image: Pick<ImageInput, 'column' | 'shape'>): string[] {
  return Array.from({ length: imageSize(image) }, (_, index) => `${image.column}[${index}]`);
}

export const FeatureSchema = Type.Union([
  Type.Object({ kind: Type.Literal('numeric'), column: ColumnNameSchema }, { additionalProperties: false }),
  Type.Object(
    {
      kind: Type.Literal('one-hot'),
      column: ColumnNameSchema,
      categories: Type.Array(Type.String({ minLength: 1, maxLength: 64 }), { minItems: 2, maxItems: 200 }),
      dropFirst: Type.Boolean(),
    },
    { additionalProperties: false },
  ),
  ImageInputSchema,
]);
export type Feature = Static<typeof FeatureSchema>;

export const FeatureSpecSchema = Type.Object(
  {
    dataset: DatasetNameSchema,
    features: Type.Array(FeatureSchema, { minItems: 1, maxItems: 500 }),
    label: Type.Object(
      {
        name: Type.String({ minLength: 1, maxLength: 64 }),
        positiveWhen: FilterSchema,
        columns: Type.Array(ColumnNameSchema, { minItems: 1, maxItems: 8 }),
      },
      { additionalProperties: false },
    ),
    trainWhere: FilterSchema,
    testWhere: FilterSchema,
    missing: Type.Literal('drop-row'),
  },
  { additionalProperties: false },
);
export type FeatureSpec = Static<typeof FeatureSpecSchema>;

/** Features are (x - mean) / stdDev; `stdDev` uses n - 1. A feature with no spread at a site is passed as 0. */
export const StandardisationSchema = Type.Object(
  { mean: Type.Array(Type.Number()), stdDev: Type.Array(Type.Number({ minimum: 0 })) },
  { additionalProperties: false },
);
export type Standardisation = Static<typeof StandardisationSchema>;

/** `per-site`: each site by its own training rows. `pooled`: by federated mean and variance over all sites. */
export const StandardisationKindSchema = Type.Union([
  Type.Literal('none'),
  Type.Literal('per-site'),
  Type.Literal('pooled'),
]);
export type StandardisationKind = Static<typeof StandardisationKindSchema>;

/**
 * Where a feature's column comes from at the bedside: FHIR R4 Patient or Observation. `units` maps each accepted UCUM unit to
 * the factor that turns its value into the column's unit; a unit not listed is refused, never guessed. `range` (in the
 * column's unit) is narrower than the dataset's where old files write 0 for "not measured".
 */
export const InputSourceSchema = Type.Union([
  Type.Object({ kind: Type.Literal('patient-age'), column: ColumnNameSchema }, { additionalProperties: false }),
  Type.Object(
    {
      kind: Type.Literal('patient-gender'),
      column: ColumnNameSchema,
      categories: Type.Object({ female: Type.String(), male: Type.String() }, { additionalProperties: false }),
    },
    { additionalProperties: false },
  ),
  Type.Object(
    {
      kind: Type.Literal('observation-quantity'),
      column: ColumnNameSchema,
      codings: Type.Array(CodingSchema, { minItems: 1, maxItems: 16 }),
      units: Type.Array(
        Type.Object(
          { unit: Type.String({ minLength: 1, maxLength: 32 }), factor: Type.Number() },
          { additionalProperties: false },
        ),
        { minItems: 1, maxItems: 8 },
      ),
      range: RangeSchema,
      ageMaxDays: Type.Integer({ minimum: 1, maximum: 36_500 }),
    },
    { additionalProperties: false },
  ),
  Type.Object(
    {
      kind: Type.Literal('observation-threshold'),
      column: ColumnNameSchema,
      codings: Type.Array(CodingSchema, { minItems: 1, maxItems: 16 }),
      units: Type.Array(
        Type.Object(
          { unit: Type.String({ minLength: 1, maxLength: 32 }), factor: Type.Number() },
          { additionalProperties: false },
        ),
        { minItems: 1, maxItems: 8 },
      ),
      range: RangeSchema,
      above: Type.Number(),
      valueAbove: Type.String(),
      valueOtherwise: Type.String(),
      ageMaxDays: Type.Integer({ minimum: 1, maximum: 36_500 }),
    },
    { additionalProperties: false },
  ),
  Type.Object(
    {
      kind: Type.Literal('observation-code'),
      column: ColumnNameSchema,
      codings: Type.Array(CodingSchema, { minItems: 1, maxItems: 16 }),
      values: Type.Array(
        Type.Object({ coding: CodingSchema, category: Type.String() }, { additionalProperties: false }),
        { minItems: 1, maxItems: 100 },
      ),
      ageMaxDays: Type.Integer({ minimum: 1, maximum: 36_500 }),
    },
    { additionalProperties: false },
  ),
]);
export type InputSource = Static<typeof InputSourceSchema>;
