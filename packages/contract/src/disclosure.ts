/**
 * What the disclosure gate is set to, and the forms in which numbers leave. The gate itself is in `omop/disclosure`.
 *
 * Two kinds of release. Counts and tables are suppressed, rounded, noised and snapped. Statistics of an approved run (sums,
 * gradients, updates, evaluation histograms) stay exact, but pass only when enough patients stand behind every one.
 */
import { type Static, Type } from 'typebox';

export const PATIENT_COUNT_MIN_FLOOR = 10; // a site may raise its threshold, never lower it below this

/** `noiseStdDev` and `rounding` in patients. `questionsMax`: sets per dataset before a person looks, for an approved project, and for all others together. */
export const CountPolicySchema = Type.Object(
  {
    patientCountMin: Type.Integer({ minimum: PATIENT_COUNT_MIN_FLOOR, maximum: 10_000 }),
    rounding: Type.Integer({ minimum: 5, maximum: 100, multipleOf: 5 }),
    noiseStdDev: Type.Number({ minimum: 0, maximum: 1000 }),
    questionsMax: Type.Integer({ minimum: 0, maximum: 10_000 }),
  },
  { additionalProperties: false },
);
export type CountPolicy = Static<typeof CountPolicySchema>;
export const COUNT_POLICY_DEFAULT: CountPolicy = {
  patientCountMin: 10,
  rounding: 10,
  noiseStdDev: 6,
  questionsMax: 30,
};

/** Rules for statistics of an approved run. A site's signed decision may set them otherwise for one project, in the open. */
export const RunStatisticsPolicySchema = Type.Object(
  {
    patientCountMin: Type.Integer({ minimum: 1, maximum: 1_000_000 }),
    parameterRowRatioMax: Type.Number({ exclusiveMinimum: 0, maximum: 1_000_000 }),
    categoryPatientCountMin: Type.Integer({ minimum: 0, maximum: 1_000_000 }),
  },
  { additionalProperties: false },
);
export type RunStatisticsPolicy = Static<typeof RunStatisticsPolicySchema>;
export const RUN_STATISTICS_POLICY_DEFAULT: RunStatisticsPolicy = {
  patientCountMin: 10,
  parameterRowRatioMax: 0.33,
  categoryPatientCountMin: 10,
};

/** A count as it leaves. Zero and small look the same in every byte. */
export const ReleasedCountSchema = Type.Union([
  Type.Object({ kind: Type.Literal('released'), value: Type.Integer({ minimum: 0 }) }, { additionalProperties: false }),
  Type.Object({ kind: Type.Literal('suppressed') }, { additionalProperties: false }),
]);
export type ReleasedCount = Static<typeof ReleasedCountSchema>;

/**
 * A table as it leaves. One partition of the patients, cell by cell: its total is made from the released cells. Where a patient may
 * stand in several cells, the total is that of the question. `meaning`: a label in words, from a public vocabulary.
 */
export const ReleasedTableSchema = Type.Object(
  {
    column: Type.String({ maxLength: 64 }),
    cells: Type.Array(
      Type.Object(
        {
          label: Type.String({ maxLength: 200 }),
          meaning: Type.Optional(Type.String({ maxLength: 255 })),
          count: ReleasedCountSchema,
        },
        { additionalProperties: false },
      ),
      { maxItems: 300 },
    ),
    total: ReleasedCountSchema,
  },
  { additionalProperties: false },
);
export type ReleasedTable = Static<typeof ReleasedTableSchema>;

/** Why a statistic did not pass. Names rule, limit and schema words; never the true small number. */
export const DisclosureFindingSchema = Type.Object(
  {
    rule: Type.Union([
      Type.Literal('patient-count'),
      Type.Literal('parameter-row-ratio'),
      Type.Literal('category-patient-count'),
      Type.Literal('label-stratum'),
      Type.Literal('near-duplicate-rows'),
    ]),
    subject: Type.String({ maxLength: 200, description: 'column, column=category, two columns, or "rows"' }),
    limit: Type.Number(),
    message: Type.String({ maxLength: 500 }),
  },
  { additionalProperties: false },
);
export type DisclosureFinding = Static<typeof DisclosureFindingSchema>;
