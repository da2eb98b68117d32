/**
 * A dataset: a named table that a site offers. From outside only its schema and gated summaries can be asked.
 *
 * The schema is a contract between hospitals: the same column means the same thing, in the same unit, everywhere. Its digest
 * (SHA-256 of the canonical JSON of `columns`) is compared before sites may train together.
 */
import { type Static, Type } from 'typebox';
import { DigestSchema } from './ids.ts';

export const COLUMN_COUNT_MAX = 2000; // wide enough for a radiomics table; bounds the SQL we print
export const CATEGORY_COUNT_MAX = 200; // more than this is free text or an identifier, not a category
const NAME_PATTERN = '^[a-z][a-z0-9_-]{0,62}$';

export const DatasetNameSchema = Type.String({ pattern: NAME_PATTERN, description: 'lower-case name of a dataset' });
export const ColumnNameSchema = Type.String({ pattern: '^[A-Za-z][A-Za-z0-9_]{0,62}$' });

/** A code of a terminology, e.g. LOINC 8480-6. */
export const CodingSchema = Type.Object(
  {
    system: Type.String({ minLength: 1, maxLength: 256 }),
    code: Type.String({ minLength: 1, maxLength: 64 }),
    display: Type.Optional(Type.String({ maxLength: 256 })),
  },
  { additionalProperties: false },
);
export type Coding = Static<typeof CodingSchema>;

export const RangeSchema = Type.Object({ min: Type.Number(), max: Type.Number() }, { additionalProperties: false });

const shared = {
  name: ColumnNameSchema,
  description: Type.String({ minLength: 1, maxLength: 500 }),
  coding: Type.Optional(CodingSchema),
  missingAllowed: Type.Boolean(),
};

/** `unit` is UCUM ("mm[Hg]", "mg/dL", "a", "1"). `medianRange` catches a wrong unit. `binEdges` are declared, never data-driven. */
export const NumberColumnSchema = Type.Object(
  {
    kind: Type.Literal('number'),
    ...shared,
    unit: Type.String({ minLength: 1, maxLength: 32 }),
    range: RangeSchema,
    medianRange: Type.Optional(RangeSchema),
    binEdges: Type.Optional(Type.Array(Type.Number(), { minItems: 2, maxItems: 101 })),
  },
  { additionalProperties: false },
);
export type NumberColumn = Static<typeof NumberColumnSchema>;

/** Values compare as text; a declared integer also matches its decimal spelling ("1" matches "1.0"). */
export const CategoryColumnSchema = Type.Object(
  {
    kind: Type.Literal('category'),
    ...shared,
    categories: Type.Array(
      Type.Object(
        { value: Type.String({ minLength: 1, maxLength: 64 }), meaning: Type.String({ minLength: 1, maxLength: 200 }) },
        { additionalProperties: false },
      ),
      { minItems: 2, maxItems: CATEGORY_COUNT_MAX },
    ),
  },
  { additionalProperties: false },
);
export type CategoryColumn = Static<typeof CategoryColumnSchema>;

/**
 * Says which rows are the same patient. Never leaves, cannot be filtered on. Without one, each row is a patient. Keys compare as
 * text, case and leading zeros included; only a whole number written as a decimal ("7.0") is that number ("7").
 */
export const PatientKeyColumnSchema = Type.Object(
  {
    kind: Type.Literal('patient-key'),
    name: ColumnNameSchema,
    description: Type.String({ minLength: 1, maxLength: 500 }),
  },
  { additionalProperties: false },
);

/** "<collection>/<series>/<SHA-256>": a research copy at this site, by new UIDs, and the SHA-256 over its files in the order of their UIDs. */
export const IMAGE_REFERENCE_PATTERN = '^[A-Za-z0-9_-]{1,64}/[0-9][0-9.]{0,63}/[0-9a-f]{64}$';

/**
 * Says which image belongs to the row: a reference to a de-identified copy, which only its site can read. Never leaves; nothing can be
 * asked of it but whether it is missing. Only datasets that a site builds out of its records have such columns.
 */
const ImageColumnSchema = Type.Object(
  {
    kind: Type.Literal('image'),
    name: ColumnNameSchema,
    description: Type.String({ minLength: 1, maxLength: 500 }),
    missingAllowed: Type.Boolean(),
  },
  { additionalProperties: false },
);

export const ColumnSchema = Type.Union([
  NumberColumnSchema,
  CategoryColumnSchema,
  PatientKeyColumnSchema,
  ImageColumnSchema,
]);
export type Column = Static<typeof ColumnSchema>;

export const DatasetSchemaSchema = Type.Object(
  {
    name: DatasetNameSchema,
    title: Type.String({ minLength: 1, maxLength: 200 }),
    description: Type.String({ minLength: 1, maxLength: 4000 }),
    licence: Type.Optional(Type.String({ maxLength: 500 })),
    missingMarks: Type.Array(Type.String({ maxLength: 16 }), { maxItems: 8, description: 'texts that mean "missing"' }),
    columns: Type.Array(ColumnSchema, { minItems: 1, maxItems: COLUMN_COUNT_MAX }),
  },
  { additionalProperties: false },
);
export type DatasetSchema = Static<typeof DatasetSchemaSchema>;

/** Who may ask counts of a dataset: any project of the hub, or only projects this site has approved. */
export const FeasibilityPolicySchema = Type.Union([Type.Literal('any-project'), Type.Literal('approved-projects')]);
export type FeasibilityPolicy = Static<typeof FeasibilityPolicySchema>;

/** What a site tells the hub about a dataset it offers: schema and schema digest, no size. */
export const DatasetOfferSchema = Type.Object(
  { schema: DatasetSchemaSchema, schemaDigest: DigestSchema, feasibility: FeasibilityPolicySchema },
  { additionalProperties: false },
);
export type DatasetOffer = Static<typeof DatasetOfferSchema>;
