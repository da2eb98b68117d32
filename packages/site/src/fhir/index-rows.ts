/** What a resource can be found by, as rows of the index tables: places and systems as numbers. */
import type { SearchValues } from '@lantern/hl7';
import type { AnyTx, Database } from '@lantern/service';
import {
  bigintArray,
  booleanArray,
  doubleArray,
  integerArray,
  textArray,
  timeArray,
  transactionOf,
} from '@lantern/service';
import { sql } from 'kysely';

/** Columns side by side, as `unnest` takes them. */
export type IndexRows = {
  readonly token: { term: string[]; system: (number | null)[]; key: bigint[] };
  readonly reference: { term: string[]; key: bigint[] };
  readonly string: { place: number[]; folded: string[]; exact: string[]; leads: boolean[]; key: bigint[] };
  readonly date: { place: number[]; low: number[]; high: number[]; leads: boolean[]; key: bigint[] };
  readonly quantity: {
    place: number[];
    value: number[];
    system: (number | null)[];
    code: (string | null)[];
    unit: (string | null)[];
    canonicalValue: (number | null)[];
    canonicalUnit: (string | null)[];
    key: bigint[];
  };
};

/** Systems beyond so many are asked of the database each time: a sender may make up as many as it likes. */
const REMEMBERED_MAX = 20_000;

export type Numbering = {
  /** Numbers for all places and systems in `values`; new ones are made in a transaction of their own and stay. */
  learn(values: readonly SearchValues[]): Promise<void>;
  /** After `learn`. */
  place(place: string): number;
  system(system: string | undefined): number | null;
  /** Of a place or system that may never have been stored. */
  findPlaces(places: readonly string[]): Promise<number[]>;
  findSystem(system: string): Promise<number | undefined>;
};

type Kind = 'place' | 'system';

export function createNumbering(database: Database): Numbering {
  const known = { place: new Map<string, number>(), system: new Map<string, number>() };
  const db = database.kysely();

  async function find(kind: Kind, names: readonly string[]): Promise<void> {
    const { rows } = await sql<{ name: string; number: number }>`
      select ${sql.ref(kind)} as name, ${sql.ref(`${kind}_id`)} as number from ${sql.table(`fhir_${kind}`)}
      where ${sql.ref(kind)} = any(${names}::text[])`.execute(db);
    for (const { name, number } of rows) known[kind].set(name, number);
  }

  async function make(kind: Kind, names: ReadonlySet<string>): Promise<void> {
    const missing = [...names].filter((name) => !known[kind].has(name)).sort();
    if (missing.length === 0) return;
    if (known[kind].size > REMEMBERED_MAX) known[kind].clear();
    await find(kind, [...names]);
    const unknown = missing.filter((name) => !known[kind].has(name));
    if (unknown.length === 0) return;
    await sql`
      insert into ${sql.table(`fhir_${kind}`)} (${sql.ref(kind)}) select unnest(${unknown}::text[]) on conflict do nothing`.execute(
      db,
    );
    await find(kind, unknown);
  }

  return {
    async learn(values) {
      const places = new Set<string>();
      const systems = new Set<string>();
      for (const { tokens, references, strings, dates, quantities } of values) {
        for (const list of [tokens, references, strings, dates, quantities])
          for (const { place } of list) places.add(place);
        for (const list of [tokens, quantities])
          for (const { system } of list) if (system !== undefined) systems.add(system);
      }
      await make('place', places);
      await make('system', systems);
    },
    place: (place) => known.place.get(place) ?? 0,
    system: (system) => (system === undefined ? null : (known.system.get(system) ?? null)),
    async findPlaces(places) {
      if (places.some((place) => !known.place.has(place))) await find('place', places);
      return places.flatMap((place) => known.place.get(place) ?? []);
    },
    async findSystem(system) {
      if (!known.system.has(system)) await find('system', [system]);
      return known.system.get(system);
    },
  };
}

export function termOf(placeId: number, value: string): string {
  return `${placeId}|${value}`;
}

export function emptyRows(): IndexRows {
  return {
    token: { term: [], system: [], key: [] },
    reference: { term: [], key: [] },
    string: { place: [], folded: [], exact: [], leads: [], key: [] },
    date: { place: [], low: [], high: [], leads: [], key: [] },
    quantity: { place: [], value: [], system: [], code: [], unit: [], canonicalValue: [], canonicalUnit: [], key: [] },
  };
}

/** Adds the rows of the version `key`. Equal values of one resource become one row. */
export function addRows(rows: IndexRows, values: SearchValues, key: bigint, { place, system }: Numbering): void {
  const seen = new Set<string>();
  for (const token of values.tokens) {
    const term = termOf(place(token.place), token.code);
    const systemId = system(token.system);
    if (isSeen(seen, `t${systemId}|${term}`)) continue;
    rows.token.term.push(term);
    rows.token.system.push(systemId);
    rows.token.key.push(key);
  }
  for (const { place: at, target } of values.references) {
    const term = termOf(place(at), target);
    if (isSeen(seen, `r${term}`)) continue;
    rows.reference.term.push(term);
    rows.reference.key.push(key);
  }
  for (const { place: at, folded, exact } of values.strings) {
    if (isSeen(seen, `s${place(at)}|${exact}`)) continue;
    rows.string.place.push(place(at));
    rows.string.folded.push(folded);
    rows.string.exact.push(exact);
    rows.string.leads.push(!isSeen(seen, `l${place(at)}`));
    rows.string.key.push(key);
  }
  const earliest = new Map<string, number>();
  for (const { place: at, low } of values.dates) earliest.set(at, Math.min(low, earliest.get(at) ?? low));
  for (const { place: at, low, high } of values.dates) {
    rows.date.leads.push(earliest.get(at) === low && !isSeen(seen, `d${at}`));
    rows.date.place.push(place(at));
    rows.date.low.push(low);
    rows.date.high.push(high);
    rows.date.key.push(key);
  }
  for (const value of values.quantities) addQuantity(rows.quantity, value, key, { place, system });
}

function addQuantity(
  to: IndexRows['quantity'],
  value: SearchValues['quantities'][number],
  key: bigint,
  { place, system }: Pick<Numbering, 'place' | 'system'>,
): void {
  to.place.push(place(value.place));
  to.value.push(value.value);
  to.system.push(system(value.system));
  to.code.push(value.code ?? null);
  to.unit.push(value.unit ?? null);
  to.canonicalValue.push(value.canonical?.value ?? null);
  to.canonicalUnit.push(value.canonical?.unit ?? null);
  to.key.push(key);
}

function isSeen(seen: Set<string>, key: string): boolean {
  if (seen.has(key)) return true;
  seen.add(key);
  return false;
}

/** The first moment of the year 1, before which no date of FHIR lies. */
const FIRST_MS = -62_135_596_800_000;

/** Milliseconds as PostgreSQL reads them, with its own words for times without end, and no sign before the year 10000. */
export function timeText(ms: number): string {
  if (ms < FIRST_MS) return '-infinity';
  return Number.isFinite(ms) ? new Date(ms).toISOString().replace(/^\+0*/, '') : 'infinity';
}

/** One statement for all tables. */
export async function insertRows(tx: AnyTx, { token, reference, string, date, quantity }: IndexRows): Promise<void> {
  await sql`
    with tokens as (
      insert into fhir_token (term, system_id, version_key)
      select * from unnest(${textArray(token.term)}::text[], ${integerArray(token.system)}::int[], ${bigintArray(token.key)}::bigint[])
    ), reference as (
      insert into fhir_reference (term, version_key)
      select * from unnest(${textArray(reference.term)}::text[], ${bigintArray(reference.key)}::bigint[])
    ), strings as (
      insert into fhir_string (place_id, folded, exact, leads, version_key)
      select * from unnest(${integerArray(string.place)}::int[], ${textArray(string.folded)}::text[], ${textArray(string.exact)}::text[], ${booleanArray(string.leads)}::boolean[],
        ${bigintArray(string.key)}::bigint[])
    ), dates as (
      insert into fhir_date (place_id, low, high, leads, version_key)
      select * from unnest(${integerArray(date.place)}::int[], ${timeArray(date.low)}::timestamptz[], ${timeArray(date.high)}::timestamptz[], ${booleanArray(date.leads)}::boolean[],
        ${bigintArray(date.key)}::bigint[])
    )
    insert into fhir_quantity (place_id, value, system_id, code, unit, canonical_value, canonical_unit, version_key)
    select * from unnest(${integerArray(quantity.place)}::int[], ${doubleArray(quantity.value)}::float8[], ${integerArray(quantity.system)}::int[], ${textArray(quantity.code)}::text[],
      ${textArray(quantity.unit)}::text[], ${doubleArray(quantity.canonicalValue)}::float8[], ${textArray(quantity.canonicalUnit)}::text[], ${bigintArray(quantity.key)}::bigint[])`.execute(
    transactionOf(tx),
  );
}

/** Removes the rows of versions that are no longer current, by their values, for which there are indexes. */
export async function deleteRows(tx: AnyTx, { token, reference, string, date, quantity }: IndexRows): Promise<void> {
  await sql`
    with tokens as (
      delete from fhir_token using unnest(${textArray(token.term)}::text[], ${bigintArray(token.key)}::bigint[]) as old (term, key)
      where fhir_token.term = old.term and version_key = old.key
    ), reference as (
      delete from fhir_reference where version_key = any(${bigintArray(reference.key)}::bigint[])
    ), strings as (
      delete from fhir_string where version_key = any(${bigintArray(string.key)}::bigint[])
    ), dates as (
      delete from fhir_date where version_key = any(${bigintArray(date.key)}::bigint[])
    )
    delete from fhir_quantity using unnest(${integerArray(quantity.place)}::int[], ${doubleArray(quantity.value)}::float8[], ${bigintArray(quantity.key)}::bigint[]) as old (place, value, key)
    where place_id = old.place and fhir_quantity.value = old.value and version_key = old.key`.execute(
    transactionOf(tx),
  );
}
