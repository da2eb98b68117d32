/**
 * Bundles of type transaction (all or nothing) and batch (each entry by itself), R4 http.html#transaction.
 *
 * In a transaction the entries get their names first, conditions are looked up, references between entries are replaced by these names
 * (circles are no matter), then all is written at once. So the order of the entries does not matter, as the standard wants.
 */
import { isJsonObject, type JsonObject, replaceTexts } from '@lantern/hl7';
import type { AnyTx } from '@lantern/service';
import { FhirFault } from './fhir-fault.ts';
import { type Change, prepareResource, type Written } from './fhir-store.ts';
import {
  type InteractionDeps,
  nameForUpdate,
  newResourceId,
  oneMatch,
  versionOfEtag,
  wrongType,
} from './interactions.ts';
import { BUNDLE_ENTRY_COUNT_MAX } from './limits.ts';
import { checkId, checkResource, checkType } from './resource-check.ts';
import { nameText, type ResourceName } from './store.ts';

export type BundleEntry = {
  readonly place: string;
  readonly fullUrl: string | undefined;
  readonly resource: JsonObject | undefined;
  readonly method: string;
  readonly url: string;
  readonly ifMatch: string | undefined;
  readonly ifNoneExist: string | undefined;
};

export type AppliedEntry = {
  /** `existing`: a conditional create that found its resource; `read`: nothing was done yet. */
  readonly outcome: Written['outcome'] | 'existing' | 'read';
  readonly written: Written | undefined;
  readonly name: ResourceName | undefined;
};

/** The entries of a bundle as requests. Throws where one is not a request. */
export function entriesOf(bundle: JsonObject): BundleEntry[] {
  const entries = bundle['entry'] ?? [];
  if (!Array.isArray(entries)) throw new FhirFault(400, 'structure', 'An array is needed.', 'Bundle.entry');
  if (entries.length > BUNDLE_ENTRY_COUNT_MAX) {
    throw new FhirFault(
      413,
      'too-costly',
      `A bundle may have at most ${BUNDLE_ENTRY_COUNT_MAX} entries.`,
      'Bundle.entry',
    );
  }
  return entries.map((entry, index) => {
    const place = `Bundle.entry[${index}]`;
    const request = isJsonObject(entry) ? entry['request'] : undefined;
    if (!isJsonObject(entry) || !isJsonObject(request)) {
      throw new FhirFault(400, 'required', 'An entry of a transaction or batch needs a request.', `${place}.request`);
    }
    const { method, url } = request;
    if (typeof method !== 'string' || typeof url !== 'string') {
      throw new FhirFault(400, 'required', 'A request needs method and url.', `${place}.request`);
    }
    const text = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined);
    return {
      place,
      method,
      url: url.replace(/^\//, ''),
      fullUrl: text(entry['fullUrl']),
      resource: isJsonObject(entry['resource']) ? entry['resource'] : undefined,
      ifMatch: text(request['ifMatch']),
      ifNoneExist: text(request['ifNoneExist']),
    };
  });
}

/** What an entry comes to, before references are replaced. */
type Planned = {
  readonly entry: BundleEntry;
  readonly name: ResourceName | undefined;
  readonly act: 'put' | 'delete' | 'existing' | 'read';
};

/**
 * Applies a transaction within the transaction of the caller, who commits: its message, its row account and these resources then
 * stand or fall together. `source` (a URI) is written to meta.source of what does not say itself where it comes from. Outcomes are in
 * the order of the entries. Throws a `FhirFault` that names the entry; entries that only read are left to the caller.
 */
export async function applyBundle(
  deps: InteractionDeps,
  tx: AnyTx,
  { bundle, base, source }: { readonly bundle: JsonObject; readonly base: string; readonly source?: string },
): Promise<AppliedEntry[]> {
  const entries = entriesOf(bundle);
  const planned: Planned[] = [];
  for (const entry of entries) planned.push(await placed(entry.place, () => plan(deps, tx, entry, base)));
  await resolveReferences(deps, tx, planned, base);
  const changes = planned.map(({ entry, name, act }) => changeOf(entry, name, { act, source }));
  const written = await deps.store.write(
    tx,
    changes.flatMap((change) => change ?? []),
  );
  let next = 0;
  return planned.map(({ name, act }, index) => {
    if (changes[index] === undefined)
      return {
        outcome: act === 'existing' ? 'existing' : act === 'read' ? 'read' : 'absent',
        written: undefined,
        name,
      };
    const done = written[next];
    next += 1;
    return { outcome: done?.outcome ?? 'absent', written: done, name };
  });
}

/** Says of a refusal in which entry it was. */
async function placed<T>(place: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (caught) {
    if (!(caught instanceof FhirFault)) throw caught;
    throw FhirFault.ofIssues(
      caught.status,
      caught.issues.map((issue) => ({
        ...issue,
        expression: issue.expression?.startsWith('Bundle') ? issue.expression : place,
      })),
    );
  }
}

async function plan(deps: InteractionDeps, tx: AnyTx, entry: BundleEntry, base: string): Promise<Planned> {
  const { method, resource, ifNoneExist } = entry;
  const { type, id, query } = targetOf(entry.url);
  if (method === 'GET' || method === 'HEAD') return { entry, name: undefined, act: 'read' };
  if (method === 'DELETE') {
    const name =
      id === undefined ? await oneMatch(deps, tx, { type, query: query ?? '', base }) : { type, id: checkId(id) };
    return { entry, name, act: 'delete' };
  }
  if (resource === undefined)
    throw new FhirFault(400, 'required', `${method} needs a resource.`, `${entry.place}.resource`);
  if (resource['resourceType'] !== type) throw wrongType();
  checkResource(resource, `${entry.place}.resource`);
  if (method === 'POST') {
    const found = ifNoneExist === undefined ? undefined : await oneMatch(deps, tx, { type, query: ifNoneExist, base });
    return found === undefined
      ? { entry, name: { type, id: newResourceId() }, act: 'put' }
      : { entry, name: found, act: 'existing' };
  }
  if (method !== 'PUT')
    throw new FhirFault(400, 'not-supported', 'GET, POST, PUT and DELETE are supported in a bundle.');
  if (id !== undefined) return { entry, name: { type, id: checkId(id) }, act: 'put' };
  const found = await oneMatch(deps, tx, { type, query: query ?? '', base });
  return { entry, name: nameForUpdate(type, resource, found), act: 'put' };
}

/** `Patient/1`, `Patient?identifier=...`, `Patient`. */
export function targetOf(url: string): { type: string; id: string | undefined; query: string | undefined } {
  const [path = '', query] = url.split('?', 2);
  const [type = '', id] = path.split('/');
  return { type: checkType(type), id: id === '' ? undefined : id, query };
}

const CONDITIONAL_REFERENCE = /^[A-Z][A-Za-z]+\?[^\s]+$/;

async function resolveReferences(
  deps: InteractionDeps,
  tx: AnyTx,
  planned: readonly Planned[],
  base: string,
): Promise<void> {
  const names = new Map<string, string>();
  for (const { entry, name } of planned) {
    if (name === undefined || entry.fullUrl === undefined) continue;
    if (names.has(entry.fullUrl))
      throw new FhirFault(400, 'duplicate', 'A fullUrl stands twice.', `${entry.place}.fullUrl`);
    names.set(entry.fullUrl, nameText(name));
  }
  for (const { entry } of planned) {
    for (const reference of referencesOf(entry.resource)) {
      if (!CONDITIONAL_REFERENCE.test(reference) || names.has(reference)) continue;
      const { type, query } = targetOf(reference);
      const found = await placed(entry.place, () => oneMatch(deps, tx, { type, query: query ?? '', base }));
      if (found === undefined) {
        throw new FhirFault(412, 'not-found', 'A conditional reference matches no resource.', entry.place);
      }
      names.set(reference, nameText(found));
    }
  }
  for (const { entry } of planned) {
    if (entry.resource === undefined) continue;
    replaceTexts(entry.resource, (text) => names.get(text));
    // A name that only this bundle could have explained would never be found again.
    if (!referencesOf(entry.resource).some((reference) => reference.startsWith('urn:uuid:'))) continue;
    throw new FhirFault(400, 'not-found', 'A reference names an entry that the bundle does not have.', entry.place);
  }
}

/** What stands in the elements `reference` of a resource, however deep. */
function referencesOf(resource: JsonObject | undefined): string[] {
  const found: string[] = [];
  const stack: unknown[] = [resource];
  for (let item = stack.pop(); item !== undefined; item = stack.pop()) {
    if (!Array.isArray(item) && !isJsonObject(item)) continue;
    if (isJsonObject(item) && typeof item['reference'] === 'string') found.push(item['reference']);
    for (const child of Object.values(item)) if (typeof child === 'object' && child !== null) stack.push(child);
  }
  return found;
}

function changeOf(
  { resource, ifMatch }: BundleEntry,
  name: ResourceName | undefined,
  { act, source }: { readonly act: Planned['act']; readonly source: string | undefined },
): Change | undefined {
  if (name === undefined || act === 'existing' || act === 'read') return undefined;
  const version = versionOfEtag(ifMatch);
  const condition = version === undefined ? {} : { version };
  if (act === 'delete') return { kind: 'delete', name, ...condition };
  return { kind: 'put', prepared: prepareResource(withSource(resource ?? {}, source), name), ...condition };
}

function withSource(resource: JsonObject, source: string | undefined): JsonObject {
  if (source === undefined) return resource;
  const meta = isJsonObject(resource['meta']) ? resource['meta'] : {};
  return meta['source'] === undefined ? { ...resource, meta: { ...meta, source } } : resource;
}
