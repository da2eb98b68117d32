/** A bundle that is posted to the root: transaction or batch, and the bundle that answers it. */
import { type JsonObject, operationOutcome, writeJson } from '@lantern/hl7';
import { answerOf, bundleText, etagOf, type FhirAnswer, faultOf } from './answer.ts';
import { FhirFault } from './fhir-fault.ts';
import {
  conditionalRemove,
  conditionalUpdate,
  create,
  type InteractionDeps,
  read,
  remove,
  update,
} from './interactions.ts';
import { search } from './search.ts';
import { readSearch } from './search-request.ts';
import { type AppliedEntry, applyBundle, type BundleEntry, entriesOf, targetOf } from './transaction.ts';

/** Whether the caller may do what an entry asks; throws 403. */
export type Guard = (type: string, access: 'read' | 'write') => void;

export async function answerBundle(
  deps: InteractionDeps,
  { bundle, base, guard }: { readonly bundle: JsonObject; readonly base: string; readonly guard: Guard },
): Promise<FhirAnswer> {
  if (bundle['resourceType'] !== 'Bundle')
    throw new FhirFault(400, 'invalid', 'A Bundle is needed.', 'Resource.resourceType');
  if (bundle['type'] === 'transaction') return answerTransaction(deps, { bundle, base, guard });
  if (bundle['type'] !== 'batch') {
    throw new FhirFault(400, 'not-supported', 'A bundle of type transaction or batch is taken.', 'Bundle.type');
  }
  const entries: string[] = [];
  for (const entry of entriesOf(bundle)) entries.push(await batchEntry(deps, entry, { base, guard }));
  return answerOf(200, bundleText('batch-response', entries));
}

async function answerTransaction(
  deps: InteractionDeps,
  { bundle, base, guard }: { readonly bundle: JsonObject; readonly base: string; readonly guard: Guard },
): Promise<FhirAnswer> {
  const entries = entriesOf(bundle);
  for (const { method, url } of entries) guard(targetOf(url).type, isReading(method) ? 'read' : 'write');
  // Names are given anew on each attempt, so each works on its own copy.
  const applied = await deps.store.transaction((tx) => applyBundle(deps, tx, { bundle: structuredCopy(bundle), base }));
  const texts: string[] = [];
  for (const [index, entry] of entries.entries()) {
    const done = applied[index];
    texts.push(
      done?.outcome === 'read' ? await readEntry(deps, entry, base) : writeJson({ response: responseOf(done) }),
    );
  }
  return answerOf(200, bundleText('transaction-response', texts));
}

function isReading(method: string): boolean {
  return method === 'GET' || method === 'HEAD';
}

/** `structuredClone` would make plain objects of numbers that are kept as text. */
function structuredCopy<T>(value: T): T {
  if (Array.isArray(value)) return value.map(structuredCopy) as T;
  if (typeof value !== 'object' || value === null || JSON.isRawJSON(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, structuredCopy(one)])) as T;
}

const STATUS_TEXT: Readonly<Record<AppliedEntry['outcome'], string>> = {
  created: '201 Created',
  updated: '200 OK',
  unchanged: '200 OK',
  existing: '200 OK',
  deleted: '204 No Content',
  absent: '204 No Content',
  read: '200 OK',
};

function responseOf(applied: AppliedEntry | undefined) {
  const version = applied?.written?.current;
  const name = applied?.name;
  return {
    status: STATUS_TEXT[applied?.outcome ?? 'absent'],
    ...(version === undefined
      ? name === undefined
        ? {}
        : { location: `${name.type}/${name.id}` }
      : {
          location: `${version.type}/${version.id}/_history/${version.version}`,
          etag: etagOf(version),
          lastModified: version.lastUpdated.toISOString(),
        }),
  };
}

async function readEntry(deps: InteractionDeps, entry: BundleEntry, base: string): Promise<string> {
  const { type, id, query } = targetOf(entry.url);
  const answer =
    id === undefined
      ? await search(deps, readSearch(type, new URLSearchParams(query ?? ''), base), base)
      : await read(deps, { type, id }, {});
  return entryText(answer);
}

async function batchEntry(
  deps: InteractionDeps,
  entry: BundleEntry,
  { base, guard }: { base: string; guard: Guard },
): Promise<string> {
  try {
    guard(targetOf(entry.url).type, isReading(entry.method) ? 'read' : 'write');
    return isReading(entry.method)
      ? await readEntry(deps, entry, base)
      : entryText(await batchWrite(deps, entry, base));
  } catch (caught) {
    const fault = faultOf(caught);
    if (fault === undefined) throw caught;
    return writeJson({ response: { status: String(fault.status), outcome: operationOutcome(fault.issues) } });
  }
}

async function batchWrite(deps: InteractionDeps, entry: BundleEntry, base: string): Promise<FhirAnswer> {
  const { method, resource, ifMatch, ifNoneExist } = entry;
  const { type, id, query = '' } = targetOf(entry.url);
  const conditions = { ifMatch, ifNoneExist, returns: 'minimal' } as const;
  if (method === 'DELETE') {
    return id === undefined
      ? conditionalRemove(deps, { type, query: query ?? '', base })
      : remove(deps, { type, id }, conditions);
  }
  if (resource === undefined)
    throw new FhirFault(400, 'required', `${method} needs a resource.`, `${entry.place}.resource`);
  if (method === 'POST') return create(deps, { type, resource, base }, conditions);
  if (method !== 'PUT')
    throw new FhirFault(400, 'not-supported', 'GET, POST, PUT and DELETE are supported in a bundle.');
  return id === undefined
    ? conditionalUpdate(deps, { type, query: query ?? '', resource, base }, conditions)
    : update(deps, { name: { type, id }, resource, base }, conditions);
}

function entryText({ status, text, headers }: FhirAnswer): string {
  const { etag, location } = headers;
  const response = {
    status: String(status),
    ...(location === undefined ? {} : { location }),
    ...(etag === undefined ? {} : { etag }),
  };
  return text === '' ? writeJson({ response }) : `{"resource":${text},"response":${writeJson(response)}}`;
}
