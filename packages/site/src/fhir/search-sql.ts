/**
 * A search as SQL over the index tables. Each criterion is a condition on `version_key`, so that the planner may begin with whichever
 * is rarest. Whatever a caller wrote is bound, never printed into the text.
 */
import { foldText } from '@lantern/hl7';
import { type RawBuilder, sql } from 'kysely';
import { type Numbering, termOf, timeText } from './index-rows.ts';
import type { Criterion, SearchRequest, Sort } from './search-request.ts';
import type { DateValue, Prefix, QuantityValue, StringValue, TokenValue } from './search-value.ts';

type Sql = RawBuilder<unknown>;

/** Resources of each alias are named by depth: `r` of the search itself, `r1` of a chain in it. */
type Context = { readonly numbering: Numbering; readonly now: number; readonly depth: number };

/** Nearness of the prefix ap: a tenth of the distance to now, or of the value (R4 search.html#prefix). */
const APPROXIMATE_SHARE = 0.1;

const NOTHING: Sql = sql`false`;

function any(conditions: readonly Sql[]): Sql {
  return conditions.length === 0 ? NOTHING : sql`(${sql.join(conditions, sql` or `)})`;
}

function among(column: Sql, ids: readonly number[]): Sql {
  return ids.length === 1 ? sql`${column} = ${ids[0]}` : sql`${column} = any(${ids}::int[])`;
}

export type Position = { readonly key: string; readonly value: string | null };

export type PrintedSearch = {
  /** `from ... where ...`, for a count. */
  readonly from: Sql;
  /** With order and limit. */
  readonly page: (position: Position | undefined, count: number) => Sql;
  /** What the page is sorted by, as text; null where it is the key alone. */
  readonly sortColumn: Sql;
};

/** The resources that a search finds. With a sort by an element `withValue` says which half: those that have it, or those that do not. */
export async function printSearch(
  { type, criteria, sort }: Pick<SearchRequest, 'type' | 'criteria' | 'sort'>,
  options: { readonly numbering: Numbering; readonly now: number; readonly withValue?: boolean },
): Promise<PrintedSearch> {
  const context: Context = { ...options, depth: 0 };
  const conditions = await Promise.all(criteria.map((criterion) => condition(criterion, sql.ref('r'), context)));
  const where = sql.join([sql`r.type = ${type}`, sql`r.body is not null`, ...conditions], sql` and `);
  const direction = sort.isDescending ? sql`desc` : sql`asc`;
  const sorted = await printSort(sort, options);
  const bound = sort.by === 'date' && options.withValue !== false ? upperBound(criteria, sort.place) : undefined;
  const bounded = bound === undefined ? sql`` : sql`and s.low < ${timeText(bound)}::timestamptz`;
  const from = sql`from fhir_resource r ${sorted.join} where ${where} ${sorted.where} ${bounded}`;
  return {
    from,
    sortColumn: sorted.column,
    page(position, count) {
      const order = sorted.isByKey
        ? sql`r.version_key ${direction}`
        : sql`${sorted.order} ${direction}, r.version_key ${direction}`;
      return sql`${from} ${position === undefined ? sql`` : after(sorted, position, sort.isDescending)} order by ${order} limit ${count}`;
    },
  };
}

/**
 * Before which time a resource begins that meets a criterion on the very date it is sorted by; undefined: at any. Whoever asks for what
 * is old, newest first, would else wait while all that is newer is passed over.
 */
function upperBound(criteria: readonly Criterion[], place: string): number | undefined {
  const bounds = criteria.flatMap((criterion) => {
    if (criterion.kind !== 'date' || criterion.places.length !== 1 || criterion.places[0] !== place) return [];
    const ends = criterion.values.map(({ prefix, low, high }) => {
      if (prefix === 'lt' || prefix === 'eb') return low;
      return prefix === 'le' || prefix === 'eq' ? high : Number.POSITIVE_INFINITY;
    });
    return Math.max(...ends);
  });
  const bound = Math.min(...bounds);
  return Number.isFinite(bound) ? bound : undefined;
}

type PrintedSort = {
  readonly join: Sql;
  readonly where: Sql;
  readonly order: Sql;
  readonly cast: Sql;
  readonly column: Sql;
  readonly isByKey: boolean;
};

const BY_KEY: PrintedSort = {
  join: sql``,
  where: sql``,
  order: sql`r.version_key`,
  cast: sql``,
  column: sql`null::text`,
  isByKey: true,
};

async function printSort(
  sort: Sort,
  { numbering, withValue }: { numbering: Numbering; withValue?: boolean },
): Promise<PrintedSort> {
  if (sort.by === 'key') return BY_KEY;
  if (sort.by === 'id') return { ...BY_KEY, order: sql`r.id`, cast: sql`::text`, column: sql`r.id`, isByKey: false };
  const [place = 0] = await numbering.findPlaces([sort.place]);
  const table = sql.table(sort.by === 'date' ? 'fhir_date' : 'fhir_string');
  const held = sql`s.version_key = r.version_key and s.place_id = ${place} and s.leads`;
  if (withValue === false) return { ...BY_KEY, where: sql`and not exists (select from ${table} s where ${held})` };
  const column = sort.by === 'date' ? sql`s.low` : sql`s.folded`;
  return {
    join: sql`join ${table} s on ${held}`,
    where: sql``,
    order: column,
    cast: sort.by === 'date' ? sql`::timestamptz` : sql`::text`,
    column: sql`${column}::text`,
    isByKey: false,
  };
}

/** Row comparison, so that the next page begins exactly after the last row of this one. */
function after(sorted: PrintedSort, { key, value }: Position, isDescending: boolean): Sql {
  const operator = isDescending ? sql`<` : sql`>`;
  if (sorted.isByKey) return sql`and r.version_key ${operator} ${key}::bigint`;
  return sql`and (${sorted.order}, r.version_key) ${operator} (${value}${sorted.cast}, ${key}::bigint)`;
}

async function condition(criterion: Criterion, r: Sql, context: Context): Promise<Sql> {
  const { numbering } = context;
  const holds = (inner: Sql, isNot = false): Sql =>
    isNot
      ? sql`not exists (select ${inner} and i.version_key = ${r}.version_key)`
      : sql`${r}.version_key in (select i.version_key ${inner})`;
  switch (criterion.kind) {
    case 'id':
      return criterion.isNot
        ? sql`not (${r}.id = any(${criterion.ids}::text[]))`
        : sql`${r}.id = any(${criterion.ids}::text[])`;
    case 'last-updated':
      return any(criterion.values.map((value) => instantCondition(sql`${r}.last_updated`, value, context.now)));
    case 'missing': {
      const places = await numbering.findPlaces(criterion.places);
      const inner = sql`from ${sql.table(criterion.table)} i where ${placeCondition(criterion.table, places)}`;
      return holds(inner, criterion.isMissing);
    }
    case 'token': {
      const places = await numbering.findPlaces(criterion.places);
      const values = await Promise.all(criterion.values.map((value) => tokenCondition(value, places, numbering)));
      return holds(sql`from fhir_token i where ${any(values)}`, criterion.isNot);
    }
    case 'reference': {
      const places = await numbering.findPlaces(criterion.places);
      const terms = places.flatMap((place) => criterion.targets.map((target) => termOf(place, target)));
      return holds(sql`from fhir_reference i where ${termCondition(terms)}`);
    }
    case 'string': {
      const places = among(sql`i.place_id`, await numbering.findPlaces(criterion.places));
      return holds(sql`from fhir_string i where ${places} and ${any(criterion.values.map(stringCondition))}`);
    }
    case 'date': {
      const places = among(sql`i.place_id`, await numbering.findPlaces(criterion.places));
      const values = criterion.values.map((value) => dateCondition(value, context.now));
      return holds(sql`from fhir_date i where ${places} and ${any(values)}`);
    }
    case 'quantity': {
      const places = among(sql`i.place_id`, await numbering.findPlaces(criterion.places));
      const values = await Promise.all(criterion.values.map((value) => quantityCondition(value, numbering)));
      return holds(sql`from fhir_quantity i where ${places} and ${any(values)}`);
    }
    case 'chain':
      return chainCondition(criterion, r, context);
    case 'has':
      return hasCondition(criterion, r, context);
  }
}

function termCondition(terms: readonly string[]): Sql {
  return terms.length === 1 ? sql`i.term = ${terms[0]}` : sql`i.term = any(${terms}::text[])`;
}

/** All rows of places: terms begin with the number of the place and a bar, which `}` follows. */
function placeCondition(table: string, places: readonly number[]): Sql {
  if (table !== 'fhir_token' && table !== 'fhir_reference') return among(sql`i.place_id`, places);
  return any(places.map((place) => sql`(i.term >= ${`${place}|`} and i.term < ${`${place}}`})`));
}

async function tokenCondition(
  { system, code }: TokenValue,
  places: readonly number[],
  numbering: Numbering,
): Promise<Sql> {
  const systemId = typeof system === 'string' ? await numbering.findSystem(system) : undefined;
  if (typeof system === 'string' && systemId === undefined) return NOTHING;
  const ofSystem =
    system === undefined ? sql`` : system === null ? sql`and i.system_id is null` : sql`and i.system_id = ${systemId}`;
  const term =
    code === undefined
      ? placeCondition('fhir_token', places)
      : termCondition(places.map((place) => termOf(place, code)));
  return sql`(${term} ${ofSystem})`;
}

/** Above every text that begins with the one before it. */
const LAST_CHARACTER = '\u{10ffff}';

function stringCondition({ mode, text }: StringValue): Sql {
  const folded = foldText(text);
  if (mode === 'exact') return sql`(i.folded = ${folded} and i.exact = ${text})`;
  if (mode === 'contains') return sql`i.folded like ${`%${folded.replaceAll(/[\\%_]/g, '\\$&')}%`}`;
  return sql`(i.folded >= ${folded} and i.folded < ${folded + LAST_CHARACTER})`;
}

/** A stretch of time in the index against the one that is asked for. */
function dateCondition({ prefix, low, high }: DateValue, now: number): Sql {
  const at = (ms: number): Sql => sql`${timeText(ms)}::timestamptz`;
  switch (prefix) {
    case 'eq':
      return sql`(i.low >= ${at(low)} and i.low < ${at(high)} and i.high <= ${at(high)})`;
    case 'ne':
      return sql`not (i.low >= ${at(low)} and i.high <= ${at(high)})`;
    case 'gt':
      return sql`i.high > ${at(high)}`;
    case 'ge':
      return sql`(i.high > ${at(high)} or (i.high > ${at(low)} and i.low >= ${at(low)}))`;
    case 'lt':
      return sql`i.low < ${at(low)}`;
    case 'le':
      return sql`(i.low < ${at(low)} or (i.low < ${at(high)} and i.high <= ${at(high)}))`;
    case 'sa':
      return sql`i.low >= ${at(high)}`;
    case 'eb':
      return sql`i.high <= ${at(low)}`;
    case 'ap': {
      const slack = Math.abs(now - (low + high) / 2) * APPROXIMATE_SHARE;
      return sql`(i.low < ${at(high + slack)} and i.high > ${at(low - slack)})`;
    }
  }
}

function instantCondition(column: Sql, { prefix, low, high }: DateValue, now: number): Sql {
  const at = (ms: number): Sql => sql`${timeText(ms)}::timestamptz`;
  switch (prefix) {
    case 'eq':
      return sql`(${column} >= ${at(low)} and ${column} < ${at(high)})`;
    case 'ne':
      return sql`not (${column} >= ${at(low)} and ${column} < ${at(high)})`;
    case 'gt':
    case 'sa':
      return sql`${column} >= ${at(high)}`;
    case 'ge':
      return sql`${column} >= ${at(low)}`;
    case 'lt':
    case 'eb':
      return sql`${column} < ${at(low)}`;
    case 'le':
      return sql`${column} < ${at(high)}`;
    case 'ap': {
      const slack = Math.abs(now - (low + high) / 2) * APPROXIMATE_SHARE;
      return sql`(${column} >= ${at(low - slack)} and ${column} < ${at(high + slack)})`;
    }
  }
}

async function quantityCondition({ unit, ...value }: QuantityValue, numbering: Numbering): Promise<Sql> {
  if (unit.kind === 'any') return sql`(${numberCondition(sql`i.value`, value)})`;
  if (unit.kind === 'canonical') {
    return sql`(i.canonical_unit = ${unit.unit} and ${numberCondition(sql`i.canonical_value`, value)})`;
  }
  const number = numberCondition(sql`i.value`, value);
  if (unit.system === undefined) return sql`(${number} and (i.code = ${unit.code} or i.unit = ${unit.code}))`;
  const systemId = await numbering.findSystem(unit.system);
  return systemId === undefined ? NOTHING : sql`(${number} and i.code = ${unit.code} and i.system_id = ${systemId})`;
}

function numberCondition(
  column: Sql,
  { prefix, value, low, high }: { prefix: Prefix; value: number; low: number; high: number },
): Sql {
  switch (prefix) {
    case 'eq':
      return sql`${column} >= ${low} and ${column} < ${high}`;
    case 'ne':
      return sql`not (${column} >= ${low} and ${column} < ${high})`;
    case 'gt':
    case 'sa':
      return sql`${column} > ${value}`;
    case 'ge':
      return sql`${column} >= ${value}`;
    case 'lt':
    case 'eb':
      return sql`${column} < ${value}`;
    case 'le':
      return sql`${column} <= ${value}`;
    case 'ap': {
      const slack = Math.max(Math.abs(value) * APPROXIMATE_SHARE, high - value);
      return sql`${column} >= ${value - slack} and ${column} <= ${value + slack}`;
    }
  }
}

async function chainCondition(
  { places, types, criteria }: Extract<Criterion, { kind: 'chain' }>,
  r: Sql,
  context: Context,
): Promise<Sql> {
  const placeIds = await context.numbering.findPlaces(places);
  const alias = `r${context.depth + 1}`;
  const target = sql.ref(alias);
  const selects: Sql[] = [];
  for (const [index, type] of types.entries()) {
    const criterion = criteria[index];
    if (criterion === undefined) continue;
    const inner = await condition(criterion, target, { ...context, depth: context.depth + 1 });
    for (const place of placeIds) {
      selects.push(sql`
        select ${`${place}|${type}/`} || ${target}.id from fhir_resource as ${sql.raw(alias)}
        where ${target}.type = ${type} and ${target}.body is not null and ${inner}`);
    }
  }
  if (selects.length === 0) return NOTHING;
  return sql`${r}.version_key in (select i.version_key from fhir_reference i where i.term in (${sql.join(selects, sql` union all `)}))`;
}

/** Criteria that ask for columns of the resource itself, not only for the key of its version. */
const NEED_RESOURCE: ReadonlySet<Criterion['kind']> = new Set(['id', 'last-updated', 'has']);

/**
 * The ids of resources that are pointed to. Rows of an index are of current resources, and its place tells their type, so the resource
 * that points is looked at only where the criterion needs it.
 */
async function hasCondition(
  { target, places, criterion }: Extract<Criterion, { kind: 'has' }>,
  r: Sql,
  context: Context,
): Promise<Sql> {
  const placeIds = await context.numbering.findPlaces(places);
  const depth = context.depth + 1;
  const [reference, holder] = [sql.ref(`h${depth}`), sql.ref(`r${depth}`)];
  const isJoined = NEED_RESOURCE.has(criterion.kind);
  const inner = await condition(criterion, isJoined ? holder : reference, { ...context, depth });
  const join = isJoined
    ? sql`join fhir_resource as ${holder} on ${holder}.version_key = ${reference}.version_key`
    : sql``;
  const ids = placeIds.map((place) => {
    const prefix = termOf(place, `${target}/`);
    const last = termOf(place, `${target}0`); // "0" follows "/"
    return sql`
      select substr(${reference}.term, ${prefix.length + 1}::int) from fhir_reference as ${reference} ${join}
      where ${reference}.term >= ${prefix} and ${reference}.term < ${last} and ${inner}`;
  });
  return ids.length === 0 ? NOTHING : sql`${r}.id in (${sql.join(ids, sql` union all `)})`;
}
