/**
 * A ViewDefinition of SQL on FHIR 2.0 as it is written, checked: what we do not know is refused by its path, for a part that is
 * ignored would change the table without a word.
 */
import { Hl7Error } from '../hl7-error.ts';

export type ViewDefinition = {
  readonly resource: string;
  readonly constants: ReadonlyMap<string, string>;
  readonly where: readonly string[];
  readonly select: readonly SelectDefinition[];
};

export type SelectDefinition = {
  readonly columns: readonly ColumnDefinition[];
  readonly select: readonly SelectDefinition[];
  readonly unionAll: readonly SelectDefinition[];
  readonly each: Each;
};

/** Of what a select makes rows: of the one thing it is given, of each that a path finds, or of each found again and again. */
export type Each =
  | { readonly kind: 'itself' }
  | { readonly kind: 'for-each'; readonly path: string; readonly orNull: boolean }
  | { readonly kind: 'repeat'; readonly paths: readonly string[] };

export type ColumnDefinition = {
  readonly name: string;
  readonly path: string;
  /** FHIR or FHIRPath type as written; undefined where the definition leaves it to the reader. */
  readonly type: string | undefined;
  readonly isCollection: boolean;
};

/** Deep enough for any resource; bounds recursion on hostile input. */
const SELECT_DEPTH_MAX = 16;
/** A column's name becomes a name in SQL (section "Column names" of the specification). */
const COLUMN_NAME = /^[A-Za-z][A-Za-z0-9_]{0,254}$/;

const VIEW_MEMBERS = ['resource', 'constant', 'where', 'select'];
/** Told of the view, not of its rows. */
const VIEW_DESCRIPTION = [
  'resourceType',
  'id',
  'meta',
  'text',
  'extension',
  'url',
  'identifier',
  'version',
  'name',
  'title',
  'status',
  'experimental',
  'publisher',
  'contact',
  'date',
  'description',
  'useContext',
  'copyright',
  'fhirVersion',
  'profile',
];
const SELECT_MEMBERS = ['column', 'select', 'unionAll', 'forEach', 'forEachOrNull', 'repeat', 'id', 'extension'];
const COLUMN_MEMBERS = ['name', 'path', 'type', 'collection', 'description', 'tag', 'id', 'extension'];

/** Throws `value` or `unsupported`, naming the element. */
export function readViewDefinition(value: unknown): ViewDefinition {
  const view = objectAt(value, 'view', [...VIEW_MEMBERS, ...VIEW_DESCRIPTION]);
  const resource = view['resource'];
  if (typeof resource !== 'string' || !/^[A-Z][A-Za-z]+$/.test(resource)) {
    throw new Hl7Error('value', 'view.resource: the type of the resources is missing.');
  }
  const select = listAt(view['select'], 'view.select').map((part, index) =>
    readSelect(part, `view.select[${index}]`, 1),
  );
  if (select.length === 0) throw new Hl7Error('value', 'view.select: a view needs at least one.');
  return {
    resource,
    constants: readConstants(view['constant']),
    where: listAt(view['where'], 'view.where').map((condition, index) => {
      const where = objectAt(condition, `view.where[${index}]`, ['path', 'description', 'id', 'extension']);
      return textAt(where['path'], `view.where[${index}].path`);
    }),
    select,
  };
}

function readSelect(value: unknown, where: string, depth: number): SelectDefinition {
  if (depth > SELECT_DEPTH_MAX) throw new Hl7Error('limit', `${where}: nested more than ${SELECT_DEPTH_MAX} times.`);
  const select = objectAt(value, where, SELECT_MEMBERS);
  const nested = (name: string) =>
    listAt(select[name], `${where}.${name}`).map((part, index) =>
      readSelect(part, `${where}.${name}[${index}]`, depth + 1),
    );
  return {
    columns: listAt(select['column'], `${where}.column`).map((column, index) =>
      readColumn(column, `${where}.column[${index}]`),
    ),
    select: nested('select'),
    unionAll: nested('unionAll'),
    each: readEach(select, where),
  };
}

function readEach(select: Readonly<Record<string, unknown>>, where: string): Each {
  const given = ['forEach', 'forEachOrNull', 'repeat'].filter((name) => select[name] !== undefined);
  if (given.length > 1) throw new Hl7Error('value', `${where}: ${given.join(' and ')} exclude each other.`);
  switch (given[0]) {
    case 'forEach':
    case 'forEachOrNull':
      return {
        kind: 'for-each',
        path: textAt(select[given[0]], `${where}.${given[0]}`),
        orNull: given[0] === 'forEachOrNull',
      };
    case 'repeat':
      return {
        kind: 'repeat',
        paths: listAt(select['repeat'], `${where}.repeat`).map((path, index) =>
          textAt(path, `${where}.repeat[${index}]`),
        ),
      };
    default:
      return { kind: 'itself' };
  }
}

function readColumn(value: unknown, where: string): ColumnDefinition {
  const column = objectAt(value, where, COLUMN_MEMBERS);
  const name = textAt(column['name'], `${where}.name`);
  if (!COLUMN_NAME.test(name)) {
    throw new Hl7Error('value', `${where}.name: must begin with a letter and hold letters, digits and _ only.`);
  }
  const type = column['type'];
  const isCollection = column['collection'] ?? false;
  if (typeof isCollection !== 'boolean') throw new Hl7Error('value', `${where}.collection: must be true or false.`);
  return {
    name,
    path: textAt(column['path'], `${where}.path`),
    type: type === undefined ? undefined : textAt(type, `${where}.type`),
    isCollection,
  };
}

/** Constants as FHIRPath writes them, by name: they are put into the expressions before these are compiled. */
function readConstants(value: unknown): ReadonlyMap<string, string> {
  const constants = new Map<string, string>();
  for (const [index, given] of listAt(value, 'view.constant').entries()) {
    const where = `view.constant[${index}]`;
    const constant = objectAt(given, where, undefined);
    const name = textAt(constant['name'], `${where}.name`);
    const valueName = Object.keys(constant).find((member) => member.startsWith('value'));
    if (valueName === undefined) throw new Hl7Error('value', `${where}: has no value.`);
    constants.set(name, literalOf(valueName, constant[valueName], where));
  }
  return constants;
}

function literalOf(valueName: string, value: unknown, where: string): string {
  if (typeof value === 'boolean') return String(value);
  if (typeof value === 'number' && Number.isFinite(value)) return String(value);
  if (typeof value !== 'string')
    throw new Hl7Error('unsupported', `${where}.${valueName}: only primitive values are known.`);
  switch (valueName) {
    case 'valueDate':
      return checked(/^\d{4}(-\d{2}(-\d{2})?)?$/, `@${value}`, value, where);
    case 'valueDateTime':
      return checked(DATE_TIME, value.includes('T') ? `@${value}` : `@${value}T`, value, where);
    case 'valueInstant':
      return checked(DATE_TIME, `@${value}`, value, where);
    case 'valueTime':
      return checked(/^\d{2}:\d{2}(:\d{2}(\.\d+)?)?$/, `@T${value}`, value, where);
    default:
      return `'${value.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
  }
}

const DATE_TIME = /^\d{4}(-\d{2}(-\d{2}(T\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:\d{2})?)?)?)?$/;

function checked(pattern: RegExp, literal: string, value: string, where: string): string {
  if (!pattern.test(value)) throw new Hl7Error('value', `${where}: the value is not of its type.`);
  return literal;
}

function objectAt(
  value: unknown,
  where: string,
  known: readonly string[] | undefined,
): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new Hl7Error('value', `${where}: must be an object.`);
  }
  const object: Readonly<Record<string, unknown>> = { ...value };
  const unknownName = Object.keys(object).find((name) => known?.includes(name) === false);
  if (unknownName !== undefined) throw new Hl7Error('unsupported', `${where}.${unknownName}: is not known.`);
  return object;
}

function listAt(value: unknown, where: string): readonly unknown[] {
  if (value === undefined) return [];
  if (!Array.isArray(value)) throw new Hl7Error('value', `${where}: must be a list.`);
  return value;
}

function textAt(value: unknown, where: string): string {
  if (typeof value !== 'string' || value === '') throw new Hl7Error('value', `${where}: must be a text.`);
  return value;
}
