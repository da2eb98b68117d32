/**
 * What an HL7 message does to records that are there already, as a transaction of FHIR: its bundle says how things stand, its changes
 * what else becomes of what is stored. Everything is read under locks of the transaction of the caller and applied in it.
 *
 *   a record that is known      what the message says is put into it, the rest stays (hl7/v2/mapping/record-merge.ts)
 *   a patient who was replaced  the message goes to the one who replaces him, and says nothing of that one himself: its sender did not
 *                               know of the merge
 *   an old number               of an account or visit: its record is this one now; where both are known, what refers to the old one
 *                               refers to this one, and the old one is deleted. Of a patient: where both are known, as in a merge.
 *   another patient             of an account or visit: what hangs on it goes along
 */
import { AppError } from '@lantern/contract';
import {
  isJsonObject,
  type JsonObject,
  type JsonValue,
  mergedRecord,
  parseJson,
  type RecordChange,
  replaceTexts,
} from '@lantern/hl7';
import type { AnyTx } from '@lantern/service';
import { type InteractionDeps, oneMatch } from './interactions.ts';
import { FHIR_JSON_LIMITS } from './limits.ts';
import { joinResource } from './resource-text.ts';
import { lockCurrent, lockReferring, nameText, type ResourceName, type StoredVersion } from './store.ts';
import { applyBundle, targetOf } from './transaction.ts';

export type MessageUpdate = {
  /** Parsed; it is changed. */
  readonly bundle: JsonObject;
  readonly changes: readonly RecordChange[];
  readonly base: string;
  readonly source: string;
};

/** A rule that did not hold, never a value. */
export type UpdateWarning = { readonly rule: string; readonly place?: string };

/** Of one merge or move; all are locked and written anew. A patient of many years has some thousands of records. */
const REWRITTEN_COUNT_MAX = 10_000;
/** Of patients who replaced one another. */
const REPLACED_DEPTH_MAX = 20;

const FOLLOWED: UpdateWarning = {
  rule: 'the number of its patient was merged: it went to the patient who replaces him, and what it says of the person was not taken',
  place: 'PID-3',
};
const MERGED_BY_CHANGE: UpdateWarning = {
  rule: 'both numbers had a patient: they were merged, not renamed',
  place: 'MRG',
};

type Entry = {
  readonly fullUrl: string;
  readonly resource: JsonObject;
  readonly type: string;
  /** By which the record is found; `undefined` for entries that only make something, if it is not there. */
  readonly query: string | undefined;
  readonly raw: JsonValue;
};

/** Throws as `applyBundle`; `input.invalid` where too much hangs on what is merged or moved. */
export async function applyMessageUpdate(
  deps: InteractionDeps,
  tx: AnyTx,
  update: MessageUpdate,
): Promise<readonly UpdateWarning[]> {
  const entries = entriesOf(update.bundle);
  const work = new Update(deps, tx, update, entries);
  for (const entry of entries) await work.find(entry);
  for (const change of update.changes) if (change.kind === 'take-over') await work.takeOver(change);
  await work.followReplaced();
  work.nameFound();
  for (const change of update.changes) if (change.kind === 'take-along') await work.takeAlong(change.fullUrl);
  const entry = await work.entries();
  await applyBundle(deps, tx, { bundle: { ...update.bundle, entry }, base: update.base, source: update.source });
  return work.warnings;
}

function entriesOf({ entry }: JsonObject): Entry[] {
  return (Array.isArray(entry) ? entry : []).flatMap((raw) => {
    if (!isJsonObject(raw) || !isJsonObject(raw['resource']) || !isJsonObject(raw['request'])) return [];
    const { fullUrl, resource, request } = raw;
    const { type, query } = targetOf(String(request['url']));
    return [{ fullUrl: String(fullUrl), resource, type, query: request['method'] === 'PUT' ? query : undefined, raw }];
  });
}

class Update {
  readonly warnings: UpdateWarning[] = [];
  readonly #deps: InteractionDeps;
  readonly #tx: AnyTx;
  readonly #update: MessageUpdate;
  readonly #entries: readonly Entry[];
  /** Of entries that are there already. */
  readonly #found = new Map<string, ResourceName>();
  /** As they are to be written, by their names. */
  readonly #stored = new Map<string, JsonObject>();
  /** Written though no entry speaks of them. */
  readonly #rewritten = new Set<string>();
  readonly #deleted: ResourceName[] = [];
  /** Entries whose patient is another one than they name. */
  readonly #followed = new Set<string>();

  constructor(deps: InteractionDeps, tx: AnyTx, update: MessageUpdate, entries: readonly Entry[]) {
    this.#deps = deps;
    this.#tx = tx;
    this.#update = update;
    this.#entries = entries;
  }

  async find({ fullUrl, type, query }: Entry): Promise<void> {
    const name = query === undefined ? undefined : await this.#match(type, query);
    if (name !== undefined) this.#found.set(fullUrl, name);
  }

  async takeOver(change: Extract<RecordChange, { kind: 'take-over' }>): Promise<void> {
    const { fullUrl, type, query, identifier } = change;
    const entry = this.#entries.find((one) => one.fullUrl === fullUrl);
    if (entry === undefined) return;
    const prior = await this.#match(type, query);
    const current = this.#found.get(fullUrl);
    const isOther = prior !== undefined && current !== undefined && prior.id !== current.id;
    if (isOther && type === 'Patient') return this.#mergePatients(entry, prior);
    const given = entry.resource['identifier'];
    const old: JsonValue = JSON.parse(JSON.stringify(identifier));
    entry.resource['identifier'] = [...(Array.isArray(given) ? given : []), old];
    if (prior === undefined) return;
    if (current === undefined) this.#found.set(fullUrl, prior);
    if (!isOther) return;
    await this.#rewriteReferring(prior, (text) => (text === nameText(prior) ? nameText(current) : undefined));
    this.#deleted.push(prior);
  }

  /** As `patient-links.ts` writes a merge. */
  async #mergePatients(survivor: Entry, old: ResourceName): Promise<void> {
    const resource = await this.#read(old);
    if (resource === undefined) return;
    const link = { other: { reference: survivor.fullUrl }, type: 'replaced-by' };
    this.#stored.set(nameText(old), { ...resource, active: false, link: [link] });
    this.#rewritten.add(nameText(old));
    survivor.resource['link'] = [{ other: { reference: nameText(old) }, type: 'replaces' }];
    this.warnings.push(MERGED_BY_CHANGE);
  }

  /** Whoever was replaced is meant under his old number only where the message itself merges or parts. */
  async followReplaced(): Promise<void> {
    const parted = new Set(this.#update.changes.flatMap((change) => (change.kind === 'part' ? change.fullUrls : [])));
    for (const { fullUrl, type, resource } of this.#entries) {
      const found = this.#found.get(fullUrl);
      if (type !== 'Patient' || found === undefined || resource['link'] !== undefined || parted.has(fullUrl)) continue;
      const last = await this.#lastOf(found);
      if (last.id === found.id) continue;
      this.#found.set(fullUrl, last);
      this.#followed.add(fullUrl);
      this.warnings.push(FOLLOWED);
    }
  }

  async #lastOf(first: ResourceName): Promise<ResourceName> {
    let name = first;
    for (let depth = 0; depth < REPLACED_DEPTH_MAX; depth += 1) {
      const next = replacedBy(await this.#read(name));
      if (next === undefined || (await this.#read({ type: 'Patient', id: next })) === undefined) return name;
      name = { type: 'Patient', id: next };
    }
    return first; // in a circle, which nobody can follow
  }

  /** References to what is there are written as they will be, so that they can be compared with those that are there. */
  nameFound(): void {
    const names = new Map([...this.#found].map(([fullUrl, name]) => [fullUrl, nameText(name)]));
    for (const { resource } of this.#entries) replaceTexts(resource, (text) => names.get(text));
    for (const name of this.#rewritten) replaceTexts(this.#stored.get(name) ?? {}, (text) => names.get(text));
  }

  async takeAlong(fullUrl: string): Promise<void> {
    const name = this.#found.get(fullUrl);
    const entry = this.#entries.find((one) => one.fullUrl === fullUrl);
    if (name === undefined || entry === undefined) return;
    const before = subjectOf(await this.#read(name));
    const now = subjectOf(entry.resource);
    if (before === undefined || now === undefined || before === now) return;
    const rename = (text: string) => (text === before ? now : undefined);
    const visits = await this.#rewriteReferring(name, rename);
    if (name.type !== 'Account') return;
    for (const visit of visits.filter(({ type }) => type === 'Encounter')) await this.#rewriteReferring(visit, rename);
  }

  /** As entries of a transaction in which every record has its name. */
  async entries(): Promise<JsonValue[]> {
    const made: JsonValue[] = [];
    const removed = this.#rules();
    for (const { fullUrl, resource, type, raw } of this.#entries) {
      const name = this.#found.get(fullUrl);
      if (name === undefined) made.push(raw);
      else if (this.#followed.has(fullUrl)) {
        made.push({ fullUrl, resource, request: { method: 'POST', url: type, ifNoneExist: `_id=${name.id}` } });
      } else {
        const stored = (await this.#read(name)) ?? {};
        const rules = removed.get(fullUrl) ?? { removed: [], placeholders: [] };
        const merged = mergedRecord(this.#withoutOldLinks(stored, resource, fullUrl), resource, rules);
        const isReplaced = linksOf(merged).some(({ type: kind }) => kind === 'replaced-by');
        const standing = type === 'Patient' && isReplaced ? { ...merged, active: false } : merged;
        made.push(putOf({ ...standing, resourceType: type, id: name.id }, fullUrl));
        this.#rewritten.delete(nameText(name));
      }
    }
    for (const name of this.#rewritten) {
      const resource = this.#stored.get(name);
      const isGone = this.#deleted.some((one) => nameText(one) === name);
      if (resource !== undefined && !isGone) made.push(putOf(withoutSource(resource), name));
    }
    for (const name of this.#deleted) made.push({ request: { method: 'DELETE', url: nameText(name) } });
    return made;
  }

  #rules() {
    const rules = new Map<string, { removed: string[]; placeholders: string[] }>();
    for (const change of this.#update.changes) {
      if (change.kind !== 'remove' && change.kind !== 'placeholder') continue;
      const own = rules.get(change.fullUrl) ?? { removed: [], placeholders: [] };
      rules.set(change.fullUrl, own);
      if (change.kind === 'remove') own.removed.push(...change.paths);
      else own.placeholders.push(...change.elements);
    }
    return rules;
  }

  /** A merge ends an opposite one, and parting ends those between the parted; others stay. */
  #withoutOldLinks(stored: JsonObject, said: JsonObject, fullUrl: string): JsonObject {
    const links = Array.isArray(stored['link']) ? stored['link'] : [];
    if (links.length === 0) return stored;
    const parted = this.#update.changes.flatMap((change) => (change.kind === 'part' ? change.fullUrls : []));
    const others = parted.filter((one) => one !== fullUrl).flatMap((one) => this.#found.get(one) ?? []);
    const names = parted.includes(fullUrl) ? new Set(others.map(nameText)) : new Set<string>();
    const isReplaced = linksOf(said).some(({ type }) => type === 'replaced-by');
    const left = links.filter((link) => {
      const [{ type, other } = { type: '', other: '' }] = linksOf({ link: [link] });
      return !names.has(other) && !(isReplaced && type === 'replaced-by');
    });
    const { link: _links, ...rest } = stored;
    return left.length === 0 ? rest : { ...rest, link: left };
  }

  /** Of what refers to `name`: which were changed. */
  async #rewriteReferring(
    name: ResourceName,
    rename: (text: string) => string | undefined,
  ): Promise<readonly ResourceName[]> {
    const versions = await lockReferring(this.#tx, nameText(name), REWRITTEN_COUNT_MAX + 1);
    if (this.#rewritten.size + versions.length > REWRITTEN_COUNT_MAX) {
      throw new AppError(
        'input.invalid',
        `MRG: more than ${REWRITTEN_COUNT_MAX} records hang on what is merged or moved.`,
      );
    }
    for (const version of versions) {
      const key = nameText(version);
      const resource = this.#stored.get(key) ?? resourceOf(version);
      if (resource === undefined) continue;
      replaceTexts(resource, rename);
      this.#stored.set(key, resource);
      this.#rewritten.add(key);
    }
    return versions;
  }

  async #match(type: string, query: string): Promise<ResourceName | undefined> {
    return oneMatch(this.#deps, this.#tx, { type, query, base: this.#update.base });
  }

  /** Locked, and with what this message did to it until now. */
  async #read(name: ResourceName): Promise<JsonObject | undefined> {
    const known = this.#stored.get(nameText(name));
    if (known !== undefined) return known;
    const version = (await lockCurrent(this.#tx, [name])).get(nameText(name));
    const resource = version === undefined ? undefined : resourceOf(version);
    if (resource !== undefined) this.#stored.set(nameText(name), resource);
    return resource;
  }
}

function putOf(resource: JsonObject, fullUrl: string): JsonObject {
  const url = `${String(resource['resourceType'])}/${String(resource['id'])}`;
  return { fullUrl, resource, request: { method: 'PUT', url } };
}

/** Its new version comes from this message. */
function withoutSource(resource: JsonObject): JsonObject {
  const { source: _source, ...meta } = isJsonObject(resource['meta']) ? resource['meta'] : {};
  return { ...resource, meta };
}

function resourceOf(version: StoredVersion): JsonObject | undefined {
  if (version.text === undefined) return undefined;
  const parsed = parseJson(joinResource(version, version.text), FHIR_JSON_LIMITS);
  return isJsonObject(parsed) ? parsed : undefined;
}

function linksOf({ link }: JsonObject): { type: string; other: string }[] {
  return (Array.isArray(link) ? link : []).filter(isJsonObject).map(({ type, other }) => ({
    type: String(type),
    other: isJsonObject(other) ? String(other['reference']) : '',
  }));
}

function replacedBy(patient: JsonObject | undefined): string | undefined {
  const link = linksOf(patient ?? {}).find(({ type }) => type === 'replaced-by');
  return /^Patient\/([^/]+)$/.exec(link?.other ?? '')?.[1];
}

/** Of a visit, or of an account, which lists them. */
function subjectOf(resource: JsonObject | undefined): string | undefined {
  const [subject] = [resource?.['subject']].flat();
  const reference = isJsonObject(subject) ? subject['reference'] : undefined;
  return typeof reference === 'string' ? reference : undefined;
}
