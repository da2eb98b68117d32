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
  parse,
} from '@lantern/contract';
import { Type } from 'typebox';
import type { RunFacts, StratumSize } from '../disclosure/run-statistics.ts';
import { columnsOf, planFilter, printFilter } from './filter-sql.ts';
import { addParameter, PATIENT_COLUMN, quoteIdentifier, ROW_COLUMN, type SqlQuery, type SqlValue } from './sql-text.ts';

export type RowSet = 'train' | 'test';

/**
 * `rows` yields `_row`, `_patient`, `label` (0 or 1) and `f0` ... in the order of `featureNames`, all DOUBLE.
 * `facts` yields one row of DOUBLE, to be read by `readFacts`.
 */
export type FeaturePlan = {
  readonly featureNames: readonly string[];
  readonly rows: SqlQuery;
  readonly facts: SqlQuery;
  readonly readFacts: (row: unknown, parameterCount: number) => RunFacts;
};

/** Plans the rows of one set over a typed table. Throws `input.invalid` naming the column and the rule. */
export function planFeatures(options: {
  schema: DatasetSchema;
  table: string;
  spec: FeatureSpec;
  rowSet: RowSet;
}): FeaturePlan {
  const { schema, spec } = options;
  const outputs = spec.features.flatMap((feature) => featureOutputs(schema, feature));
  if (outputs.length > FEATURE_COUNT_MAX) refuse('features', `make more than ${FEATURE_COUNT_MAX} columns`);
  assertLabel(schema, spec);
  const facts = planFacts(schema, options);
  return { featureNames: outputs.map(({ name }) => name), rows: rowsQuery(options, outputs), ...facts };
}

/** One column of the design matrix; `print` gives its SQL and appends its values. */
type Output = { readonly name: string; readonly print: (parameters: SqlValue[]) => string };

function featureOutputs(schema: DatasetSchema, feature: Feature): Output[] {
  const column = featureColumn(schema, feature);
  const identifier = quoteIdentifier(column.name);
  if (feature.kind === 'numeric') return [{ name: column.name, print: () => identifier }];
  const categories = feature.dropFirst ? feature.categories.slice(1) : feature.categories;
  return categories.map((category) => ({
    name: `${column.name}=${category}`,
    print: (parameters) => `CASE WHEN ${identifier} = ${addParameter(parameters, category)} THEN 1.0 ELSE 0.0 END`,
  }));
}

function featureColumn(schema: DatasetSchema, feature: Feature): Column {
  const column = schema.columns.find(({ name }) => name === feature.column);
  if (column === undefined) return refuse(feature.column, `is not a column of dataset ${schema.name}`);
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
function completeSql({ schema, spec, rowSet }: Source, parameters: SqlValue[]): string {
  const where = printFilter(planFilter(schema, rowSet === 'train' ? spec.trainWhere : spec.testWhere), parameters);
  const present = spec.label.columns.map((name) => `${quoteIdentifier(name)} IS NOT NULL`);
  const used = spec.features.map((feature) => {
    const identifier = quoteIdentifier(feature.column);
    if (feature.kind === 'numeric') return `${identifier} IS NOT NULL`;
    return `${identifier} IN (${feature.categories.map((category) => addParameter(parameters, category)).join(', ')})`;
  });
  return [where, ...present, ...used].join(' AND ');
}

const FactsRowSchema = Type.Record(Type.String(), Type.Number());

/**
 * The patients behind each part of the complete rows, in one scan: each category (also the reference category), each side of
 * the label, and for a numeric column the patients whose value is not the most common one.
 */
function planFacts(schema: DatasetSchema, source: Source): Pick<FeaturePlan, 'facts' | 'readFacts'> {
  const { spec } = source;
  const parameters: SqlValue[] = [];
  const subjects: { subject: string; condition: string; part: 'categories' | 'labelStrata' }[] = [];
  const numeric = spec.features.filter(({ kind }) => kind === 'numeric').map(({ column }) => column);
  for (const feature of spec.features) {
    const identifier = quoteIdentifier(featureColumn(schema, feature).name);
    if (feature.kind === 'numeric') {
      const condition = `${identifier} <> _most_common_${numeric.indexOf(feature.column)}`;
      subjects.push({ subject: feature.column, condition, part: 'categories' });
      continue;
    }
    for (const category of feature.categories) {
      const condition = `${identifier} = ${addParameter(parameters, category)}`;
      subjects.push({ subject: `${feature.column}=${category}`, condition, part: 'categories' });
    }
  }
  const { name } = spec.label;
  subjects.push({ subject: `${name}: yes`, condition: '_label = 1', part: 'labelStrata' });
  subjects.push({ subject: `${name}: no`, condition: '_label = 0', part: 'labelStrata' });

  const patients = `count(DISTINCT ${PATIENT_COLUMN})`;
  const counts = subjects.map(
    ({ condition }, index) => `CAST(${patients} FILTER (WHERE ${condition}) AS DOUBLE) AS s${index}`,
  );
  const modes = numeric.map((column, index) => `mode(${quoteIdentifier(column)}) OVER () AS _most_common_${index}`);
  const sql = [
    `SELECT CAST(${patients} AS DOUBLE) AS patients, ${counts.join(', ')} FROM (`,
    `SELECT ${['*', `${labelSql(source, parameters)} AS _label`, ...modes].join(', ')}`,
    `FROM ${quoteIdentifier(source.table)} WHERE ${completeSql(source, parameters)})`,
  ].join(' ');

  const readFacts = (row: unknown, parameterCount: number): RunFacts => {
    const values = parse(FactsRowSchema, row, { what: 'Counts behind the features' });
    const sizes = (part: 'categories' | 'labelStrata'): StratumSize[] =>
      subjects.flatMap((one, index) =>
        one.part === part ? [{ subject: one.subject, patientCount: values[`s${index}`] ?? 0 }] : [],
      );
    return {
      patientCount: values['patients'] ?? 0,
      parameterCount,
      categories: sizes('categories'),
      labelStrata: sizes('labelStrata'),
    };
  };
  return { facts: { sql, parameters }, readFacts };
}

function refuse(column: string, rule: string): never {
  throw new AppError('input.invalid', `Features: ${column} ${rule}.`, { field: `features/${column}` });
}
