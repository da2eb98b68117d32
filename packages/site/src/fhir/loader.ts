/**
 * Loads resources from files: JSON (a resource or a bundle of any type) and NDJSON, plain or compressed by gzip.
 *
 * Every resource ends as created, updated, unchanged or refused by a rule, and the sum is what was read (the row account). A resource
 * keeps its id, so a second load of the same files changes nothing; an entry without one takes the uuid of its fullUrl. References
 * between the entries of a bundle become references to these ids. Unlike a transaction over HTTP a bundle is loaded entry by entry: one
 * bad resource must not keep a hospital's other thousand out.
 *
 * While the database writes one batch the next is checked, and while a document is taken apart the next one is read and unpacked; a
 * batch is counted when it has been committed.
 */
import { createReadStream } from 'node:fs';
import { readdir, readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { setImmediate as turn } from 'node:timers/promises';
import { promisify } from 'node:util';
import { createGunzip, gunzip } from 'node:zlib';
import { Hl7Error, isJsonObject, type JsonObject, parseJson, replaceTexts, validateResource } from '@lantern/hl7';
import { type FhirStore, type Prepared, prepareResource } from './fhir-store.ts';
import { FHIR_BODY_BYTES_MAX, FHIR_BUNDLE_LIMITS, FHIR_JSON_LIMITS } from './limits.ts';
import { analyzeTables, nameText } from './store.ts';

/** Resources of one transaction: enough that its fixed cost does not count, few enough to be repeated. */
const BATCH_COUNT = 500;
/** Batches on their way to the database at once. */
const BATCHES_IN_FLIGHT_MAX = 3;
/** Checked in one turn of the event loop; between turns batches on their way get further, and others are served. */
const TURN_COUNT = 50;
/** What is unpacked at a time. */
const CHUNK_BYTES = 256 * 1024;
/** A bundle that may be read has no more, as a character takes at most three bytes. Two are held at once. */
const DOCUMENT_BYTES_MAX = 3 * FHIR_BODY_BYTES_MAX;
const TOO_LARGE = 'too large or too deep';
/** After so many new resources the planner is told about them. */
const ANALYZE_COUNT_MIN = 5_000;
/** Rules by which resources were refused; a further one is counted as `other`. */
const RULE_COUNT_MAX = 500;

export type TypeAccount = { read: number; created: number; updated: number; unchanged: number; refused: number };

export type LoadAccount = {
  readonly files: number;
  readonly total: TypeAccount;
  readonly byType: Readonly<Record<string, TypeAccount>>;
  /** How many resources each rule refused: `required Observation.status`. */
  readonly refusedBy: Readonly<Record<string, number>>;
};

export type LoadProgress = (done: {
  readonly files: number;
  readonly filesInAll: number;
  readonly resources: number;
}) => void;

export async function loadFiles(
  store: FhirStore,
  location: string,
  { signal, onProgress }: { readonly signal?: AbortSignal; readonly onProgress?: LoadProgress } = {},
): Promise<LoadAccount> {
  const files = await filesBelow(location);
  const load = new Load(store);
  let ahead = documentOf(files[0]);
  for (const [index, file] of files.entries()) {
    signal?.throwIfAborted();
    const document = ahead;
    ahead = documentOf(files[index + 1]);
    await (document === undefined ? load.lines(file) : load.document(await document));
    onProgress?.({ files: index + 1, filesInAll: files.length, resources: load.total.read });
  }
  await load.end();
  return { files: files.length, total: load.total, byType: load.byType, refusedBy: load.refusedBy };
}

const READABLE = /\.(json|ndjson)(\.gz)?$/i;
const LINES = /\.ndjson(\.gz)?$/i;
const COMPRESSED = /\.gz$/i;

async function filesBelow(location: string): Promise<string[]> {
  if (!(await stat(location)).isDirectory()) return [location];
  const entries = await readdir(location, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile() && READABLE.test(entry.name))
    .map((entry) => path.join(entry.parentPath, entry.name))
    .sort();
}

const newAccount = (): TypeAccount => ({ read: 0, created: 0, updated: 0, unchanged: 0, refused: 0 });

/** One run over files. */
class Load {
  readonly total = newAccount();
  readonly byType: Record<string, TypeAccount> = {};
  readonly refusedBy: Record<string, number> = {};
  readonly #store: FhirStore;
  readonly #inFlight = new Set<Promise<void>>();
  #batch = new Map<string, Prepared>();
  #fault: unknown;

  constructor(store: FhirStore) {
    this.#store = store;
  }

  async lines(file: string): Promise<void> {
    const source = createReadStream(file);
    const stream = COMPRESSED.test(file) ? source.compose(createGunzip({ chunkSize: CHUNK_BYTES })) : source;
    for await (const line of createInterface({ input: stream, crlfDelay: Number.POSITIVE_INFINITY })) {
      if (line.trim() !== '') await this.#line(line);
    }
  }

  async end(): Promise<void> {
    this.#send();
    await Promise.all(this.#inFlight);
    if (this.#fault !== undefined) throw this.#fault;
    if (this.total.created + this.total.updated >= ANALYZE_COUNT_MIN) await analyzeTables(this.#store.database);
  }

  async #line(line: string): Promise<void> {
    const resource = this.#parsed(line, FHIR_JSON_LIMITS);
    if (resource !== undefined) await this.#add(resource, undefined);
  }

  /** Undefined: it was too large to be read. */
  async document(document: string | undefined): Promise<void> {
    if (document === undefined) return this.#refuse('unknown', TOO_LARGE);
    const resource = this.#parsed(document, FHIR_BUNDLE_LIMITS);
    if (resource === undefined) return;
    const { resourceType, entry } = resource;
    if (resourceType !== 'Bundle' || !Array.isArray(entry) || KEPT_WHOLE.has(String(resource['type']))) {
      return this.#add(resource, undefined);
    }
    const entries = entry.map((one) => (isJsonObject(one) ? one : {}));
    const names = namesOf(entries);
    for (const { resource: held, fullUrl } of entries) {
      if (!isJsonObject(held)) {
        this.#refuse('Bundle', 'required Bundle.entry.resource');
        continue;
      }
      replaceTexts(held, (value) => (value.startsWith('urn:') ? names.get(value) : undefined));
      await this.#add(held, typeof fullUrl === 'string' ? fullUrl : undefined);
    }
  }

  #parsed(document: string, limits: typeof FHIR_JSON_LIMITS): JsonObject | undefined {
    try {
      const value = parseJson(document, limits);
      if (isJsonObject(value)) return value;
      this.#refuse('unknown', 'structure: no JSON object');
    } catch (caught) {
      if (!(caught instanceof Hl7Error)) throw caught;
      this.#refuse('unknown', caught.code === 'limit' ? TOO_LARGE : 'structure: not JSON');
    }
    return undefined;
  }

  #accountOf(type: string): TypeAccount {
    const account = Object.hasOwn(this.byType, type) ? this.byType[type] : undefined;
    const found = account ?? newAccount();
    this.byType[type] = found;
    return found;
  }

  #refuse(type: string, rule: string): void {
    const isKnown = Object.hasOwn(this.refusedBy, rule) || Object.keys(this.refusedBy).length < RULE_COUNT_MAX;
    const name = isKnown ? rule : 'other';
    this.refusedBy[name] = (this.refusedBy[name] ?? 0) + 1;
    for (const account of [this.total, this.#accountOf(type)]) {
      account.read += 1;
      account.refused += 1;
    }
  }

  async #add(resource: JsonObject, fullUrl: string | undefined): Promise<void> {
    const issue = validateResource(resource).find(({ severity }) => severity === 'error');
    const type = typeof resource['resourceType'] === 'string' ? resource['resourceType'] : 'unknown';
    const id = idOf(resource, fullUrl);
    if (issue !== undefined) {
      const element = (issue.expression ?? '').replaceAll(/\[\d+\]/g, '');
      return this.#refuse(issue.code === 'not-supported' ? 'unknown' : type, `${issue.code} ${element}`.trim());
    }
    if (id === undefined) return this.#refuse(type, `value ${type}.id`);
    const prepared = prepareResource(resource, { type, id });
    const name = nameText(prepared.name);
    const earlier = this.#batch.get(name);
    if (earlier !== undefined) {
      if (earlier.text.body === prepared.text.body && earlier.text.meta === prepared.text.meta) {
        return this.#count(type, 'unchanged');
      }
      this.#send(); // another version of it: after the first one
      await Promise.all(this.#inFlight);
    }
    this.#batch.set(name, prepared);
    if (this.#batch.size >= BATCH_COUNT) this.#send();
    if (this.#batch.size % TURN_COUNT === 0) await turn();
    while (this.#inFlight.size >= BATCHES_IN_FLIGHT_MAX) await Promise.race(this.#inFlight);
    if (this.#fault !== undefined) throw this.#fault;
  }

  #count(type: string, outcome: 'created' | 'updated' | 'unchanged'): void {
    for (const account of [this.total, this.#accountOf(type)]) {
      account.read += 1;
      account[outcome] += 1;
    }
  }

  #send(): void {
    const batch = [...this.#batch.values()];
    this.#batch = new Map();
    if (batch.length === 0) return;
    const writing = this.#write(batch)
      .catch((caught: unknown) => {
        this.#fault ??= caught;
      })
      .finally(() => this.#inFlight.delete(writing));
    this.#inFlight.add(writing);
  }

  async #write(batch: readonly Prepared[]): Promise<void> {
    const changes = batch.map((prepared) => ({ kind: 'put', prepared }) as const);
    const written = await this.#store.transaction((tx) => this.#store.write(tx, changes));
    written.forEach(({ outcome }, index) => {
      const type = batch[index]?.name.type ?? 'unknown';
      this.#count(type, outcome === 'created' || outcome === 'updated' ? outcome : 'unchanged');
    });
  }
}

/** The text of a file that is one document, on its way; undefined for one of lines. */
function documentOf(file: string | undefined): Promise<string | undefined> | undefined {
  if (file === undefined || LINES.test(file)) return undefined;
  const document = documentText(file);
  document.catch(() => {}); // it is thrown where the document is awaited, if it still is
  return document;
}

/** Undefined: too large to be read. */
async function documentText(file: string): Promise<string | undefined> {
  if ((await stat(file)).size > DOCUMENT_BYTES_MAX) return undefined;
  const bytes = await readFile(file);
  if (!COMPRESSED.test(file)) return bytes.toString();
  try {
    return (await promisify(gunzip)(bytes, { chunkSize: CHUNK_BYTES, maxOutputLength: DOCUMENT_BYTES_MAX })).toString();
  } catch (caught) {
    if (caught instanceof RangeError && 'code' in caught && caught.code === 'ERR_BUFFER_TOO_LARGE') return undefined;
    throw caught;
  }
}

/** Bundles that are a record by themselves (R4 bundle.html). */
const KEPT_WHOLE: ReadonlySet<string> = new Set(['document', 'message']);

const ID = /^[A-Za-z0-9\-.]{1,64}$/;

function idOf({ id }: JsonObject, fullUrl: string | undefined): string | undefined {
  if (typeof id === 'string') return ID.test(id) ? id : undefined;
  return /^urn:uuid:([0-9a-f-]{36})$/.exec(fullUrl ?? '')?.[1];
}

/** What each fullUrl is called when it has been stored. */
function namesOf(entries: readonly JsonObject[]): Map<string, string> {
  const names = new Map<string, string>();
  for (const { resource, fullUrl } of entries) {
    if (!isJsonObject(resource) || typeof fullUrl !== 'string' || !fullUrl.startsWith('urn:')) continue;
    const id = idOf(resource, fullUrl);
    if (id !== undefined && typeof resource['resourceType'] === 'string')
      names.set(fullUrl, `${resource['resourceType']}/${id}`);
  }
  return names;
}
