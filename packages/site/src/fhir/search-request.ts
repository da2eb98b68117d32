/**
 * A search as its query says it, understood or refused: parameters, modifiers, prefixes, chains, and how the answer is to look.
 *
 * Nothing that is not understood is ignored: a search that quietly drops a condition shows patients who were not asked for.
 */
import { isResourceType, placeOf, type SearchParameter, searchParametersOf } from '@lantern/hl7';
import { FhirFault } from './fhir-fault.ts';
import {
  CHAIN_DEPTH_MAX,
  PAGE_COUNT_DEFAULT,
  PAGE_COUNT_MAX,
  SEARCH_PARAMETER_COUNT_MAX,
  SEARCH_VALUE_COUNT_MAX,
  SEARCH_VALUE_LENGTH_MAX,
} from './limits.ts';
import {
  type DateValue,
  dateValue,
  type QuantityValue,
  quantityValue,
  referenceTargets,
  type StringValue,
  splitValues,
  type TokenValue,
  tokenValue,
  unescapeValue,
} from './search-value.ts';

/** Tables that hold the values of a kind of parameter. */
export type IndexTable = 'fhir_token' | 'fhir_reference' | 'fhir_string' | 'fhir_date' | 'fhir_quantity';

export type Criterion =
  | { readonly kind: 'id'; readonly ids: readonly string[]; readonly isNot: boolean }
  | { readonly kind: 'last-updated'; readonly values: readonly DateValue[] }
  | {
      readonly kind: 'token';
      readonly places: readonly string[];
      readonly values: readonly TokenValue[];
      readonly isNot: boolean;
    }
  | { readonly kind: 'reference'; readonly places: readonly string[]; readonly targets: readonly string[] }
  | { readonly kind: 'string'; readonly places: readonly string[]; readonly values: readonly StringValue[] }
  | { readonly kind: 'date'; readonly places: readonly string[]; readonly values: readonly DateValue[] }
  | { readonly kind: 'quantity'; readonly places: readonly string[]; readonly values: readonly QuantityValue[] }
  | {
      readonly kind: 'missing';
      readonly table: IndexTable;
      readonly places: readonly string[];
      readonly isMissing: boolean;
    }
  /** Its reference at one of the places points to a resource of `types` that meets the criterion. */
  | {
      readonly kind: 'chain';
      readonly places: readonly string[];
      readonly types: readonly string[];
      readonly criteria: readonly Criterion[];
    }
  /** A resource of `type` that meets the criterion points here, to one of `target`. */
  | {
      readonly kind: 'has';
      readonly type: string;
      readonly target: string;
      readonly places: readonly string[];
      readonly criterion: Criterion;
    };

export type Sort =
  | { readonly by: 'key'; readonly isDescending: boolean }
  | { readonly by: 'id'; readonly isDescending: boolean }
  | { readonly by: 'date' | 'string'; readonly place: string; readonly isDescending: boolean };

export type Include = {
  /** Whose references are followed, by which of its parameters, and to which type only. */
  readonly type: string;
  readonly parameter: string;
  readonly target: string | undefined;
  readonly isIterated: boolean;
};

export type SearchRequest = {
  readonly type: string;
  readonly criteria: readonly Criterion[];
  readonly sort: Sort;
  readonly count: number;
  readonly isTotalWanted: boolean;
  readonly isCountOnly: boolean;
  readonly elements: readonly string[] | undefined;
  readonly includes: readonly Include[];
  readonly revIncludes: readonly Include[];
  readonly cursor: string | undefined;
  /** What was understood, for the link to itself. */
  readonly query: URLSearchParams;
};

/** `base` is the address of this server, whose own URLs are references like `Patient/1`. */
export function readSearch(type: string, query: URLSearchParams, base: string): SearchRequest {
  if ([...query].length > SEARCH_PARAMETER_COUNT_MAX) {
    throw new FhirFault(400, 'too-costly', `A search may have at most ${SEARCH_PARAMETER_COUNT_MAX} parameters.`);
  }
  const criteria: Criterion[] = [];
  for (const [name, value] of query) {
    if (RESULT_PARAMETERS.has(name) || name.startsWith('_include') || name.startsWith('_revinclude')) continue;
    criteria.push(readCriterion(type, { name, value, base, depth: 0 }));
  }
  return {
    type,
    criteria,
    sort: readSort(type, query.get('_sort')),
    count: readCount(query.get('_count')),
    isTotalWanted: oneOf(query, '_total', ['none', 'estimate', 'accurate'], 'none') !== 'none',
    isCountOnly: oneOf(query, '_summary', ['count', 'false'], 'false') === 'count',
    elements: query.get('_elements')?.split(','),
    includes: readIncludes(query, '_include'),
    revIncludes: readIncludes(query, '_revinclude'),
    cursor: query.get('_cursor') ?? undefined,
    query,
  };
}

const RESULT_PARAMETERS: ReadonlySet<string> = new Set([
  '_sort',
  '_count',
  '_total',
  '_summary',
  '_elements',
  '_cursor',
  '_format',
  '_pretty',
]);

type Written = { readonly name: string; readonly value: string; readonly base: string; readonly depth: number };

function refused(name: string, why: string): FhirFault {
  // A name may be anything that somebody typed: it is told only where it looks like a parameter.
  const told = /^[A-Za-z_][A-Za-z0-9_.:-]{0,80}$/.test(name) ? name : 'a parameter';
  return new FhirFault(400, 'not-supported', `${told}: ${why}`);
}

function readCriterion(type: string, written: Written): Criterion {
  const { name, value, depth } = written;
  if (depth > CHAIN_DEPTH_MAX) throw refused(name, `chains have at most ${CHAIN_DEPTH_MAX} links.`);
  if (value.length > SEARCH_VALUE_LENGTH_MAX * 10) throw refused(name, 'the value is too long.');
  if (value.includes('\0')) throw refused(name, 'no value has the character U+0000.');
  if (name.startsWith('_has:')) return readHas(type, written);
  const dot = name.indexOf('.');
  if (dot > 0) return readChain(type, { ...written, name: name.slice(0, dot) }, name.slice(dot + 1));
  const [code = '', modifier] = name.split(':');
  const values = splitValues(value);
  if (values.length > SEARCH_VALUE_COUNT_MAX)
    throw refused(name, `at most ${SEARCH_VALUE_COUNT_MAX} values are taken.`);
  if (values.some((one) => one === '')) throw refused(name, 'a value is missing.');
  if (code === '_id') {
    if (modifier !== undefined && modifier !== 'not') throw refused(name, 'this modifier is not known here.');
    return { kind: 'id', ids: values.map(unescapeValue), isNot: modifier === 'not' };
  }
  if (code === '_lastUpdated') {
    if (modifier !== undefined) throw refused(name, 'this modifier is not known here.');
    return { kind: 'last-updated', values: values.map((one) => dateValue(name, one)) };
  }
  return readParameter(type, { ...written, code, modifier, values });
}

type Parameter = Written & {
  readonly code: string;
  readonly modifier: string | undefined;
  readonly values: readonly string[];
};

function parameterOf(
  type: string,
  code: string,
): SearchParameter & { readonly sources: NonNullable<SearchParameter['sources']> } {
  const parameters = searchParametersOf(type);
  const parameter = Object.hasOwn(parameters, code) ? parameters[code] : undefined;
  if (parameter === undefined)
    throw refused(code, `${type} has no such search parameter; /metadata lists those there are.`);
  if (parameter.sources === undefined) throw refused(code, `this parameter (${parameter.type}) is not supported here.`);
  return { ...parameter, sources: parameter.sources };
}

const TABLE_OF: Readonly<Record<string, IndexTable>> = {
  token: 'fhir_token',
  uri: 'fhir_token',
  reference: 'fhir_reference',
  string: 'fhir_string',
  date: 'fhir_date',
  quantity: 'fhir_quantity',
  number: 'fhir_quantity',
};

function readParameter(type: string, written: Parameter): Criterion {
  const { name, code, modifier, values } = written;
  const parameter = parameterOf(type, code);
  const places = placesOf(type, parameter);
  if (modifier === 'missing') {
    const table = TABLE_OF[parameter.type] ?? 'fhir_token';
    if (values[0] !== 'true' && values[0] !== 'false') throw refused(name, 'the value must be true or false.');
    return { kind: 'missing', table, places, isMissing: values[0] === 'true' };
  }
  switch (parameter.type) {
    case 'token':
    case 'uri': {
      const allowed = parameter.type === 'token' ? [undefined, 'not'] : [undefined];
      if (!allowed.includes(modifier)) throw refused(name, 'this modifier is not supported here.');
      const isUri = parameter.type === 'uri';
      const tokens = values.map((one) => (isUri ? { code: unescapeValue(one) } : tokenValue(name, one)));
      return { kind: 'token', places, values: tokens, isNot: modifier === 'not' };
    }
    case 'string': {
      const mode = modifier ?? 'starts';
      if (mode !== 'starts' && mode !== 'exact' && mode !== 'contains') {
        throw refused(name, 'this modifier is not supported here; exact and contains are.');
      }
      return { kind: 'string', places, values: values.map((one) => ({ mode, text: unescapeValue(one) })) };
    }
    case 'reference':
      return readReference(type, parameter, written);
    case 'date':
      if (modifier !== undefined) throw refused(name, 'this modifier is not supported here.');
      return { kind: 'date', places, values: values.map((one) => dateValue(name, one)) };
    default:
      if (modifier !== undefined) throw refused(name, 'this modifier is not supported here.');
      return { kind: 'quantity', places, values: values.map((one) => quantityValue(name, one)) };
  }
}

function placesOf(type: string, { sources = [] }: SearchParameter): string[] {
  return [...new Set(sources.map((source) => placeOf(type, source)))];
}

function readReference(type: string, parameter: SearchParameter, written: Parameter): Criterion {
  const { name, modifier, values, base } = written;
  const places = placesOf(type, parameter);
  if (modifier === 'identifier') {
    const tokens = values.map((one) => tokenValue(name, one));
    return { kind: 'token', places: places.map((place) => `${place}:identifier`), values: tokens, isNot: false };
  }
  if (modifier !== undefined && !isResourceType(modifier)) throw refused(name, 'this modifier is not supported here.');
  const types = modifier === undefined ? targetTypes(parameter) : [modifier];
  const targets = values.flatMap((one) => referenceTargets(unescapeValue(one), { types, base }));
  return { kind: 'reference', places, targets };
}

/** Types of resource to which a parameter may lead. */
function targetTypes({ sources = [], targets = [] }: SearchParameter): readonly string[] {
  const only = sources.flatMap(({ target }) => target ?? []);
  return only.length > 0 ? [...new Set(only)] : targets.includes('Resource') ? [] : targets;
}

function readChain(type: string, written: Written, rest: string): Criterion {
  const [code = '', modifier] = written.name.split(':');
  const parameter = parameterOf(type, code);
  if (parameter.type !== 'reference') throw refused(code, 'only a reference can be followed.');
  if (modifier !== undefined && !isResourceType(modifier)) throw refused(code, 'this type is not known.');
  const first = rest.split(/[.:]/)[0] ?? '';
  const types = (modifier === undefined ? targetTypes(parameter) : [modifier]).filter((target) => knows(target, first));
  if (types.length === 0)
    throw refused(code, 'no type of resource that it may point to has the parameter that follows.');
  const criteria = types.map((target) => readCriterion(target, { ...written, name: rest, depth: written.depth + 1 }));
  return { kind: 'chain', places: placesOf(type, parameter), types, criteria };
}

function knows(type: string, code: string): boolean {
  return code === '_id' || code === '_lastUpdated' || code === '_has' || Object.hasOwn(searchParametersOf(type), code);
}

/** `_has:Observation:patient:code=1234`: resources that Observations of this code have as patient. */
function readHas(type: string, written: Written): Criterion {
  const [, other = '', code = '', ...rest] = written.name.split(':');
  if (!isResourceType(other) || rest.length === 0)
    throw refused('_has', 'it is written _has:TYPE:REFERENCE:PARAMETER.');
  const parameter = parameterOf(other, code);
  if (parameter.type !== 'reference') throw refused(code, 'only a reference can be followed.');
  const types = targetTypes(parameter);
  if (types.length > 0 && !types.includes(type)) throw refused(code, `it does not point to ${type}.`);
  const criterion = readCriterion(other, { ...written, name: rest.join(':'), depth: written.depth + 1 });
  return { kind: 'has', type: other, target: type, places: placesOf(other, parameter), criterion };
}

function readSort(type: string, written: string | null): Sort {
  if (written === null) return { by: 'key', isDescending: false };
  if (written.includes(',')) throw refused('_sort', 'one parameter at a time is supported.');
  const isDescending = written.startsWith('-');
  const code = isDescending ? written.slice(1) : written;
  if (code === '_lastUpdated') return { by: 'key', isDescending };
  if (code === '_id') return { by: 'id', isDescending };
  const parameter = parameterOf(type, code);
  const [place, ...others] = placesOf(type, parameter);
  if ((parameter.type !== 'date' && parameter.type !== 'string') || place === undefined || others.length > 0) {
    throw refused(
      '_sort',
      '_id, _lastUpdated, and parameters of dates and strings that read one element are supported.',
    );
  }
  return { by: parameter.type, place, isDescending };
}

function readCount(written: string | null): number {
  if (written === null) return PAGE_COUNT_DEFAULT;
  if (!/^\d{1,9}$/.test(written)) throw refused('_count', 'it is a whole number.');
  return Math.min(Number(written), PAGE_COUNT_MAX);
}

function oneOf<T extends string>(query: URLSearchParams, name: string, values: readonly T[], otherwise: T): T {
  const written = query.get(name);
  if (written === null) return otherwise;
  const value = values.find((one) => one === written);
  if (value === undefined) throw refused(name, `of its values ${values.join(', ')} are supported.`);
  return value;
}

/** `_include=Observation:subject`, `_include:iterate=Patient:organization:Organization`. */
function readIncludes(query: URLSearchParams, name: '_include' | '_revinclude'): Include[] {
  const found: Include[] = [];
  for (const [written, value] of query) {
    const [code, modifier] = written.split(':');
    if (code !== name) continue;
    if (modifier !== undefined && modifier !== 'iterate')
      throw refused(written, 'this modifier is not supported here.');
    const [type = '', parameter = '', target] = value.split(':');
    if (!isResourceType(type)) throw refused(name, 'it is written TYPE:PARAMETER or TYPE:PARAMETER:TARGET.');
    if (parameterOf(type, parameter).type !== 'reference') throw refused(name, 'only a reference can be followed.');
    if (target !== undefined && !isResourceType(target)) throw refused(name, 'the target is no type of resource.');
    found.push({ type, parameter, target, isIterated: modifier === 'iterate' });
  }
  return found;
}
