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
  /** With order and limit; `r` is the resource. */
  readonly page: (position: Position | undefined, count: number) => Sql;
  /** What the page is sorted by, as text; null where it is the key alone. */
  readonly sortColumn: Sql;
};

type SearchOptions = { readonly numbering: Numbering; readonly now: number; readonly withValue?: boolean };
type Printable = Pick<SearchRequest, 'type' | 'criteria' | 'sort'>;

type IndexCriterion = Exclude<Criterion, { kind: 'id' | 'last-updated' | 'has' }>;

/** Not so: criteria that ask for columns of the resource itself, not only for the key of its version. */
function isOfIndex(criterion: Criterion): criterion is IndexCriterion {
  return criterion.kind !== 'id' && criterion.kind !== 'last-updated' && criterion.kind !== 'has';
}

/** The resources that a search finds. With a sort by an element `withValue` says which half: those that have it, or those that do not. */
export async function printSearch(request: Printable, options: SearchOptions): Promise<PrintedSearch> {
  const { criteria, sort } = request;
  if (sort.by === 'id' || !criteria.every(isOfIndex)) return printOverResources(request, options);
  const isSorted = sort.by !== 'key' && options.withValue !== false;
  const first = isSorted ? undefined : criteria.find(isPositive);
  if (!isSorted && first === undefined) return printOverResources(request, options);
  return printOverKeys(request, options, first);
}

/** Whether a criterion is met by rows of the index, not by their absence. */
function isPositive(criterion: IndexCriterion): boolean {
  return !(criterion.kind === 'token' && criterion.isNot) && !(criterion.kind === 'missing' && criterion.isMissing);
}

async function printOverResources({ type, criteria, sort }: Printable, options: SearchOptions): Promise<PrintedSearch> {
  const context: Context = { ...options, depth: 0 };
  const r = sql.ref('r');
  const conditions = await Promise.all(criteria.map((criterion) => condition(criterion, r, context)));
  const where = sql.join([sql`r.type = ${type}`, sql`r.body is not null`, ...conditions], sql` and `);
  const direction = sort.isDescending ? sql`desc` : sql`asc`;
  const sorted = await printSort(sort, options, r);
  const join = sorted.table === undefined ? sql`` : sql`join ${sorted.table} s on s.version_key = r.version_key`;
  const from = sql`from fhir_resource r ${join} where ${where} and ${sorted.where} ${earlier(criteria, sort, options)}`;
  return {
    from,
    sortColumn: sorted.isByKey ? sql`null::text` : sql`${sorted.order}::text`,
    page(position, count) {
      const order = orderBy(sorted, direction);
      return sql`${from} ${position === undefined ? sql`` : after(sorted, position, sort.isDescending)} order by ${order} limit ${count}`;
    },
  };
}

/**
 * The page is found in the tables of the index alone, and only what is on it is read: a row of the index is of a current version, and
 * its place tells the type. `first`: the criterion whose rows are gone through; undefined: those of the sort.
 */
async function printOverKeys(
  { criteria, sort }: Printable,
  options: SearchOptions,
  first: IndexCriterion | undefined,
): Promise<PrintedSearch> {
  const context: Context = { ...options, depth: 0 };
  const s = sql.ref('s');
  const others = criteria.filter(
    (criterion) => criterion !== first && !(first === undefined && isBound(criterion, sort)),
  );
  const conditions = await Promise.all(others.map((criterion) => condition(criterion, s, context)));
  const direction = sort.isDescending ? sql`desc` : sql`asc`;
  const sorted = await printSort(sort, options, s);
  const start =
    first === undefined ? sql`${sorted.table}` : sql`(select i.version_key ${await holders(first, context)})`;
  const where = sql.join([sorted.where, ...conditions], sql` and `);
  const from = sql`from ${start} s where ${where} ${earlier(criteria, sort, options)}`;
  // A resource has one row that leads in a sort, but may meet a criterion by several.
  const columns = sorted.isByKey ? sql`distinct s.version_key` : sql`s.version_key, ${sorted.order} as sorted`;
  return {
    from: sql`from (select ${columns} ${from}) f`,
    sortColumn: sorted.isByKey ? sql`null::text` : sql`f.sorted::text`,
    page(position, count) {
      const beyond = position === undefined ? sql`` : after(sorted, position, sort.isDescending);
      const found = sql`select ${columns} ${from} ${beyond} order by ${orderBy(sorted, direction)} limit ${count}`;
      const order = sorted.isByKey
        ? sql`r.version_key ${direction}`
        : sql`f.sorted ${direction}, r.version_key ${direction}`;
      return sql`from (${found}) f join fhir_resource r on r.version_key = f.version_key order by ${order}`;
    },
  };
}

/** Whether a criterion says no more than `earlier`: what leads is the earliest, so if any value begins before a time, that one does. */
function isBound(criterion: Criterion, sort: Sort): boolean {
  if (sort.by !== 'date' || criterion.kind !== 'date' || criterion.values.length !== 1) return false;
  return criterion.places.length === 1 && criterion.places[0] === sort.place && criterion.values[0]?.prefix === 'lt';
}

function orderBy({ isByKey, key, order }: PrintedSort, direction: Sql): Sql {
  return isByKey ? sql`${key} ${direction}` : sql`${order} ${direction}, ${key} ${direction}`;
}

function earlier(criteria: readonly Criterion[], sort: Sort, { withValue }: SearchOptions): Sql {
  const bound = sort.by === 'date' && withValue !== false ? upperBound(criteria, sort.place) : undefined;
  return bound === undefined ? sql`` : sql`and s.low < ${timeText(bound)}::timestamptz`;
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
  /** Under the name s; undefined: none is needed. */
  readonly table: Sql | undefined;
  readonly where: Sql;
  readonly order: Sql;
  readonly key: Sql;
  readonly cast: Sql;
  readonly isByKey: boolean;
};

/** `holder`: the row that has the key of the version. */
async function printSort(sort: Sort, { numbering, withValue }: SearchOptions, holder: Sql): Promise<PrintedSort> {
  const key = sql`${holder}.version_key`;
  const byKey: PrintedSort = { table: undefined, where: sql`true`, order: key, key, cast: sql``, isByKey: true };
  if (sort.by === 'key') return byKey;
  if (sort.by === 'id') return { ...byKey, order: sql`r.id`, cast: sql`::text`, isByKey: false };
  const [place = 0] = await numbering.findPlaces([sort.place]);
  const table = sql.table(sort.by === 'date' ? 'fhir_date' : 'fhir_string');
  if (withValue === false) {
    const held = sql`v.version_key = ${key} and v.place_id = ${place} and v.leads`;
    return { ...byKey, where: sql`not exists (select from ${table} v where ${held})` };
  }
  return {
    ...byKey,
    table,
    where: sql`s.place_id = ${place} and s.leads`,
    order: sort.by === 'date' ? sql`s.low` : sql`s.folded`,
    cast: sort.by === 'date' ? sql`::timestamptz` : sql`::text`,
    isByKey: false,
  };
}

/** Row comparison, so that the next page begins exactly after the last row of this one. */
function after(sorted: PrintedSort, { key, value }: Position, isDescending: boolean): Sql {
  const operator = isDescending ? sql`<` : sql`>`;
  if (sorted.isByKey) return sql`and ${sorted.key} ${operator} ${key}::bigint`;
  return sql`and (${sorted.order}, ${sorted.key}) ${operator} (${value}${sorted.cast}, ${key}::bigint)`;
}

/** `r`: whatever has the key of the version; the resource itself for the kinds that need it. */
async function condition(criterion: Criterion, r: Sql, context: Context): Promise<Sql> {
  switch (criterion.kind) {
    case 'id':
      return criterion.isNot
        ? sql`not (${r}.id = any(${criterion.ids}::text[]))`
        : sql`${r}.id = any(${criterion.ids}::text[])`;
    case 'last-updated':
      return any(criterion.values.map((value) => instantCondition(sql`${r}.last_updated`, value, context.now)));
    case 'has':
      return hasCondition(criterion, r, context);
    default: {
      const inner = await holders(criterion, context);
      return isPositive(criterion)
        ? sql`${r}.version_key in (select i.version_key ${inner})`
        : sql`not exists (select ${inner} and i.version_key = ${r}.version_key)`;
    }
  }
}

/** The rows of the index, under the name i, of versions that meet a criterion; or, where it is negative, of those that do not. */
async function holders(criterion: IndexCriterion, context: Context): Promise<Sql> {
  const { numbering } = context;
  const places = await numbering.findPlaces(criterion.places);
  switch (criterion.kind) {
    case 'missing':
      return sql`from ${sql.table(criterion.table)} i where ${placeCondition(criterion.table, places)}`;
    case 'token': {
      const values = await Promise.all(criterion.values.map((value) => tokenCondition(value, places, numbering)));
      return sql`from fhir_token i where ${any(values)}`;
    }
    case 'reference': {
      const terms = places.flatMap((place) => criterion.targets.map((target) => termOf(place, target)));
      return sql`from fhir_reference i where ${termCondition(terms)}`;
    }
    case 'string': {
      const values = criterion.values.map(stringCondition);
      return sql`from fhir_string i where ${among(sql`i.place_id`, places)} and ${any(values)}`;
    }
    case 'date': {
      const values = criterion.values.map((value) => dateCondition(value, context.now));
      return sql`from fhir_date i where ${among(sql`i.place_id`, places)} and ${any(values)}`;
    }
    case 'quantity': {
      const values = await Promise.all(criterion.values.map((value) => quantityCondition(value, numbering)));
      return sql`from fhir_quantity i where ${among(sql`i.place_id`, places)} and ${any(values)}`;
    }
    case 'chain':
      return chainHolders(criterion, places, context);
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

async function chainHolders(
  { types, criteria }: Extract<Criterion, { kind: 'chain' }>,
  placeIds: readonly number[],
  context: Context,
): Promise<Sql> {
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
  const terms = selects.length === 0 ? NOTHING : sql`i.term in (${sql.join(selects, sql` union all `)})`;
  return sql`from fhir_reference i where ${terms}`;
}

/**
 * The ids of resources that are pointed to. Rows of an index are of current resources, and its place tells their type, so the resource
 * that points is looked at only where the criterion needs it. The beginning of a term is compared so that no index is used for it:
 * the planner takes the terms of a whole place for a few and would go through all of them.
 */
async function hasCondition(
  { target, places, criterion }: Extract<Criterion, { kind: 'has' }>,
  r: Sql,
  context: Context,
): Promise<Sql> {
  const placeIds = await context.numbering.findPlaces(places);
  const depth = context.depth + 1;
  const [reference, holder] = [sql.ref(`h${depth}`), sql.ref(`r${depth}`)];
  const isJoined = !isOfIndex(criterion);
  const inner = await condition(criterion, isJoined ? holder : reference, { ...context, depth });
  const join = isJoined
    ? sql`join fhir_resource as ${holder} on ${holder}.version_key = ${reference}.version_key`
    : sql``;
  const ids = placeIds.map((place) => {
    const prefix = termOf(place, `${target}/`);
    return sql`
      select substr(${reference}.term, ${prefix.length + 1}::int) from fhir_reference as ${reference} ${join}
      where left(${reference}.term, ${prefix.length}::int) = ${prefix} and ${inner}`;
  });
  return ids.length === 0 ? NOTHING : sql`${r}.id in (${sql.join(ids, sql` union all `)})`;
}
