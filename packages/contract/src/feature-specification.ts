/**
 * From a cohort to a dataset: what each person of a cohort becomes as a row. A hospital builds the table out of its own CDM; since
 * units, ranges and categories stand here and nothing is taken from the rows, the table has the same schema at every hospital.
 *
 * A row is a person, at the day of its first entry into the cohort (or its last), the index day. Windows are in days from that day,
 * both ends included. Not to be confused with `FeatureSpec`, which says how the columns of a dataset become numbers in a run.
 */
import { type Static, Type } from 'typebox';
import { type Column, ColumnNameSchema, DatasetNameSchema, type DatasetSchema, RangeSchema } from './dataset.ts';
import { AppError } from './errors.ts';
import { IMAGE_COLLECTION_NAME_PATTERN, SeriesRuleSchema } from './research-images.ts';

const FEATURE_COLUMN_COUNT_MAX = 200; // each is a step of one statement; bounds what a database has to plan
const VIEW_COUNT_MAX = 20; // each reads every resource of its type
const IMAGE_SELECTION_COUNT_MAX = 20; // each may read headers of every image of a cohort
const SERIES_RULE_COUNT_MAX = 20; // as many forms of one kind of image as hospitals have
const CONCEPT_COUNT_MAX = 500; // named ones; their descendants come on top
const DAYS_MAX = 36_525; // a hundred years

/** Names that the table has beside the columns that are asked for. */
export const PATIENT_COLUMN_NAME = 'patient';
export const SPLIT_COLUMN_NAME = 'split';

const closed = { additionalProperties: false } as const;
const ConceptIdSchema = Type.String({ pattern: '^[1-9][0-9]{0,18}$', description: 'id of a concept, in decimal' });

const CirceSchema = Type.Record(Type.String(), Type.Unknown(), { description: 'Circe JSON, as ATLAS writes it' });

/** From a day to a day, counted from the index day; before it when negative. */
const DayWindowSchema = Type.Object(
  {
    from: Type.Integer({ minimum: -DAYS_MAX, maximum: DAYS_MAX }),
    to: Type.Integer({ minimum: -DAYS_MAX, maximum: DAYS_MAX }),
  },
  closed,
);
export type DayWindow = Static<typeof DayWindowSchema>;

/** `drop-row`: persons without the value are not in the table. */
const MissingSchema = Type.Union([Type.Literal('keep'), Type.Literal('drop-row')]);

const named = { name: ColumnNameSchema, description: Type.String({ minLength: 1, maxLength: 500 }) };
const numeric = {
  range: RangeSchema,
  missing: MissingSchema,
  medianRange: Type.Optional(RangeSchema),
  binEdges: Type.Optional(Type.Array(Type.Number(), { minItems: 2, maxItems: 101 })),
};
const concepts = {
  concepts: Type.Array(ConceptIdSchema, { minItems: 1, maxItems: CONCEPT_COUNT_MAX, uniqueItems: true }),
  withDescendants: Type.Boolean(),
  window: DayWindowSchema,
};

const units = {
  unit: Type.String({ minLength: 1, maxLength: 32, description: 'UCUM, case-sensitive' }),
  conversions: Type.Optional(
    Type.Array(
      Type.Object(
        {
          unit: Type.String({ minLength: 1, maxLength: 32 }),
          factor: Type.Number(),
          offset: Type.Optional(Type.Number()),
        },
        closed,
      ),
      { maxItems: 16 },
    ),
  ),
  withoutUnit: Type.Optional(
    Type.Union([Type.Literal('leave-out'), Type.Literal('as-declared')], {
      description: 'values of which the record names no unit; left out unless said otherwise',
    }),
  ),
};

/** In years, as the difference of the years. */
const AgeSchema = Type.Object({ kind: Type.Literal('age'), ...named, ...numeric }, closed);
const YearSchema = Type.Object({ kind: Type.Literal('year'), ...named, ...numeric }, closed);
/** "female" or "male"; what the record says otherwise is missing. */
const SexSchema = Type.Object({ kind: Type.Literal('sex'), ...named, missing: MissingSchema }, closed);

/**
 * Values of measurements, in one unit. What UCUM converts is converted; `conversions` says the rest, as between mass and amount of a
 * substance: value * factor + offset. Values in another unit, or outside `range` once converted, are left out and counted.
 *
 * first, last   of the window; of one day, by the number of the row
 * count         of rows in the window, whatever their value; its unit is "1"
 */
const MeasurementSchema = Type.Object(
  {
    kind: Type.Literal('measurement'),
    ...named,
    ...numeric,
    ...concepts,
    ...units,
    aggregation: Type.Union([
      Type.Literal('first'),
      Type.Literal('last'),
      Type.Literal('mean'),
      Type.Literal('min'),
      Type.Literal('max'),
      Type.Literal('count'),
    ]),
  },
  closed,
);
export type MeasurementFeature = Static<typeof MeasurementSchema>;

const eventOf = <const K extends string>(kind: K) =>
  Type.Object(
    {
      kind: Type.Literal(kind),
      ...named,
      ...concepts,
      aggregation: Type.Union([Type.Literal('exists'), Type.Literal('count')]),
      range: Type.Optional(RangeSchema),
      medianRange: Type.Optional(RangeSchema),
      binEdges: Type.Optional(Type.Array(Type.Number(), { minItems: 2, maxItems: 101 })),
    },
    closed,
  );

/** Rows that begin in the window: whether there are any, "1" or "0", or how many, which needs a `range`. */
const ConditionSchema = eventOf('condition');
const DrugSchema = eventOf('drug');
const ProcedureSchema = eventOf('procedure');
const ObservationSchema = eventOf('observation');

/** Whether the person enters another cohort within the window: "1" or "0". */
const LabelSchema = Type.Object(
  { kind: Type.Literal('label'), ...named, cohort: CirceSchema, window: DayWindowSchema },
  closed,
);

const ViewNameSchema = Type.String({ pattern: '^[a-z][a-z0-9_-]{0,62}$' });
/** As SQL on FHIR names columns. */
const ViewColumnSchema = Type.String({ pattern: '^[A-Za-z][A-Za-z0-9_]{0,254}$' });

/**
 * Values of a column of a view, as those of measurements; `window` needs a view with a day.
 *
 * unitColumn   the column that has the unit of each value, in UCUM, converted as those of measurements are; without it the values are
 *              taken to be in `unit`, and neither `conversions` nor `withoutUnit` may be said
 */
const ViewFeatureSchema = Type.Object(
  {
    kind: Type.Literal('view'),
    ...named,
    view: ViewNameSchema,
    column: Type.Optional(ViewColumnSchema),
    window: Type.Optional(DayWindowSchema),
    unitColumn: Type.Optional(ViewColumnSchema),
    ...units,
    aggregation: Type.Union([
      Type.Literal('first'),
      Type.Literal('last'),
      Type.Literal('mean'),
      Type.Literal('min'),
      Type.Literal('max'),
      Type.Literal('count'),
      Type.Literal('exists'),
    ]),
    ...numeric,
    range: Type.Optional(RangeSchema),
  },
  closed,
);
export type ViewFeature = Static<typeof ViewFeatureSchema>;

/** A ViewDefinition of SQL on FHIR 2.0, and which of its columns say whose a row is, and of which day. */
const FeatureViewSchema = Type.Object(
  {
    name: ViewNameSchema,
    definition: Type.Record(Type.String(), Type.Unknown()),
    patient: ViewColumnSchema,
    day: Type.Optional(ViewColumnSchema),
  },
  closed,
);

/**
 * Which images of a person belong to its row.
 *
 * series       rules of which one must fit a series, as collections have them
 * link         patient: by the number of the patient, as the CDM has it in image_occurrence
 *              accession: by the accession number, as an identifier of an order, procedure, report or study of the record has it
 * window       days of the study
 * take         which of several: by the day, then by the order in which they came; nearest to the index day, the earlier of two
 * collection   name of an approved collection of the site: only series with a finished research copy count, and can be referred to
 */
const ImageSelectionSchema = Type.Object(
  {
    name: ViewNameSchema,
    series: Type.Array(SeriesRuleSchema, { minItems: 1, maxItems: SERIES_RULE_COUNT_MAX }),
    link: Type.Union([Type.Literal('patient'), Type.Literal('accession')]),
    window: DayWindowSchema,
    take: Type.Union([Type.Literal('first'), Type.Literal('last'), Type.Literal('nearest')]),
    collection: Type.Optional(Type.String({ pattern: IMAGE_COLLECTION_NAME_PATTERN })),
  },
  closed,
);
export type ImageSelection = Static<typeof ImageSelectionSchema>;

/**
 * What a selection of images says of a person.
 *
 * exists      "1" or "0"
 * count       how many series
 * days        from the index day to that of the image which is taken; before it when negative
 * reference   the research copy of that image, which a run can read at its site
 */
const ImageFeatureSchema = Type.Object(
  {
    kind: Type.Literal('image'),
    ...named,
    image: ViewNameSchema,
    aggregation: Type.Union([
      Type.Literal('exists'),
      Type.Literal('count'),
      Type.Literal('days'),
      Type.Literal('reference'),
    ]),
    ...numeric,
    range: Type.Optional(RangeSchema),
  },
  closed,
);
export type ImageFeature = Static<typeof ImageFeatureSchema>;

const FeatureColumnSchema = Type.Union([
  AgeSchema,
  YearSchema,
  SexSchema,
  MeasurementSchema,
  ConditionSchema,
  DrugSchema,
  ProcedureSchema,
  ObservationSchema,
  LabelSchema,
  ViewFeatureSchema,
  ImageFeatureSchema,
]);
export type FeatureColumn = Static<typeof FeatureColumnSchema>;
export const FeatureSpecificationSchema = Type.Object(
  {
    schema: Type.Literal('lantern.feature-specification/1'),
    name: DatasetNameSchema,
    title: Type.String({ minLength: 1, maxLength: 200 }),
    description: Type.String({ minLength: 1, maxLength: 4000 }),
    cohort: CirceSchema,
    index: Type.Union([Type.Literal('first-entry'), Type.Literal('last-entry')]),
    columns: Type.Array(FeatureColumnSchema, { minItems: 1, maxItems: FEATURE_COLUMN_COUNT_MAX }),
    views: Type.Optional(Type.Array(FeatureViewSchema, { maxItems: VIEW_COUNT_MAX })),
    images: Type.Optional(Type.Array(ImageSelectionSchema, { maxItems: IMAGE_SELECTION_COUNT_MAX })),
    /** Share of the persons whose column "split" says "test": drawn at each site by a keyed hash of the person, so for good. */
    testShare: Type.Number({ minimum: 0, maximum: 0.9 }),
  },
  closed,
);
export type FeatureSpecification = Static<typeof FeatureSpecificationSchema>;

/** Throws `input.invalid` naming the field: what the schema of the document cannot say. */
export function assertFeatureSpecification({ columns, views = [], images = [] }: FeatureSpecification): void {
  assertSelections(images);
  const hasDay = (name: string) => views.some((view) => view.name === name && view.day !== undefined);
  const names = new Set([PATIENT_COLUMN_NAME, SPLIT_COLUMN_NAME]);
  for (const [index, column] of columns.entries()) {
    const broken = (field: string, rule: string) =>
      new AppError('input.invalid', `Feature specification: field /columns/${index}/${field} ${rule}.`, {
        field: `/columns/${index}/${field}`,
      });
    if (names.has(column.name.toLowerCase())) throw broken('name', 'is the name of another column');
    names.add(column.name.toLowerCase());
    if ('window' in column && column.window.from > column.window.to) throw broken('window', 'ends before it begins');
    if ('range' in column && column.range !== undefined && column.range.min > column.range.max)
      throw broken('range', 'ends before it begins');
    if (column.kind === 'measurement' && column.aggregation === 'count' && column.unit !== '1')
      throw broken('unit', 'of a count is "1"');
    if (!('aggregation' in column) || column.kind === 'measurement') continue;
    if (column.kind === 'image') {
      assertImage(column, { selection: images.find(({ name }) => name === column.image), broken });
      continue;
    }
    if (column.kind === 'view') assertView(column, { hasDay: hasDay(column.view), broken });
    if (column.aggregation !== 'exists' && column.range === undefined) throw broken('range', 'is needed');
    if (column.aggregation === 'exists' && (column.range ?? column.medianRange ?? column.binEdges) !== undefined)
      throw broken('aggregation', 'of "exists" has neither range nor bins');
  }
}

function assertView(
  { aggregation, column, window, unitColumn, conversions, withoutUnit }: ViewFeature,
  { hasDay, broken }: { hasDay: boolean; broken: (field: string, rule: string) => AppError },
): void {
  const isCount = aggregation === 'count' || aggregation === 'exists';
  if (!isCount && column === undefined) throw broken('column', 'is needed');
  if (isCount && unitColumn !== undefined) throw broken('unitColumn', 'says nothing of a number of rows');
  if (unitColumn === undefined && (conversions ?? withoutUnit) !== undefined)
    throw broken('unitColumn', 'is needed to convert');
  if (!hasDay && window !== undefined) throw broken('window', 'needs a view that says its day');
  if (!hasDay && (aggregation === 'first' || aggregation === 'last'))
    throw broken('aggregation', 'needs a view that says its day');
}

type Broken = (field: string, rule: string) => AppError;

function assertSelections(images: readonly ImageSelection[]): void {
  const names = new Set<string>();
  for (const [index, { name, window }] of images.entries()) {
    const [part, rule] = names.has(name)
      ? ['name', 'is the name of another selection']
      : ['window', 'ends before it begins'];
    const field = `/images/${index}/${part}`;
    if (names.has(name) || window.from > window.to)
      throw new AppError('input.invalid', `Feature specification: field ${field} ${rule}.`, { field });
    names.add(name);
  }
}

function assertImage(
  { aggregation, range, medianRange, binEdges }: ImageFeature,
  { selection, broken }: { selection: ImageSelection | undefined; broken: Broken },
): void {
  const isNumber = aggregation === 'count' || aggregation === 'days';
  if (selection === undefined) throw broken('image', 'names nothing that is there');
  if (isNumber && range === undefined) throw broken('range', 'is needed');
  if (!isNumber && (range ?? medianRange ?? binEdges) !== undefined)
    throw broken('aggregation', `of "${aggregation}" has neither range nor bins`);
  if (aggregation === 'reference' && selection.collection === undefined)
    throw broken('image', 'needs a selection with a collection, whose copies can be referred to');
}

const YES_NO = [
  { value: '0', meaning: 'no' },
  { value: '1', meaning: 'yes' },
];

/** The schema of the table, the same wherever it is built. */
export function datasetSchemaOf(specification: FeatureSpecification): DatasetSchema {
  const { name, title, description, columns } = specification;
  return {
    name,
    title,
    description,
    missingMarks: [],
    columns: [
      { kind: 'patient-key', name: PATIENT_COLUMN_NAME, description: 'keyed hash of the person, made at the site' },
      ...columns.map(columnOf),
      {
        kind: 'category',
        name: SPLIT_COLUMN_NAME,
        description: 'drawn by a keyed hash of the person',
        missingAllowed: false,
        categories: [
          { value: 'train', meaning: 'to learn from' },
          { value: 'test', meaning: 'to judge by' },
        ],
      },
    ],
  };
}

function columnOf(column: FeatureColumn): Column {
  const { name, description } = column;
  const category = { kind: 'category' as const, name, description };
  switch (column.kind) {
    case 'age':
      return numberColumn(column, 'a');
    case 'year':
      return numberColumn(column, '1');
    case 'measurement':
      return numberColumn(column, column.unit);
    case 'view':
      return column.range === undefined
        ? { ...category, missingAllowed: false, categories: YES_NO }
        : numberColumn({ ...column, range: column.range }, column.unit);
    case 'image':
      return imageColumn(column);
    case 'sex':
      return {
        ...category,
        missingAllowed: column.missing === 'keep',
        categories: [
          { value: 'female', meaning: 'female' },
          { value: 'male', meaning: 'male' },
        ],
      };
    case 'label':
      return { ...category, missingAllowed: false, categories: YES_NO };
    default:
      return column.range === undefined
        ? { ...category, missingAllowed: false, categories: YES_NO }
        : numberColumn({ ...column, range: column.range, missing: 'keep' }, '1');
  }
}

function imageColumn(column: ImageFeature): Column {
  const { name, description, aggregation, range, missing } = column;
  if (aggregation === 'reference') return { kind: 'image', name, description, missingAllowed: missing === 'keep' };
  return range === undefined
    ? { kind: 'category', name, description, missingAllowed: false, categories: YES_NO }
    : numberColumn({ ...column, range }, aggregation === 'days' ? 'd' : '1');
}

type Numeric = Pick<MeasurementFeature, 'name' | 'description' | 'range' | 'missing' | 'medianRange' | 'binEdges'>;

function numberColumn({ name, description, range, missing, medianRange, binEdges }: Numeric, unit: string): Column {
  return {
    kind: 'number',
    name,
    description,
    missingAllowed: missing === 'keep',
    unit,
    range,
    ...(medianRange === undefined ? {} : { medianRange }),
    ...(binEdges === undefined ? {} : { binEdges }),
  };
}

export const DatasetBuildReportSchema = Type.Object(
  {
    cohortPatientCount: Type.Integer({ minimum: 0, description: 'persons of the cohort, before anybody is left out' }),
    optedOutCount: Type.Integer({ minimum: 0, description: 'of them, left out because of an opt-out' }),
    droppedCount: Type.Integer({ minimum: 0, description: 'left out since a column that must be there is missing' }),
    rowCount: Type.Integer({ minimum: 0 }),
    testRowCount: Type.Integer({ minimum: 0 }),
    columns: Type.Array(
      Type.Object(
        {
          name: ColumnNameSchema,
          missingCount: Type.Integer({ minimum: 0, description: 'persons without a value, before any is dropped' }),
          unitLeftOutCount: Type.Integer({ minimum: 0, description: 'values left out because of their unit' }),
          rangeLeftOutCount: Type.Integer({ minimum: 0, description: 'values left out as beyond the range' }),
        },
        closed,
      ),
    ),
    images: Type.Optional(
      Type.Array(
        Type.Object(
          {
            name: ViewNameSchema,
            seriesCount: Type.Integer({ minimum: 0, description: 'series that fit, in the window, and count' }),
            withoutCopyCount: Type.Integer({ minimum: 0, description: 'left out: no finished copy in the collection' }),
            ambiguousCount: Type.Integer({ minimum: 0, description: 'left out: of more than one person' }),
            otherPatientCount: Type.Integer({ minimum: 0, description: 'left out: the image names another patient' }),
            optedOutCount: Type.Integer({ minimum: 0, description: 'left out: the patient of the image opted out' }),
          },
          closed,
        ),
        { description: 'of each selection of images: series of persons who have not opted out' },
      ),
    ),
  },
  closed,
);
export type DatasetBuildReport = Static<typeof DatasetBuildReportSchema>;
