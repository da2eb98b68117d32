/** Runs a search and puts its page together: matches, what they include, and the link to the next page. */
import {
  isJsonObject,
  isResourceType,
  type JsonObject,
  parseJson,
  placeOf,
  searchParametersOf,
  searchValuesOf,
  writeJson,
} from '@lantern/hl7';
import type { AnyTx, Clock } from '@lantern/service';
import { answerOf, type BundleLink, bundleText, type FhirAnswer, versionText } from './answer.ts';
import { FhirFault } from './fhir-fault.ts';
import type { FhirStore } from './fhir-store.ts';
import { termOf } from './index-rows.ts';
import { FHIR_JSON_LIMITS, INCLUDED_COUNT_MAX, ITERATE_DEPTH_MAX } from './limits.ts';
import { type Include, readSearch, type SearchRequest } from './search-request.ts';
import { type Position, type PrintedSearch, printSearch } from './search-sql.ts';
import {
  countRows,
  nameText,
  type ResourceName,
  readCurrent,
  readReferring,
  type StoredVersion,
  searchRows,
} from './store.ts';

export type SearchDeps = { readonly store: FhirStore; readonly clock: Clock };
type Match = StoredVersion & { readonly sortKey: string | null };

/** Where a page ended: in which half of a sorted search, and after which row. */
type Cursor = { readonly half: 'with' | 'without'; readonly position: Position | undefined };

export async function search(deps: SearchDeps, request: SearchRequest, base: string): Promise<FhirAnswer> {
  const now = deps.clock.now().getTime();
  const links: BundleLink[] = [{ relation: 'self', url: urlOf(request, base, undefined) }];
  if (request.isCountOnly || request.count === 0) {
    return answerOf(200, bundleText('searchset', [], { total: await countMatches(deps, request, now), links }));
  }
  const total = request.isTotalWanted ? await countMatches(deps, request, now) : undefined;
  const { matches, next } = await matchPage(deps, request, now);
  if (next !== undefined) links.push({ relation: 'next', url: urlOf(request, base, next) });
  const included = await includedWith(deps, request, matches);
  const entries = [
    ...matches.map((match) => entryText(match, base, { mode: 'match', elements: request.elements })),
    ...included.map((version) => entryText(version, base, { mode: 'include', elements: undefined })),
  ];
  return answerOf(200, bundleText('searchset', entries, { total, links }));
}

/** The names that a conditional interaction matches, at most two: more than one is refused anyway. */
export async function matchingNames(
  { store, clock }: SearchDeps,
  tx: AnyTx,
  { type, query, base }: { readonly type: string; readonly query: string; readonly base: string },
): Promise<ResourceName[]> {
  const request = readSearch(type, new URLSearchParams(query), base);
  if (request.criteria.length === 0)
    throw new FhirFault(400, 'required', 'A conditional interaction needs a criterion.');
  const printed = await printSearch(request, { numbering: store.numbering, now: clock.now().getTime() });
  return searchRows({ tx }, { from: printed.page(undefined, 2), extra: printed.sortColumn });
}

async function countMatches({ store }: SearchDeps, request: SearchRequest, now: number): Promise<number> {
  const sort = { by: 'key', isDescending: false } as const;
  const { from } = await printSearch({ ...request, sort }, { numbering: store.numbering, now });
  return countRows(store.database, from);
}

async function matchPage(
  { store }: SearchDeps,
  request: SearchRequest,
  now: number,
): Promise<{ matches: Match[]; next: Cursor | undefined }> {
  const wanted = request.count + 1;
  const cursor = readCursor(request.cursor);
  const isSortedByValue = request.sort.by === 'date' || request.sort.by === 'string';
  const print = (withValue: boolean): Promise<PrintedSearch> =>
    printSearch(request, { numbering: store.numbering, now, withValue });
  const take = async (half: Cursor['half'], position: Position | undefined, count: number): Promise<Match[]> => {
    const printed = await print(half === 'with');
    return searchRows({ database: store.database }, { from: printed.page(position, count), extra: printed.sortColumn });
  };
  const rows: (Match & { half: Cursor['half'] })[] = [];
  if (cursor.half === 'with') {
    for (const row of await take('with', cursor.position, wanted)) rows.push({ ...row, half: 'with' });
  }
  // Whatever lacks the element that is sorted by comes after all that have it.
  if (isSortedByValue && rows.length < wanted) {
    const position = cursor.half === 'without' ? cursor.position : undefined;
    for (const row of await take('without', position, wanted - rows.length)) rows.push({ ...row, half: 'without' });
  }
  const matches = rows.slice(0, request.count);
  const last = matches.at(-1);
  if (rows.length <= request.count || last === undefined) return { matches, next: undefined };
  return { matches, next: { half: last.half, position: { key: last.key, value: last.sortKey } } };
}

/** Not signed: whoever changes it sees another page of the same search, no more. */
function readCursor(written: string | undefined): Cursor {
  if (written === undefined) return { half: 'with', position: undefined };
  const [half, key, ...value] = Buffer.from(written, 'base64url').toString('utf8').split(' ');
  if ((half !== 'with' && half !== 'without') || key === undefined || !/^\d{1,18}$/.test(key)) {
    throw new FhirFault(400, 'invalid', '_cursor: it is taken from the link to the next page, as it is.');
  }
  return { half, position: { key, value: value.length === 0 ? null : value.join(' ') } };
}

function cursorText({ half, position }: Cursor): string {
  const value = position?.value ?? undefined;
  return Buffer.from([half, position?.key, ...(value === undefined ? [] : [value])].join(' ')).toString('base64url');
}

function urlOf({ type, query }: SearchRequest, base: string, next: Cursor | undefined): string {
  const parameters = new URLSearchParams(query);
  if (next !== undefined) parameters.set('_cursor', cursorText(next));
  const text = parameters.toString();
  return `${base}/${type}${text === '' ? '' : `?${text}`}`;
}

type EntryOptions = { readonly mode: 'match' | 'include'; readonly elements: readonly string[] | undefined };

function entryText(version: StoredVersion, base: string, { mode, elements }: EntryOptions): string {
  const resource = elements === undefined ? versionText(version) : subset(version, elements);
  return `{"fullUrl":"${base}/${nameText(version)}","resource":${resource},"search":{"mode":"${mode}"}}`;
}

/** The named elements, and those without which the resource would not be one; marked as a part (R4 search.html#elements). */
function subset(version: StoredVersion, elements: readonly string[]): string {
  const whole = parsed(version);
  const kept: JsonObject = {};
  const wanted = new Set(['resourceType', 'id', 'meta', 'status', 'code', 'subject', 'patient', ...elements]);
  for (const [name, value] of Object.entries(whole)) {
    if (wanted.has(name.replace(/^_/, '')) || elements.some((one) => name.startsWith(`${one}[`))) kept[name] = value;
  }
  const meta = isJsonObject(kept['meta']) ? kept['meta'] : {};
  const tags = Array.isArray(meta['tag']) ? meta['tag'] : [];
  const subsetted = { system: 'http://terminology.hl7.org/CodeSystem/v3-ObservationValue', code: 'SUBSETTED' };
  return writeJson({ ...kept, meta: { ...meta, tag: [...tags, subsetted] } });
}

function parsed(version: StoredVersion): JsonObject {
  const resource = parseJson(versionText(version), FHIR_JSON_LIMITS);
  return isJsonObject(resource) ? resource : {};
}

async function includedWith(
  { store }: SearchDeps,
  request: SearchRequest,
  matches: readonly Match[],
): Promise<StoredVersion[]> {
  const { includes, revIncludes } = request;
  if (includes.length === 0 && revIncludes.length === 0) return [];
  const found = new Map<string, StoredVersion>();
  const present = new Set(matches.map(nameText));
  const add = (versions: readonly StoredVersion[]): StoredVersion[] => {
    const fresh = versions.filter((version) => version.text !== undefined && !present.has(nameText(version)));
    for (const version of fresh) {
      present.add(nameText(version));
      found.set(nameText(version), version);
    }
    if (found.size > INCLUDED_COUNT_MAX) {
      throw new FhirFault(
        400,
        'too-costly',
        `_include: more than ${INCLUDED_COUNT_MAX} resources; ask for a smaller page.`,
      );
    }
    return fresh;
  };
  let level: readonly StoredVersion[] = matches;
  for (let depth = 0; depth <= ITERATE_DEPTH_MAX && level.length > 0; depth += 1) {
    const isUsed = (include: Include): boolean => depth === 0 || include.isIterated;
    const forward = await readCurrent(store.database, namesIncluded(level, includes.filter(isUsed)));
    const backward = await referring(store, level, revIncludes.filter(isUsed));
    level = add([...forward.values(), ...backward]);
  }
  return [...found.values()];
}

function placesOfParameter({ type, parameter }: Include): ReadonlySet<string> {
  const sources = searchParametersOf(type)[parameter]?.sources ?? [];
  return new Set(sources.map((source) => placeOf(type, source)));
}

function onlyTarget({ type, parameter, target }: Include): string | undefined {
  return target ?? searchParametersOf(type)[parameter]?.sources?.find((source) => source.target !== undefined)?.target;
}

function namesIncluded(from: readonly StoredVersion[], includes: readonly Include[]): ResourceName[] {
  const names = new Map<string, ResourceName>();
  for (const include of includes) {
    const places = placesOfParameter(include);
    const only = onlyTarget(include);
    for (const version of from) {
      if (version.type !== include.type) continue;
      for (const { place, target } of searchValuesOf(parsed(version)).references) {
        const [type = '', id = ''] = target.split('/');
        if (places.has(place) && isResourceType(type) && (only === undefined || only === type))
          names.set(target, { type, id });
      }
    }
  }
  return [...names.values()];
}

async function referring(
  store: FhirStore,
  to: readonly StoredVersion[],
  includes: readonly Include[],
): Promise<StoredVersion[]> {
  const terms: string[] = [];
  for (const include of includes) {
    const only = onlyTarget(include);
    for (const place of await store.numbering.findPlaces([...placesOfParameter(include)])) {
      for (const version of to) {
        if (only === undefined || only === version.type) terms.push(termOf(place, nameText(version)));
      }
    }
  }
  return terms.length === 0 ? [] : readReferring(store.database, terms, { count: INCLUDED_COUNT_MAX + 1 });
}
