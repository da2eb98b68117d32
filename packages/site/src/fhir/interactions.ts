/**
 * The interactions of FHIR's RESTful API on single resources (R4 http.html). Each ends in an answer; an answer to a write is made
 * after its transaction has been committed.
 */
import { randomUUID } from 'node:crypto';
import { isJsonObject, type JsonObject, validateResource, writeJson } from '@lantern/hl7';
import type { AnyTx, Clock } from '@lantern/service';
import { transactionOf } from '@lantern/service';
import { sql } from 'kysely';
import {
  answerOf,
  type BundleLink,
  bundleText,
  etagOf,
  type FhirAnswer,
  locationOf,
  outcomeAnswer,
  versionHeaders,
  versionText,
} from './answer.ts';
import { FhirFault } from './fhir-fault.ts';
import { type Change, type FhirStore, prepareResource, type Written } from './fhir-store.ts';
import { PAGE_COUNT_DEFAULT, PAGE_COUNT_MAX } from './limits.ts';
import { checkId, checkResource } from './resource-check.ts';
import { matchingNames } from './search.ts';
import {
  type HistoryPage,
  nameText,
  type ResourceName,
  readCurrent,
  readHistory,
  readVersion,
  type StoredVersion,
} from './store.ts';

export type InteractionDeps = { readonly store: FhirStore; readonly clock: Clock };

/** Headers that say under which condition something is done. */
export type Conditions = {
  readonly ifMatch?: string | undefined;
  readonly ifNoneMatch?: string | undefined;
  readonly ifNoneExist?: string | undefined;
  /** Of Prefer: what a write gives back. */
  readonly returns?: 'minimal' | 'representation' | 'OperationOutcome' | undefined;
};

export async function read(
  { store }: InteractionDeps,
  name: ResourceName,
  conditions: Conditions,
): Promise<FhirAnswer> {
  const version = (await readCurrent(store.database, [name])).get(nameText(name));
  if (version === undefined) throw new FhirFault(404, 'not-found', 'There is no such resource.');
  return versionAnswer(version, conditions);
}

export async function readOldVersion(
  { store }: InteractionDeps,
  name: ResourceName,
  version: string,
): Promise<FhirAnswer> {
  const number = /^[1-9]\d{0,8}$/.test(version) ? Number(version) : 0;
  const found = await readVersion(store.database, { ...name, version: number });
  if (found === undefined) throw new FhirFault(404, 'not-found', 'There is no such version.');
  return versionAnswer(found, {});
}

function versionAnswer(version: StoredVersion, { ifNoneMatch }: Conditions): FhirAnswer {
  if (version.text === undefined) throw new FhirFault(410, 'deleted', 'The resource was deleted.');
  if (ifNoneMatch === etagOf(version)) return answerOf(304, '', versionHeaders(version));
  return answerOf(200, versionText(version), versionHeaders(version));
}

/** `W/"3"` to 3. */
export function versionOfEtag(etag: string | undefined): number | undefined {
  if (etag === undefined) return undefined;
  const version = /^(?:W\/)?"([1-9]\d{0,8})"$/.exec(etag.trim())?.[1];
  if (version === undefined) throw new FhirFault(400, 'invalid', 'If-Match: it is written W/"VERSION".');
  return Number(version);
}

export function newResourceId(): string {
  return randomUUID();
}

export async function create(
  deps: InteractionDeps,
  { type, resource, base }: { readonly type: string; readonly resource: JsonObject; readonly base: string },
  { ifNoneExist, returns }: Conditions,
): Promise<FhirAnswer> {
  if (resource['resourceType'] !== type) throw wrongType();
  checkResource(resource);
  const name = { type, id: newResourceId() };
  const prepared = prepareResource(resource, name);
  const { written, existing } = await deps.store.transaction(async (tx) => {
    const found = ifNoneExist === undefined ? undefined : await oneMatch(deps, tx, { type, query: ifNoneExist, base });
    if (found !== undefined) return { written: undefined, existing: found };
    const [done] = await deps.store.write(tx, [{ kind: 'put', prepared }]);
    return { written: done, existing: undefined };
  });
  if (existing !== undefined) return read(deps, existing, {});
  return writtenAnswer(written, base, returns);
}

export function wrongType(): FhirFault {
  return new FhirFault(400, 'invalid', 'resourceType is not the type that the address names.', 'Resource.resourceType');
}

/**
 * The one resource that criteria find; undefined for none, 412 for several. Those who ask the same at the same time take turns until
 * the transaction ends, as both could find nothing and make two.
 */
export async function oneMatch(
  deps: InteractionDeps,
  tx: AnyTx,
  asked: { readonly type: string; readonly query: string; readonly base: string },
): Promise<ResourceName | undefined> {
  const query = asked.query.replace(/^.*\?/, '');
  await sql`select pg_advisory_xact_lock(hashtextextended(${`${asked.type}?${query}`}, 0))`.execute(transactionOf(tx));
  const [found, another] = await matchingNames(deps, tx, { ...asked, query });
  if (another !== undefined) throw new FhirFault(412, 'multiple-matches', 'The criteria match more than one resource.');
  return found === undefined ? undefined : { type: found.type, id: found.id };
}

export async function update(
  deps: InteractionDeps,
  { name, resource, base }: { readonly name: ResourceName; readonly resource: JsonObject; readonly base: string },
  { ifMatch, returns }: Conditions,
): Promise<FhirAnswer> {
  const change = updateChange(name, resource, ifMatch);
  const [written] = await deps.store.transaction((tx) => deps.store.write(tx, [change]));
  return writtenAnswer(written, base, returns);
}

function updateChange(name: ResourceName, resource: JsonObject, ifMatch: string | undefined): Change {
  if (resource['resourceType'] !== name.type) throw wrongType();
  if (resource['id'] !== name.id) {
    throw new FhirFault(
      400,
      'invalid',
      'The id of the resource is not the one that the address names.',
      `${name.type}.id`,
    );
  }
  checkId(name.id);
  checkResource(resource);
  return { kind: 'put', prepared: prepareResource(resource, name), ...versionCondition(ifMatch) };
}

function versionCondition(ifMatch: string | undefined): { version?: number } {
  const version = versionOfEtag(ifMatch);
  return version === undefined ? {} : { version };
}

/** `PUT Patient?identifier=...`. */
export async function conditionalUpdate(
  deps: InteractionDeps,
  {
    type,
    query,
    resource,
    base,
  }: { readonly type: string; readonly query: string; readonly resource: JsonObject; readonly base: string },
  { ifMatch, returns }: Conditions,
): Promise<FhirAnswer> {
  if (resource['resourceType'] !== type) throw wrongType();
  checkResource(resource);
  const [written] = await deps.store.transaction(async (tx) => {
    const found = await oneMatch(deps, tx, { type, query, base });
    const prepared = prepareResource(resource, nameForUpdate(type, resource, found));
    return deps.store.write(tx, [{ kind: 'put', prepared, ...versionCondition(ifMatch) }]);
  });
  return writtenAnswer(written, base, returns);
}

/** R4 http.html#cond-update: the id of the match; without a match the id of the resource, or a new one. */
export function nameForUpdate(type: string, resource: JsonObject, found: ResourceName | undefined): ResourceName {
  const { id } = resource;
  if (found === undefined) return { type, id: typeof id === 'string' ? checkId(id) : newResourceId() };
  if (id !== undefined && id !== found.id) {
    throw new FhirFault(400, 'invalid', 'The id of the resource is not that of the one that matches.', `${type}.id`);
  }
  return found;
}

export async function remove(deps: InteractionDeps, name: ResourceName, { ifMatch }: Conditions): Promise<FhirAnswer> {
  const change: Change = { kind: 'delete', name, ...versionCondition(ifMatch) };
  const [written] = await deps.store.transaction((tx) => deps.store.write(tx, [change]));
  const version = written?.current;
  return answerOf(204, '', version === undefined ? {} : { etag: etagOf(version) });
}

export async function conditionalRemove(
  deps: InteractionDeps,
  asked: { readonly type: string; readonly query: string; readonly base: string },
): Promise<FhirAnswer> {
  await deps.store.transaction(async (tx) => {
    const name = await oneMatch(deps, tx, asked);
    if (name !== undefined) await deps.store.write(tx, [{ kind: 'delete', name }]);
  });
  return answerOf(204, '');
}

function writtenAnswer(written: Written | undefined, base: string, returns: Conditions['returns']): FhirAnswer {
  const version = written?.current;
  if (written === undefined || version === undefined)
    throw new FhirFault(404, 'not-found', 'There is no such resource.');
  const isNew = written.outcome === 'created';
  const headers = { ...versionHeaders(version), ...(isNew ? { location: locationOf(base, version) } : {}) };
  const status = isNew ? 201 : 200;
  if (returns === 'minimal') return answerOf(status, '', headers);
  if (returns !== 'OperationOutcome') return answerOf(status, versionText(version), headers);
  const issues = [
    { severity: 'information', code: 'informational', diagnostics: `The resource was ${written.outcome}.` },
  ] as const;
  return { ...outcomeAnswer(status, issues), headers };
}

export async function history(
  { store }: InteractionDeps,
  asked: { readonly type: string; readonly id?: string; readonly query: URLSearchParams; readonly base: string },
): Promise<FhirAnswer> {
  const { type, id, query, base } = asked;
  const count = Math.min(Number(query.get('_count') ?? PAGE_COUNT_DEFAULT), PAGE_COUNT_MAX);
  const [since, before] = [query.get('_since'), query.get('_cursor')];
  if (!Number.isInteger(count) || count < 1)
    throw new FhirFault(400, 'invalid', '_count: it is a whole number above 0.');
  if (since !== null && Number.isNaN(Date.parse(since)))
    throw new FhirFault(400, 'invalid', '_since: it is an instant.');
  if (before !== null && !/^\d{1,18}$/.test(before))
    throw new FhirFault(400, 'invalid', '_cursor: take it as it is given.');
  for (const name of query.keys()) {
    if (!['_count', '_since', '_cursor', '_format'].includes(name)) {
      throw new FhirFault(400, 'not-supported', 'Of the parameters of history _count and _since are supported.');
    }
  }
  const page: HistoryPage = {
    type,
    count: count + 1,
    ...(id === undefined ? {} : { id }),
    ...(since === null ? {} : { since: new Date(since) }),
    ...(before === null ? {} : { before }),
  };
  const versions = await readHistory(store.database, page);
  if (id !== undefined && versions.length === 0 && before === null && since === null) {
    throw new FhirFault(404, 'not-found', 'There is no such resource.');
  }
  const path = `${base}/${type}${id === undefined ? '' : `/${id}`}/_history`;
  const shown = versions.slice(0, count);
  const links: BundleLink[] = [{ relation: 'self', url: query.size === 0 ? path : `${path}?${query}` }];
  const last = shown.at(-1);
  if (versions.length > count && last !== undefined) {
    const next = new URLSearchParams(query);
    next.set('_cursor', last.key);
    links.push({ relation: 'next', url: `${path}?${next}` });
  }
  return answerOf(
    200,
    bundleText(
      'history',
      shown.map((version) => historyEntry(version, base)),
      { links },
    ),
  );
}

const METHOD = { create: 'POST', update: 'PUT', delete: 'DELETE' } as const;
const STATUS = { create: '201', update: '200', delete: '204' } as const;

function historyEntry(version: StoredVersion, base: string): string {
  const { type, id, method } = version;
  const request = { method: METHOD[method], url: method === 'create' ? type : `${type}/${id}` };
  const response = { status: STATUS[method], etag: etagOf(version), lastModified: version.lastUpdated.toISOString() };
  const resource = version.text === undefined ? '' : `"resource":${versionText(version)},`;
  return `{"fullUrl":"${base}/${type}/${id}",${resource}"request":${writeJson(request)},"response":${writeJson(response)}}`;
}

/** `$validate`: always 200, with what was found; nothing is stored. */
export function validateOnly(type: string, resource: JsonObject): FhirAnswer {
  const inner = resource['resourceType'] === 'Parameters' ? parameterResource(resource) : resource;
  if (inner['resourceType'] !== type) throw wrongType();
  const issues = validateResource(inner);
  const sound = { severity: 'information', code: 'informational', diagnostics: 'Nothing is wrong.' } as const;
  return outcomeAnswer(200, issues.length === 0 ? [sound] : issues);
}

function parameterResource(parameters: JsonObject): JsonObject {
  const list = Array.isArray(parameters['parameter']) ? parameters['parameter'] : [];
  for (const parameter of list) {
    if (!isJsonObject(parameter) || parameter['name'] !== 'resource') continue;
    if (isJsonObject(parameter['resource'])) return parameter['resource'];
  }
  throw new FhirFault(400, 'required', 'Parameters needs a parameter "resource".', 'Parameters.parameter');
}
