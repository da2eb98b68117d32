/**
 * Flat tables out of FHIR resources: a ViewDefinition compiled once, then run for each resource (SQL on FHIR 2.0, section
 * "Processing Algorithm"). FHIRPath is that of the `fhirpath` package; the two functions that the specification adds,
 * getResourceKey and getReferenceKey, and the variable %rowIndex are here.
 *
 * A row of a select is made of its columns, of one row of each nested select, and of one row of its union: their product.
 */
import fhirpath, { type UserInvocationTable } from 'fhirpath';
import r4 from 'fhirpath/fhir-context/r4';
import { Hl7Error } from '../hl7-error.ts';
import {
  type ColumnDefinition,
  type Each,
  readViewDefinition,
  type SelectDefinition,
  type ViewDefinition,
} from './view-definition.ts';

export type CellValue = string | number | boolean | null | readonly CellValue[];
/** Values by column, in the order of the view's columns. */
export type ViewRow = Readonly<Record<string, CellValue>>;

export type View = {
  readonly resource: string;
  readonly columns: readonly Omit<ColumnDefinition, 'path'>[];
  /** Rows of one resource; of another type, none. Throws `value` where the resource does not fit the view. */
  rowsOf(resource: unknown): ViewRow[];
};

/** One resource may not make more rows: products of nested selects grow fast. */
const ROWS_MAX = 100_000;
/** How often `repeat` may go down; deeper than any questionnaire, and no circle goes on for ever. */
const REPEAT_DEPTH_MAX = 64;

type Focus = { readonly node: unknown; readonly rowIndex: number };
type Evaluate = (focus: Focus) => unknown[];
type Rows = (focus: Focus) => ViewRow[];
type Part = { readonly columns: readonly ColumnDefinition[]; readonly rows: Rows };

/** Throws `value` or `unsupported`, naming the element of the definition. */
export function compileView(definition: unknown): View {
  const view = readViewDefinition(definition);
  const conditions = view.where.map((path, index) => ({ where: `view.where[${index}]`, run: expression(view, path) }));
  const parts = view.select.map((select, index) => compileSelect(view, select, `view.select[${index}]`));
  const columns = parts.flatMap((part) => part.columns);
  checkNames(columns);
  return {
    resource: view.resource,
    columns: columns.map(({ name, type, isCollection }) => ({ name, type, isCollection })),
    rowsOf(resource) {
      if (typeOf(resource) !== view.resource) return [];
      const focus = { node: resource, rowIndex: 0 };
      if (!conditions.every(({ where, run }) => isTrue(run(focus), where))) return [];
      return product(parts.map((part) => part.rows(focus)));
    },
  };
}

function compileSelect(view: ViewDefinition, select: SelectDefinition, where: string): Part {
  const own: Part = { columns: select.columns, rows: columnRows(view, select.columns, where) };
  const nested = select.select.map((part, index) => compileSelect(view, part, `${where}.select[${index}]`));
  const branches = select.unionAll.map((part, index) => compileSelect(view, part, `${where}.unionAll[${index}]`));
  checkUnion(branches, where);
  const union: Part[] =
    branches.length === 0
      ? []
      : [{ columns: branches[0]?.columns ?? [], rows: (focus) => branches.flatMap((branch) => branch.rows(focus)) }];
  const parts = [own, ...nested, ...union];
  const columns = parts.flatMap((part) => part.columns);
  const foci = compileEach(view, select.each);
  // Where there is nothing, the number of the row is still that of the first.
  const nothing = Object.fromEntries(columns.map(({ name, path }) => [name, path === '%rowIndex' ? 0 : null]));
  return {
    columns,
    rows(focus) {
      const found = foci(focus);
      if (found.length === 0 && select.each.kind === 'for-each' && select.each.orNull) return [nothing];
      return found.flatMap((one) => product(parts.map((part) => part.rows(one))));
    },
  };
}

/** Of what the rows of a select are made. Without a path of its own, %rowIndex stays that of the select around it. */
function compileEach(view: ViewDefinition, each: Each): (focus: Focus) => Focus[] {
  switch (each.kind) {
    case 'itself':
      return (focus) => [focus];
    case 'for-each': {
      const run = expression(view, each.path);
      return (focus) => run(focus).map((node, rowIndex) => ({ node, rowIndex }));
    }
    case 'repeat': {
      const runs = each.paths.map((path) => expression(view, path));
      return (focus) => {
        const found: Focus[] = [];
        const goDown = (node: unknown, depth: number) => {
          if (depth > REPEAT_DEPTH_MAX) throw new Hl7Error('limit', `repeat: goes deeper than ${REPEAT_DEPTH_MAX}.`);
          for (const run of runs) {
            for (const child of run({ node, rowIndex: 0 })) {
              found.push({ node: child, rowIndex: found.length });
              if (found.length > ROWS_MAX) throw new Hl7Error('limit', `A resource makes more than ${ROWS_MAX} rows.`);
              goDown(child, depth + 1);
            }
          }
        };
        goDown(focus.node, 1);
        return found;
      };
    }
  }
}

function columnRows(view: ViewDefinition, columns: readonly ColumnDefinition[], where: string): Rows {
  const cells = columns.map((column, index) => ({
    column,
    where: `${where}.column[${index}]`,
    run: expression(view, column.path),
  }));
  return (focus) => [
    Object.fromEntries(cells.map(({ column, run, where: cell }) => [column.name, cellOf(column, run(focus), cell)])),
  ];
}

function cellOf(column: ColumnDefinition, found: readonly unknown[], where: string): CellValue {
  const values = found.map((node) => plain(node, where));
  if (column.isCollection) return values;
  if (values.length > 1) {
    throw new Hl7Error('value', `${where}: the path finds several values, and the column is no collection.`);
  }
  return values[0] ?? null;
}

/** A value as a cell holds it. */
function plain(node: unknown, where: string): CellValue {
  const [value] = fhirpath.resolveInternalTypes([node]);
  if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') return value;
  throw new Hl7Error('value', `${where}: the path finds something with parts, which no cell can hold.`);
}

/** Every combination of one row of each list. */
function product(lists: readonly (readonly ViewRow[])[]): ViewRow[] {
  let rows: ViewRow[] = [{}];
  for (const list of lists) {
    if (rows.length * list.length > ROWS_MAX)
      throw new Hl7Error('limit', `A resource makes more than ${ROWS_MAX} rows.`);
    rows = rows.flatMap((row) => list.map((more) => ({ ...row, ...more })));
  }
  return rows;
}

function checkNames(columns: readonly ColumnDefinition[]): void {
  const seen = new Set<string>();
  for (const { name } of columns) {
    if (seen.has(name)) throw new Hl7Error('value', `The column ${name} stands twice in the view.`);
    seen.add(name);
  }
}

function checkUnion(branches: readonly Part[], where: string): void {
  const signature = ({ columns }: Part) =>
    columns.map(({ name, isCollection }) => `${name}${isCollection ? '[]' : ''}`).join();
  for (const [index, branch] of branches.entries()) {
    const first = branches[0];
    if (first !== undefined && signature(branch) !== signature(first)) {
      throw new Hl7Error(
        'value',
        `${where}.unionAll[${index}]: has other columns than the first, or in another order.`,
      );
    }
  }
}

function isTrue(found: readonly unknown[], where: string): boolean {
  if (found.length === 0) return false;
  const value = plain(found[0], where);
  if (typeof value !== 'boolean' || found.length > 1)
    throw new Hl7Error('value', `${where}: the path is no condition.`);
  return value;
}

function typeOf(resource: unknown): unknown {
  return typeof resource === 'object' && resource !== null && 'resourceType' in resource
    ? resource.resourceType
    : undefined;
}

/** A name after %, unless it is one of FHIRPath's own in quotation marks or back-ticks. */
const CONSTANT = /%([A-Za-z_][A-Za-z0-9_]*)/g;
const VARIABLES: ReadonlySet<string> = new Set([
  'rowIndex',
  'resource',
  'rootResource',
  'context',
  'ucum',
  'sct',
  'loinc',
]);

function expression(view: ViewDefinition, path: string): Evaluate {
  const text = path.replace(CONSTANT, (whole, name: string) => {
    const literal = view.constants.get(name);
    if (literal === undefined && !VARIABLES.has(name))
      throw new Hl7Error('value', `%${name}: there is no such constant.`);
    return literal ?? whole;
  });
  try {
    const run = fhirpath.compile(text, r4, { resolveInternalTypes: false, userInvocationTable: FUNCTIONS });
    return ({ node, rowIndex }) => evaluated(() => run(node, { rowIndex }), path);
  } catch (cause) {
    throw new Hl7Error('value', `${path}: is no FHIRPath that can be read.`, { cause });
  }
}

function evaluated(run: () => unknown, path: string): unknown[] {
  try {
    const found = run();
    return Array.isArray(found) ? found : [];
  } catch (cause) {
    throw new Hl7Error('value', `${path}: does not fit the resource.`, { cause });
  }
}

/**
 * Functions of the specification that the package does not have, or has otherwise. Keys join the rows of two views: the id of a
 * resource, and of one that a reference points to. Joining nothing gives an empty text.
 */
const FUNCTIONS: UserInvocationTable = {
  getResourceKey: {
    fn: (resources: unknown[]) => resources.flatMap((resource) => textMember(resource, 'id') ?? []),
    arity: { 0: [] },
  },
  getReferenceKey: {
    fn: (references: unknown[], type?: { name: string }) =>
      references.flatMap((reference) => keyOf(textMember(reference, 'reference'), type?.name)),
    arity: { 0: [], 1: ['TypeSpecifier'] },
  },
  join: {
    fn: (texts: unknown[], separator = '') => [texts.join(separator)],
    arity: { 0: [], 1: ['String'] },
  },
};

/** The id at the end of "Patient/17", "https://server/Patient/17" or "Patient/17/_history/2", of the type that is asked for. */
function keyOf(reference: string | undefined, wantedType: string | undefined): string[] {
  const [, resourceType, id] = REFERENCE.exec(reference ?? '') ?? [];
  return id === undefined || (wantedType !== undefined && wantedType !== resourceType) ? [] : [id];
}

const REFERENCE = /(?:^|\/)([A-Z][A-Za-z]+)\/([A-Za-z0-9.-]{1,64})(?:\/_history\/.*)?$/;

function textMember(value: unknown, name: string): string | undefined {
  const found: unknown = typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined;
  return typeof found === 'string' ? found : undefined;
}
