/**
 * A feature description becomes rows of numbers: the design matrix an algorithm trains on, and the counts the gate needs
 * before anything made from it may leave.
 *
 * Only complete rows: a row is left out when a feature column or a label column is missing, or when a one-hot column holds a
 * category that the description does not list (it would be taken for the reference category). Rows keep the file's order, so
 * two runs see the same matrix.
 */
import {
  AppError,
  type Column,
  type DatasetSchema,
  FEATURE_COUNT_MAX,
  type Feature,
  type FeatureSpec,
  type ImageInput,
  imageSize,
  parse,
} from '@lantern/contract';
import { Type } from 'typebox';
import type { RunFacts, StratumSize } from '../disclosure/run-statistics.ts';
import { columnsOf, planFilter, printFilter } from './filter-sql.ts';
import { createPairCounter, PAIRED_COLUMN_COUNT_MAX, type PairedColumn } from './pair-counts.ts';
import { addParameter, PATIENT_COLUMN, quoteIdentifier, ROW_COLUMN, type SqlQuery, type SqlValue } from './sql-text.ts';

export type RowSet = 'train' | 'test';

/** A table of two columns for each pair: `query` yields DOUBLE columns for `openCounter().add`; `undefined`: too many. */
export type PairPlan = { readonly query: SqlQuery; readonly openCounter: () => ReturnType<typeof createPairCounter> };

/** What the gate judges; the tables of two columns and the number of parameters join when an algorithm is known. */
type CountedFacts = Omit<RunFacts, 'parameterCount' | 'pairs'>;

/**
 * `rows` yields `_row`, `_patient`, `label` (0 or 1) and `f0` ... in the order of `featureNames`, all DOUBLE.
 * `facts` yields one row of DOUBLE, to be read by `readFacts`; `twoValued` names numeric columns for the counter of pairs.
 */
export type FeaturePlan = {
  /** Of an image its column alone; `f<n>` is its number in the table of images then. */
  readonly featureNames: readonly string[];
  readonly rows: SqlQuery;
  readonly pairs: PairPlan | undefined;
  readonly facts: SqlQuery;
  readonly readFacts: (row: unknown) => { readonly facts: CountedFacts; readonly twoValued: ReadonlySet<string> };
};

/** For each feature that is an image a table of those that can be read: (reference VARCHAR, number DOUBLE). */
export type ImageTables = ReadonlyMap<Feature, string>;

/**
 * Plans the rows of one set over a typed table. Images are taken from `images`; a row whose image is not in there lacks it. Throws
 * `input.invalid` naming the column and the rule.
 */
export function planFeatures(options: Source): FeaturePlan {
  const { schema, spec } = options;
  const outputs = spec.features.flatMap((feature) => featureOutputs(options, feature));
  const pixelCount = spec.features.reduce((sum, one) => sum + (one.kind === 'image' ? imageSize(one) : 0), 0);
  if (outputs.length + pixelCount > FEATURE_COUNT_MAX)
    refuse('features', `make more than ${FEATURE_COUNT_MAX} columns`);
  assertLabel(schema, spec);
  const featureNames = outputs.map(({ name }) => name);
  return { featureNames, rows: rowsQuery(options, outputs), pairs: planPairs(options), ...planFacts(schema, options) };
}

/** One column of the design matrix; `print` gives its SQL and appends its values. */
type Output = { readonly name: string; readonly print: (parameters: SqlValue[]) => string };

function featureOutputs({ schema, images }: Source, feature: Feature): Output[] {
  const column = featureColumn(schema, feature);
  const identifier = quoteIdentifier(column.name);
  if (feature.kind === 'image') {
    const sql = `(SELECT number FROM ${imageTable(images, feature)} i WHERE i.reference = ${identifier})`;
    return [{ name: column.name, print: () => sql }];
  }
  if (feature.kind === 'numeric') return [{ name: column.name, print: () => identifier }];
  const categories = feature.dropFirst ? feature.categories.slice(1) : feature.categories;
  return categories.map((category) => ({
    name: `${column.name}=${category}`,
    print: (parameters) => `CASE WHEN ${identifier} = ${addParameter(parameters, category)} THEN 1.0 ELSE 0.0 END`,
  }));
}

function imageTable(images: ImageTables | undefined, feature: Feature): string {
  const table = images?.get(feature);
  return table === undefined
    ? refuse(feature.column, 'holds images, which cannot be read here')
    : quoteIdentifier(table);
}

function featureColumn(schema: DatasetSchema, feature: Feature): Column {
  const column = schema.columns.find(({ name }) => name === feature.column);
  if (column === undefined) return refuse(feature.column, `is not a column of dataset ${schema.name}`);
  if (feature.kind === 'image') {
    return column.kind === 'image' ? column : refuse(column.name, 'does not hold images');
  }
  if (column.kind === 'image') return refuse(column.name, 'holds images, which are features of their own kind');
  if (feature.kind === 'numeric') {
    return column.kind === 'number' ? column : refuse(column.name, 'does not hold numbers; use one-hot');
  }
  if (column.kind !== 'category') return refuse(column.name, 'does not hold categories; use numeric');
  const declared = new Set(column.categories.map(({ value }) => value));
  if (feature.categories.some((category) => !declared.has(category))) {
    refuse(column.name, 'is asked for a category it does not declare');
  }
  if (new Set(feature.categories).size !== feature.categories.length) refuse(column.name, 'lists a category twice');
  return column;
}

function assertLabel(schema: DatasetSchema, spec: FeatureSpec): void {
  const used = columnsOf(planFilter(schema, spec.label.positiveWhen));
  const foreign = used.find((name) => !spec.label.columns.includes(name));
  if (foreign !== undefined) refuse(foreign, 'is used by the label but not among its columns');
  for (const name of spec.label.columns) {
    planFilter(schema, { kind: 'missing', column: name });
    if (spec.features.some(({ column }) => column === name)) refuse(name, 'is both label and feature');
  }
}

type Source = {
  readonly schema: DatasetSchema;
  readonly table: string;
  readonly spec: FeatureSpec;
  readonly rowSet: RowSet;
  readonly images?: ImageTables;
};

function rowsQuery(source: Source, outputs: readonly Output[]): SqlQuery {
  const parameters: SqlValue[] = [];
  const columns = outputs.map((output, index) => `CAST(${output.print(parameters)} AS DOUBLE) AS f${index}`);
  const label = `CAST(${labelSql(source, parameters)} AS DOUBLE) AS label`;
  const sql = [
    `SELECT CAST(${ROW_COLUMN} AS DOUBLE) AS ${ROW_COLUMN}, CAST(${PATIENT_COLUMN} AS DOUBLE) AS ${PATIENT_COLUMN},`,
    `${[...columns, label].join(', ')} FROM ${quoteIdentifier(source.table)}`,
    `WHERE ${completeSql(source, parameters)} ORDER BY ${ROW_COLUMN}`,
  ].join(' ');
  return { sql, parameters };
}

function labelSql({ schema, spec }: Source, parameters: SqlValue[]): string {
  return `CASE WHEN ${printFilter(planFilter(schema, spec.label.positiveWhen), parameters)} THEN 1 ELSE 0 END`;
}

/** True for the complete rows of the set. */
function completeSql({ schema, spec, rowSet, images }: Source, parameters: SqlValue[]): string {
  const where = printFilter(planFilter(schema, rowSet === 'train' ? spec.trainWhere : spec.testWhere), parameters);
  const present = spec.label.columns.map((name) => `${quoteIdentifier(name)} IS NOT NULL`);
  const used = spec.features.map((feature) => {
    const identifier = quoteIdentifier(feature.column);
    if (feature.kind === 'numeric') return `${identifier} IS NOT NULL`;
    if (feature.kind === 'image') return `${identifier} IN (SELECT reference FROM ${imageTable(images, feature)})`;
    return `${identifier} IN (${feature.categories.map((category) => addParameter(parameters, category)).join(', ')})`;
  });
  return [where, ...present, ...used].join(' AND ');
}

const FactsRowSchema = Type.Record(Type.String(), Type.Number());

type Part = 'categories' | 'labelStrata';
type Subject = { readonly subject: string; readonly condition: string; readonly part: Part };

/**
 * The patients behind each part of the complete rows, in one scan: each category (also the reference category), each side of
 * the label, and for a numeric column the patients whose value is not the most common one.
 */
function planFacts(schema: DatasetSchema, source: Source): Pick<FeaturePlan, 'facts' | 'readFacts'> {
  const parameters: SqlValue[] = [];
  const numeric = numericColumns(source.spec);
  const subjects = subjectsOf(schema, source.spec, parameters);
  const patients = `count(DISTINCT ${PATIENT_COLUMN})`;
  const counts = subjects.map(
    ({ condition }, index) => `CAST(${patients} FILTER (WHERE ${condition}) AS DOUBLE) AS s${index}`,
  );
  const equal = numeric.map((column, index) => {
    const others = `(${quoteIdentifier(column)}) FILTER (WHERE ${isOther(column, index)})`;
    return `CAST(coalesce(min${others} = max${others}, FALSE) AS DOUBLE) AS e${index}`;
  });
  const sql = [
    `SELECT ${[`CAST(${patients} AS DOUBLE) AS patients`, ...counts, ...equal].join(', ')} FROM (`,
    `SELECT ${['*', `${labelSql(source, parameters)} AS _label`, ...mostCommon(numeric)].join(', ')}`,
    `FROM ${quoteIdentifier(source.table)} WHERE ${completeSql(source, parameters)})`,
  ].join(' ');

  const readFacts: FeaturePlan['readFacts'] = (row) => {
    const values = parse(FactsRowSchema, row, { what: 'Counts behind the features' });
    const sizes = (part: Part): StratumSize[] =>
      subjects.flatMap((one, index) =>
        one.part === part ? [{ subject: one.subject, patientCount: values[`s${index}`] ?? 0 }] : [],
      );
    const facts = {
      patientCount: values['patients'] ?? 0,
      categories: sizes('categories'),
      labelStrata: sizes('labelStrata'),
    };
    return { facts, twoValued: new Set(numeric.filter((_, index) => values[`e${index}`] === 1)) };
  };
  return { facts: { sql, parameters }, readFacts };
}

function subjectsOf(schema: DatasetSchema, spec: FeatureSpec, parameters: SqlValue[]): Subject[] {
  const numeric = numericColumns(spec);
  const ofFeatures = spec.features.flatMap((feature): Subject[] => {
    const { name } = featureColumn(schema, feature);
    if (feature.kind === 'numeric') {
      return [{ subject: name, condition: isOther(name, numeric.indexOf(name)), part: 'categories' }];
    }
    // Whoever has no image is in no row; single numbers of images are seen to where they are made.
    if (feature.kind === 'image') return [{ subject: name, condition: 'TRUE', part: 'categories' }];
    return feature.categories.map((category) => ({
      subject: `${name}=${category}`,
      condition: `${quoteIdentifier(name)} = ${addParameter(parameters, category)}`,
      part: 'categories',
    }));
  });
  return [
    ...ofFeatures,
    { subject: `${spec.label.name}: yes`, condition: '_label = 1', part: 'labelStrata' },
    { subject: `${spec.label.name}: no`, condition: '_label = 0', part: 'labelStrata' },
  ];
}

function numericColumns(spec: FeatureSpec): string[] {
  return spec.features.filter(({ kind }) => kind === 'numeric').map(({ column }) => column);
}

/** The most common value of each numeric column, beside every row. */
function mostCommon(numeric: readonly string[]): string[] {
  return numeric.map((column, index) => `mode(${quoteIdentifier(column)}) OVER () AS _most_common_${index}`);
}

function isOther(column: string, index: number): string {
  return `${quoteIdentifier(column)} <> _most_common_${index}`;
}

/** One scan for all tables of two columns: the side of each column in each complete row, sorted by patient. */
function planPairs(source: Source): PairPlan | undefined {
  const { spec } = source;
  const features = spec.features.filter(
    (feature, index): feature is Exclude<Feature, ImageInput> =>
      feature.kind !== 'image' && spec.features.findIndex((one) => one.column === feature.column) === index,
  );
  if (spec.features.some(({ kind }) => kind === 'image')) return undefined;
  const columns = [
    ...features.map((feature): PairedColumn => {
      const isNumeric = feature.kind === 'numeric';
      return { name: feature.column, codeCount: isNumeric ? 2 : feature.categories.length, isNumeric };
    }),
    { name: spec.label.name, codeCount: 2, isNumeric: false },
  ];
  if (columns.length > PAIRED_COLUMN_COUNT_MAX) return undefined;
  const parameters: SqlValue[] = [];
  const numeric = numericColumns(spec);
  const sides = features.map((feature) => {
    if (feature.kind === 'numeric') {
      return `CASE WHEN ${isOther(feature.column, numeric.indexOf(feature.column))} THEN 1 ELSE 0 END`;
    }
    const whens = feature.categories.map((one, side) => `WHEN ${addParameter(parameters, one)} THEN ${side}`);
    return `CASE ${quoteIdentifier(feature.column)} ${whens.join(' ')} END`;
  });
  const doubles = [PATIENT_COLUMN, ...sides, '_label'].map((one) => `CAST(${one} AS DOUBLE)`);
  const sql = [
    `SELECT ${doubles.join(', ')} FROM (`,
    `SELECT ${['*', `${labelSql(source, parameters)} AS _label`, ...mostCommon(numeric)].join(', ')}`,
    `FROM ${quoteIdentifier(source.table)} WHERE ${completeSql(source, parameters)}) ORDER BY ${PATIENT_COLUMN}`,
  ].join(' ');
  return { query: { sql, parameters }, openCounter: () => createPairCounter(columns) };
}

function refuse(column: string, rule: string): never {
  throw new AppError('input.invalid', `Features: ${column} ${rule}.`, { field: `features/${column}` });
}
