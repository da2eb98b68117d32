/** Conditions on attributes, from Circe's ranges, lists of concepts and texts. */
import type { Filter, NamedConcept, Period, Test } from './definition.ts';
import type { Attribute } from './domains.ts';
import { JsonFields, refuse } from './json-fields.ts';
import type { Comparison } from './sql-tree.ts';

const COMPARISONS: Readonly<Record<string, Comparison>> = {
  LT: '<',
  LTE: '<=',
  EQ: '=',
  '!EQ': '<>',
  GT: '>',
  GTE: '>=',
};
const RANGES = { BT: 'within', '!BT': 'outside' } as const;
const TEXT_PLACES = { STARTSWITH: 'begins', ENDSWITH: 'ends', CONTAINS: 'contains' } as const;
/** Longer ones are no work of a person. */
const CONCEPT_COUNT_MAX = 10_000;
const TEXT_LENGTH_MAX = 1000;

/** Takes those of `attributes` that the object has. */
export function readFilters(fields: JsonFields, attributes: Readonly<Record<string, Attribute>>): Filter[] {
  return Object.entries(attributes).flatMap(([name, attribute]) => {
    const isNegated = attribute.hasExclude === true && fields.flag(`${name}Exclude`);
    const tests = [readTest(fields, name, { attribute, isNegated }), readSelection(fields, name, attribute)];
    return tests.flatMap((test) => (test === undefined ? [] : [{ attribute: name, test }]));
  });
}

type Asked = { readonly attribute: Attribute; readonly isNegated: boolean };

function readTest(fields: JsonFields, name: string, { attribute, isNegated }: Asked): Test | undefined {
  switch (attribute.kind) {
    case 'number':
      return readNumbers(fields.object(name));
    case 'date':
      return readDays(fields.object(name));
    case 'text':
      return readText(fields.object(name));
    case 'flag':
      return fields.flag(name) ? { kind: 'flag' } : undefined;
    case 'concept-set': {
      const conceptSet = fields.integer(name);
      return conceptSet === undefined ? undefined : { kind: 'concept-set', isNegated: false, conceptSet };
    }
    case 'concepts': {
      const concepts = fields.list(name, readConcept);
      if (concepts.length > CONCEPT_COUNT_MAX) {
        throw refuse(fields.pathOf(name), `lists more than ${CONCEPT_COUNT_MAX} concepts.`);
      }
      return concepts.length === 0 ? undefined : { kind: 'concepts', isNegated, concepts };
    }
  }
}

/** "GenderCS" beside "Gender": a set of concepts instead of a list. */
function readSelection(fields: JsonFields, name: string, attribute: Attribute): Test | undefined {
  if (attribute.kind !== 'concepts') return undefined;
  const selection = fields.object(`${name}CS`);
  if (selection === undefined) return undefined;
  const conceptSet = selection.integer('CodesetId');
  const isNegated = selection.flag('IsExclusion');
  selection.end();
  return conceptSet === undefined ? undefined : { kind: 'concept-set', isNegated, conceptSet };
}

function readConcept(value: unknown, path: string): NamedConcept {
  const fields = new JsonFields(value, path);
  const id = fields.integer('CONCEPT_ID');
  if (id === undefined) throw refuse(fields.pathOf('CONCEPT_ID'), 'is missing.');
  return { id: BigInt(id), name: fields.text('CONCEPT_NAME') ?? '' };
}

function readNumbers(fields: JsonFields | undefined): Test | undefined {
  if (fields === undefined) return undefined;
  const value = fields.number('Value');
  const extent = fields.number('Extent');
  const operator = fields.oneOf('Op', { ...COMPARISONS, ...RANGES });
  fields.end();
  if (value === undefined) throw refuse(fields.pathOf('Value'), 'is missing.');
  if (operator !== 'within' && operator !== 'outside') return { kind: 'number', operator, value };
  if (extent === undefined) throw refuse(fields.pathOf('Extent'), 'is missing.');
  return { kind: 'number-range', isNegated: operator === 'outside', from: value, to: extent };
}

function readDays(fields: JsonFields | undefined): Test | undefined {
  if (fields === undefined) return undefined;
  const value = readDay(fields.take('Value'), fields.pathOf('Value'));
  const extent = fields.take('Extent');
  const operator = fields.oneOf('Op', { ...COMPARISONS, ...RANGES });
  fields.end();
  if (operator !== 'within' && operator !== 'outside') return { kind: 'date', operator, value };
  const to = readDay(extent, fields.pathOf('Extent'));
  return { kind: 'date-range', isNegated: operator === 'outside', from: value, to };
}

function readText(fields: JsonFields | undefined): Test | undefined {
  if (fields === undefined) return undefined;
  const text = fields.text('Text') ?? '';
  const op = fields.text('Op') ?? '';
  fields.end();
  if (text.length > TEXT_LENGTH_MAX)
    throw refuse(fields.pathOf('Text'), `is longer than ${TEXT_LENGTH_MAX} characters.`);
  if (text.includes('\0')) throw refuse(fields.pathOf('Text'), 'holds a NUL character.');
  const isNegated = op.startsWith('!');
  const place = op.slice(isNegated ? 1 : 0).toUpperCase();
  if (place === '' || place === 'EQ') return { kind: 'text', isNegated, where: 'equals', text };
  if (place !== 'STARTSWITH' && place !== 'ENDSWITH' && place !== 'CONTAINS') {
    throw refuse(
      fields.pathOf('Op'),
      'is not known here; it may be startsWith, endsWith, contains or eq, with ! before it.',
    );
  }
  return { kind: 'text', isNegated, where: TEXT_PLACES[place], text };
}

/** "2026-11-27", also "2026-1-5". */
function readDay(value: unknown, path: string): string {
  const parts = typeof value === 'string' ? /^(\d{4})-(\d{1,2})-(\d{1,2})$/.exec(value) : null;
  const day = parts === null ? '' : `${parts[1]}-${parts[2]?.padStart(2, '0')}-${parts[3]?.padStart(2, '0')}`;
  const time = Date.parse(`${day}T00:00:00Z`);
  if (Number.isNaN(time) || new Date(time).toISOString().slice(0, 10) !== day) {
    throw refuse(path, 'must be a day, as 2026-11-27.');
  }
  return day;
}

/** Days that are missing bound nothing. */
export function readPeriod(fields: JsonFields | undefined): Period {
  if (fields === undefined) return {};
  const start = fields.take('StartDate');
  const end = fields.take('EndDate');
  fields.end();
  return {
    ...(start === undefined || start === '' ? {} : { start: readDay(start, fields.pathOf('StartDate')) }),
    ...(end === undefined || end === '' ? {} : { end: readDay(end, fields.pathOf('EndDate')) }),
  };
}
