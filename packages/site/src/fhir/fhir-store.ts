/**
 * How resources change: whoever writes resources, over HTTP, from an HL7 feed or from files, does it here.
 *
 * A version is written, its predecessor becomes history and the index follows, all in one transaction of the caller; nothing is
 * acknowledged before that is committed. A put of what is there already changes nothing, so that a file may be loaded twice.
 */
import { isJsonObject, type JsonObject, parseJson, type SearchValues, searchValuesOf } from '@lantern/hl7';
import type { AnyTx, Clock, Database, Tx } from '@lantern/service';
import { FhirFault } from './fhir-fault.ts';
import {
  addRows,
  createNumbering,
  deleteRows,
  emptyRows,
  type IndexRows,
  insertRows,
  type Numbering,
} from './index-rows.ts';
import { FHIR_JSON_LIMITS } from './limits.ts';
import { joinResource, type ResourceText, resourceText } from './resource-text.ts';
import {
  insertVersions,
  lockCurrent,
  nameText,
  newVersionKeys,
  RepeatWrite,
  type ResourceName,
  replaceVersions,
  type StoredVersion,
} from './store.ts';

/** Who makes the same resource at the same moment is tried again so often; each time somebody got further. */
const ATTEMPT_COUNT_MAX = 8;

/** A resource that was checked and taken apart, before any lock is held. */
export type Prepared = { readonly name: ResourceName; readonly text: ResourceText; readonly values: SearchValues };

export type Change =
  /** Makes a resource or its next version. `version`: only where this is the current one. */
  | { readonly kind: 'put'; readonly prepared: Prepared; readonly version?: number }
  | { readonly kind: 'delete'; readonly name: ResourceName; readonly version?: number };

export type Written = {
  readonly outcome: 'created' | 'updated' | 'unchanged' | 'deleted' | 'absent';
  /** The version that is current now; undefined where there never was one. */
  readonly current: StoredVersion | undefined;
};

export type FhirStore = {
  readonly database: Database;
  readonly numbering: Numbering;
  /** Outcomes in the order of `changes`, of which no two may name the same resource. */
  write(tx: AnyTx, changes: readonly Change[]): Promise<Written[]>;
  /** Runs `work` in a transaction, again where another writer was faster. */
  transaction<R>(work: (tx: Tx) => Promise<R>): Promise<R>;
};

/** `resource` must have been validated. */
export function prepareResource(resource: JsonObject, name: ResourceName): Prepared {
  return { name, text: resourceText(resource), values: searchValuesOf({ ...resource, resourceType: name.type }) };
}

export function createFhirStore({ database, clock }: { database: Database; clock: Clock }): FhirStore {
  const numbering = createNumbering(database);
  return {
    database,
    numbering,
    async write(tx, changes) {
      const sorted = [...changes].sort((a, b) => (changeName(a) < changeName(b) ? -1 : 1));
      const current = await lockCurrent(tx, sorted.map(nameOf));
      const keys = await newVersionKeys(tx, sorted.length);
      const plan = planOf(sorted, { current, keys, at: clock.now() });
      await store(tx, plan, numbering);
      return changes.map((change) => {
        const name = changeName(change);
        return { outcome: plan.outcomes.get(name) ?? 'absent', current: plan.now.get(name) ?? current.get(name) };
      });
    },
    async transaction(work) {
      for (let attempt = 1; ; attempt += 1) {
        try {
          return await database.transaction(work);
        } catch (caught) {
          if (attempt >= ATTEMPT_COUNT_MAX || !isRepeatable(caught)) throw caught;
        }
      }
    },
  };
}

const REPEATABLE: ReadonlySet<unknown> = new Set(['40001', '40P01']); // serialization failure, deadlock

/** Whether another writer was faster: the same again succeeds. */
export function isRepeatable(caught: unknown): boolean {
  if (caught instanceof RepeatWrite) return true;
  return caught instanceof Error && 'code' in caught && REPEATABLE.has(caught.code);
}

function nameOf(change: Change): ResourceName {
  return change.kind === 'put' ? change.prepared.name : change.name;
}

function changeName(change: Change): string {
  return nameText(nameOf(change));
}

type Plan = {
  readonly outcomes: Map<string, Written['outcome']>;
  readonly now: Map<string, StoredVersion>;
  readonly inserted: StoredVersion[];
  readonly replaced: StoredVersion[];
  /** Index of versions that come, and of those that go. */
  readonly coming: { readonly key: string; readonly values: SearchValues }[];
  readonly going: { readonly key: string; readonly values: SearchValues }[];
};

type Known = {
  readonly current: ReadonlyMap<string, StoredVersion>;
  readonly keys: readonly string[];
  readonly at: Date;
};

function planOf(changes: readonly Change[], { current, keys, at }: Known): Plan {
  const plan: Plan = { outcomes: new Map(), now: new Map(), inserted: [], replaced: [], coming: [], going: [] };
  changes.forEach((change, place) => {
    const name = changeName(change);
    if (plan.outcomes.has(name))
      throw new FhirFault(400, 'duplicate', 'A resource may be changed only once at a time.');
    const before = current.get(name);
    checkVersion(change, before);
    const outcome = outcomeOf(change, before);
    plan.outcomes.set(name, outcome);
    if (outcome === 'unchanged' || outcome === 'absent') return;
    const version: StoredVersion = {
      ...nameOf(change),
      key: keys[place] ?? '0',
      version: (before?.version ?? 0) + 1,
      lastUpdated: at,
      method: change.kind === 'delete' ? 'delete' : outcome === 'created' ? 'create' : 'update',
      text: change.kind === 'delete' ? undefined : change.prepared.text,
    };
    plan.now.set(name, version);
    (before === undefined ? plan.inserted : plan.replaced).push(version);
    if (change.kind === 'put') plan.coming.push({ key: version.key, values: change.prepared.values });
    if (before?.text !== undefined) plan.going.push({ key: before.key, values: valuesOfStored(before) });
  });
  return plan;
}

function checkVersion(change: Change, before: StoredVersion | undefined): void {
  if (change.version === undefined || change.version === before?.version) return;
  throw new FhirFault(412, 'conflict', 'The current version is not the one that If-Match names; read it again.');
}

function outcomeOf(change: Change, before: StoredVersion | undefined): Written['outcome'] {
  if (change.kind === 'delete') return before?.text === undefined ? 'absent' : 'deleted';
  if (before?.text === undefined) return 'created';
  const { meta, body } = change.prepared.text;
  return before.text.body === body && before.text.meta === meta ? 'unchanged' : 'updated';
}

function valuesOfStored(version: StoredVersion): SearchValues {
  const { text } = version;
  const resource = text === undefined ? {} : parseJson(joinResource(version, text), FHIR_JSON_LIMITS);
  return searchValuesOf(isJsonObject(resource) ? resource : {});
}

async function store(tx: AnyTx, plan: Plan, numbering: Numbering): Promise<void> {
  await numbering.learn([...plan.coming, ...plan.going].map(({ values }) => values));
  if (plan.inserted.length > 0) await insertVersions(tx, plan.inserted);
  if (plan.replaced.length > 0) await replaceVersions(tx, plan.replaced);
  if (plan.going.length > 0) await deleteRows(tx, rowsOf(plan.going, numbering));
  if (plan.coming.length > 0) await insertRows(tx, rowsOf(plan.coming, numbering));
}

function rowsOf(versions: Plan['coming'], numbering: Numbering): IndexRows {
  const rows = emptyRows();
  for (const { key, values } of versions) addRows(rows, values, BigInt(key), numbering);
  return rows;
}
