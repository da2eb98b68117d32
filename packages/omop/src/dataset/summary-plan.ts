/**
 * What must be counted to answer a question, as sets of patients, so that the gate judges patients and not rows.
 *
 * A count is one set. A summary is that set and, for each column asked, a partition of it: a number by its DECLARED bins (or
 * ten equal parts of its declared range), never by the data's own minimum or maximum, which are two patients' values; a
 * category by its declared categories; and the missing values where the schema allows any: a cell that is always empty would be
 * suppressed, and secondary suppression would hide a real one beside it. Every cell is planned whatever the data hold, so an empty
 * cell and a small one look alike.
 *
 * Each partition is printed as one query that yields (cell, patient) pairs, in any order and as often as a patient has rows:
 * a set of patients is a bitmap, which needs neither sorting nor repeats taken out.
 */
import { AppError, type Column, canonicalJson, type DatasetSchema, type Filter } from '@lantern/contract';
import { type QuestionPrice, tableCost } from '../disclosure/budget.ts';
import { type FilterPlan, planFilter, printFilter } from './filter-sql.ts';
import { PATIENT_COLUMN, quoteIdentifier, type SqlQuery, type SqlValue } from './sql-text.ts';
import { patientKeyOf } from './typed-table.ts';

const DEFAULT_BIN_COUNT = 10;

/** `query` yields rows (cell: index into `labels`, `_patient`). */
export type PartitionPlan = { readonly column: string; readonly labels: readonly string[]; readonly query: SqlQuery };

/** `total` yields rows (`_patient`). `price.key` is the question's canonical wording; the site scopes it by project and dataset. */
export type QuestionPlan = {
  readonly price: QuestionPrice;
  readonly total: SqlQuery;
  readonly partitions: readonly PartitionPlan[];
};

/**
 * Plans a count (no columns) or a summary.
 *
 * table        name of the typed table (`typedTableSql`)
 * dataVersion  changes whenever the registered data change, so that a question about new data is charged anew
 *
 * Throws `input.invalid` naming the column and the rule.
 */
export function planQuestion(options: {
  schema: DatasetSchema;
  table: string;
  dataVersion: string;
  filter: Filter;
  columns?: readonly string[];
}): QuestionPlan {
  const { schema, table, dataVersion } = options;
  const filter = planFilter(schema, options.filter);
  const columns = [...new Set(options.columns ?? [])].map((name) => summaryColumn(schema, name));
  const partitions = columns.map((column) => planPartition({ table, filter, column }));
  const disjoint = patientKeyOf(schema) === undefined;
  const cost = partitions.reduce((sum, { labels }) => sum + tableCost({ cellCount: labels.length, disjoint }), 1);
  const key = canonicalJson({ dataVersion, filter, columns: columns.map(({ name }) => name).sort() });
  return { price: { key, cost }, total: patientsQuery(table, filter), partitions };
}

function patientsQuery(table: string, filter: FilterPlan): SqlQuery {
  const parameters: SqlValue[] = [];
  const where = printFilter(filter, parameters);
  const sql = `SELECT ${PATIENT_COLUMN} FROM ${quoteIdentifier(table)} WHERE ${where}`;
  return { sql, parameters };
}

type Cell = { readonly label: string; readonly filter: FilterPlan };

function planPartition(options: { table: string; filter: FilterPlan; column: SummaryColumn }): PartitionPlan {
  const { table, filter, column } = options;
  const cells = [
    ...(column.kind === 'number' ? binCells(column) : categoryCells(column)),
    ...(column.missingAllowed ? [{ label: 'missing', filter: { kind: 'missing', column: column.name } as const }] : []),
  ];
  const parameters: SqlValue[] = [];
  const branches = cells.map((cell, index) => `WHEN ${printFilter(cell.filter, parameters)} THEN ${index}`);
  const where = printFilter(filter, parameters);
  const sql = [
    `SELECT cell, ${PATIENT_COLUMN} FROM (SELECT ${PATIENT_COLUMN}, CASE ${branches.join(' ')} END AS cell`,
    `FROM ${quoteIdentifier(table)} WHERE ${where}) WHERE cell IS NOT NULL`,
  ].join(' ');
  return { column: column.name, labels: cells.map(({ label }) => label), query: { sql, parameters } };
}

type SummaryColumn = Exclude<Column, { kind: 'patient-key' | 'image' }>;

function summaryColumn(schema: DatasetSchema, name: string): SummaryColumn {
  const column = schema.columns.find((candidate) => candidate.name === name);
  if (column === undefined) {
    throw new AppError('input.invalid', `${name} is not a column of dataset ${schema.name}.`, { field: 'columns' });
  }
  if (column.kind === 'patient-key') {
    throw new AppError('input.invalid', `${name} is the patient key and has no summary.`, { field: 'columns' });
  }
  if (column.kind === 'image') {
    throw new AppError('input.invalid', `${name} holds images and has no summary.`, { field: 'columns' });
  }
  return column;
}

function categoryCells(column: Extract<Column, { kind: 'category' }>): Cell[] {
  return column.categories.map(({ value }) => ({
    label: value,
    filter: { kind: 'in', column: column.name, values: [value] },
  }));
}

/** Bins [a, b), the last one closed; and what the declared range allows below and above them. */
function binCells(column: Extract<Column, { kind: 'number' }>): Cell[] {
  const { name, range } = column;
  const edges = column.binEdges ?? equalEdges(range);
  const first = edges[0] ?? range.min;
  const last = edges.at(-1) ?? range.max;
  const compare = (operator: '<' | '<=' | '>' | '>=', value: number): FilterPlan => ({
    kind: 'compare',
    column: name,
    operator,
    value,
  });
  const cells: Cell[] = [];
  if (range.min < first) cells.push({ label: `< ${first}`, filter: compare('<', first) });
  for (const [index, low] of edges.slice(0, -1).entries()) {
    const high = edges[index + 1] ?? last;
    const closed = high === last;
    cells.push({
      label: `${low} to ${closed ? '' : 'below '}${high}`,
      filter: { kind: 'all', of: [compare('>=', low), compare(closed ? '<=' : '<', high)] },
    });
  }
  if (range.max > last) cells.push({ label: `> ${last}`, filter: compare('>', last) });
  return cells;
}

function equalEdges(range: { min: number; max: number }): number[] {
  const width = (range.max - range.min) / DEFAULT_BIN_COUNT;
  return Array.from({ length: DEFAULT_BIN_COUNT + 1 }, (_, index) =>
    index === DEFAULT_BIN_COUNT ? range.max : Number((range.min + index * width).toPrecision(12)),
  );
}
