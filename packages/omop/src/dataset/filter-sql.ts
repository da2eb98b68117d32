/**
 * A question's filter, from the contract's tree to SQL, in two steps.
 *
 * `planFilter` checks it against the schema (declared columns only, never the patient key, numbers compared with numbers and
 * categories with declared categories, depth and size bounded) and brings it to one canonical form: nested all/any flattened,
 * operands sorted and without repeats, double negation gone. Most wordings of one condition then have one plan.
 * `printFilter` turns a plan into DuckDB SQL with the values as parameters.
 *
 * Missing values: three-valued logic, as SQL has it. A missing value satisfies no comparison, and NOT of an unknown stays
 * unknown, so it is matched by neither `chol > 200` nor `not (chol > 200)`; only `missing` finds it.
 */
import {
  AppError,
  type Column,
  canonicalJson,
  type DatasetSchema,
  FILTER_DEPTH_MAX,
  FILTER_NODE_COUNT_MAX,
  type Filter,
} from '@lantern/contract';
import { addParameter, quoteIdentifier, type SqlValue } from './sql-text.ts';
import { declaredCategory } from './typed-table.ts';

type ComparisonOperator = '<' | '<=' | '>' | '>=' | '=' | '!=';

/** A checked filter in canonical form. */
export type FilterPlan =
  | { readonly kind: 'all' | 'any'; readonly of: readonly FilterPlan[] }
  | { readonly kind: 'not'; readonly of: FilterPlan }
  | { readonly kind: 'compare'; readonly column: string; readonly operator: ComparisonOperator; readonly value: number }
  | { readonly kind: 'in'; readonly column: string; readonly values: readonly string[] }
  | { readonly kind: 'missing'; readonly column: string };

/** Checks and normalises. Throws `input.invalid` naming column and rule. */
export function planFilter(schema: DatasetSchema, filter: Filter): FilterPlan {
  const budget = { nodesLeft: FILTER_NODE_COUNT_MAX };
  return normalise(check(schema, filter, { depth: 1, budget }));
}

/** Names of the columns a plan reads, without repeats. */
export function columnsOf(plan: FilterPlan): readonly string[] {
  switch (plan.kind) {
    case 'all':
    case 'any':
      return [...new Set(plan.of.flatMap(columnsOf))];
    case 'not':
      return columnsOf(plan.of);
    case 'compare':
    case 'in':
    case 'missing':
      return [plan.column];
  }
}

/** A boolean SQL expression over a typed table; appends its values to `parameters`. */
export function printFilter(plan: FilterPlan, parameters: SqlValue[]): string {
  switch (plan.kind) {
    case 'all':
    case 'any': {
      if (plan.of.length === 0) return plan.kind === 'all' ? 'TRUE' : 'FALSE';
      const operands = plan.of.map((operand) => printFilter(operand, parameters));
      return `(${operands.join(plan.kind === 'all' ? ' AND ' : ' OR ')})`;
    }
    case 'not':
      return `(NOT ${printFilter(plan.of, parameters)})`;
    case 'compare': {
      const operator = plan.operator === '!=' ? '<>' : plan.operator;
      return `(${quoteIdentifier(plan.column)} ${operator} ${addParameter(parameters, plan.value)})`;
    }
    case 'in': {
      const values = plan.values.map((value) => addParameter(parameters, value));
      return `(${quoteIdentifier(plan.column)} IN (${values.join(', ')}))`;
    }
    case 'missing':
      return `(${quoteIdentifier(plan.column)} IS NULL)`;
  }
}

type Place = { readonly depth: number; readonly budget: { nodesLeft: number } };

function check(schema: DatasetSchema, filter: Filter, place: Place): FilterPlan {
  place.budget.nodesLeft -= 1;
  if (place.budget.nodesLeft < 0) {
    throw new AppError('input.invalid', `A filter has at most ${FILTER_NODE_COUNT_MAX} conditions.`, {
      field: 'filter',
    });
  }
  if (place.depth > FILTER_DEPTH_MAX) {
    throw new AppError('input.invalid', `A filter is at most ${FILTER_DEPTH_MAX} levels deep.`, { field: 'filter' });
  }
  const below = { depth: place.depth + 1, budget: place.budget };
  switch (filter.kind) {
    case 'all':
    case 'any':
      return { kind: filter.kind, of: filter.of.map((operand) => check(schema, operand, below)) };
    case 'not':
      return { kind: 'not', of: check(schema, filter.of, below) };
    case 'compare':
      return checkCompare(schema, filter);
    case 'in':
      return checkIn(schema, filter);
    case 'missing':
      return { kind: 'missing', column: filterColumn(schema, filter.column).name };
  }
}

const HOLDS_IMAGES = 'holds images; only whether one is missing can be asked';

function checkCompare(schema: DatasetSchema, filter: Extract<Filter, { kind: 'compare' }>): FilterPlan {
  const column = filterColumn(schema, filter.column);
  if (column.kind === 'image') refuse(column.name, HOLDS_IMAGES);
  if (column.kind !== 'number') refuse(column.name, 'holds categories; use "in" instead of a comparison');
  if (!Number.isFinite(filter.value)) refuse(column.name, 'is compared with a finite number only');
  const value = filter.value === 0 ? 0 : filter.value; // -0 would be another wording of 0
  return { kind: 'compare', column: column.name, operator: filter.operator, value };
}

function checkIn(schema: DatasetSchema, filter: Extract<Filter, { kind: 'in' }>): FilterPlan {
  const column = filterColumn(schema, filter.column);
  if (column.kind === 'image') return refuse(column.name, HOLDS_IMAGES);
  if (column.kind !== 'category') return refuse(column.name, 'holds numbers; use a comparison instead of "in"');
  const values = filter.values.map(
    (value) =>
      declaredCategory(column.categories, value) ?? refuse(column.name, 'is asked for a category it does not declare'),
  );
  return { kind: 'in', column: column.name, values: [...new Set(values)].sort() };
}

function filterColumn(schema: DatasetSchema, name: string): Column {
  const column = schema.columns.find((candidate) => candidate.name === name);
  if (column === undefined) return refuse(name, `is not a column of dataset ${schema.name}`);
  if (column.kind === 'patient-key') return refuse(name, 'is the patient key and cannot be filtered on');
  return column;
}

function refuse(column: string, rule: string): never {
  throw new AppError('input.invalid', `Filter: ${column} ${rule}.`, { field: `filter/${column}` });
}

/** Each rewriting keeps the three-valued meaning (Kleene): NOT NOT x = x, x AND x = x, and both operators commute. */
function normalise(plan: FilterPlan): FilterPlan {
  if (plan.kind === 'not') {
    const inner = normalise(plan.of);
    return inner.kind === 'not' ? inner.of : { kind: 'not', of: inner };
  }
  if (plan.kind !== 'all' && plan.kind !== 'any') return plan;
  const operands = new Map<string, FilterPlan>();
  for (const operand of plan.of.map(normalise)) {
    const flat = operand.kind === plan.kind ? operand.of : [operand];
    for (const one of flat) operands.set(canonicalJson(one), one);
  }
  const sorted = [...operands].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, operand]) => operand);
  const [only] = sorted;
  return sorted.length === 1 && only !== undefined ? only : { kind: plan.kind, of: sorted };
}
