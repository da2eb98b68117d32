/**
 * The resources of a message as a transaction: each entry says by a business identifier which resource it makes or changes, so that
 * the same message, or the next one about the same thing, finds what is there.
 *
 *   a record with an identifier (patient, visit, order, report, …)   PUT Type?identifier=…     the message says how it stands now
 *   whoever or whatever is only referred to (people, places)          POST, if none has it      the message says little about it
 *   a record without one                                             POST, if none has the identifier that we make of its content
 *   what has no identifiers in FHIR                                  POST
 *
 * An identifier without a system gets one of its sender's, so that equal numbers of two hospitals never meet.
 */
import { createHash } from 'node:crypto';
import type { AdtEvent } from './adt-events.ts';
import { completed, isJsonObject, type JsonObject } from './completion.ts';
import { elementOf } from './fhir-model.ts';
import type { MappingAccount } from './mapping-account.ts';
import type { Pending, RecordChange } from './record-change.ts';
import { jsonOf, type Resource } from './resource-tree.ts';

export type BundleEntry = {
  readonly fullUrl: string;
  readonly resource: JsonObject;
  readonly request: { readonly method: 'PUT' | 'POST'; readonly url: string; readonly ifNoneExist?: string };
};

export type Bundle = {
  readonly resourceType: 'Bundle';
  readonly type: 'transaction';
  readonly entry: readonly BundleEntry[];
};

/** Types of which a message says how one of them stands. */
const UPDATED: ReadonlySet<string> = new Set(
  'Patient Encounter EpisodeOfCare Account ServiceRequest DiagnosticReport Observation Specimen Appointment Immunization DocumentReference MedicationRequest MedicationAdministration Procedure Condition AllergyIntolerance Coverage'.split(
    ' ',
  ),
);

/** Types of identifiers (HL7 table 0203) by which a resource is known best. */
const PREFERRED: ReadonlySet<string> = new Set(['MR', 'PI', 'VN', 'FILL', 'FGN']);

type BundleOptions = {
  readonly identifierSystem: string;
  readonly seed: string;
  readonly account: MappingAccount;
  readonly pending: readonly Pending[];
  /** How the message parts or changes what is there, of resources by their type. */
  readonly event: AdtEvent | undefined;
};

type Bundled = { readonly bundle: Bundle | undefined; readonly changes: readonly RecordChange[] };

/** No bundle where there is nothing to record. */
export function bundleOf(resources: readonly Resource[], options: BundleOptions): Bundled {
  const kept = reachable(resources);
  if (kept.length === 0) return { bundle: undefined, changes: [] };
  const identities = new Identities(options);
  const entries = new Map<string, { fullUrl: string; resource: Resource; identity: Identity }>();
  const urls = new Map<Resource, string>();
  for (const resource of kept) {
    const identity = identities.of(resource);
    const known = identity.key === undefined ? undefined : entries.get(identity.key);
    const fullUrl = known?.fullUrl ?? urnOf(options.seed, resource.number);
    urls.set(resource, fullUrl);
    if (known === undefined) entries.set(identity.key ?? fullUrl, { fullUrl, resource, identity });
  }
  const changes: RecordChange[] = [];
  const entry = [...entries.values()].map(({ fullUrl, resource, identity }) => {
    const json = jsonOf(resource.root, (target) => urls.get(target) ?? '');
    const absent: string[] = [];
    const unfinished = { fullUrl, type: resource.type, json: withoutNowhere(json), identity };
    const made = entryOf(unfinished, options, (path) => absent.push(path));
    changes.push(...changesOf(made, { resource, absent, event: options.event }));
    return made;
  });
  for (const change of options.pending) changes.push(...resolved(change, identities, entries, options));
  if (options.event?.patients === 'part') {
    const patients = entry.filter(({ resource }) => resource['resourceType'] === 'Patient');
    changes.push({ kind: 'part', fullUrls: patients.map(({ fullUrl }) => fullUrl) });
  }
  return { bundle: { resourceType: 'Bundle', type: 'transaction', entry }, changes };
}

/** What the message says of the elements of one record that it does not bring. */
function changesOf(
  { fullUrl, request }: BundleEntry,
  { resource, absent, event }: { resource: Resource; absent: readonly string[]; event: AdtEvent | undefined },
): RecordChange[] {
  if (request.method !== 'PUT') return [];
  const { type, deleted } = resource;
  const isVisit = type === 'Encounter';
  const paths = [...deleted, ...(isVisit ? (event?.visitLoses ?? []) : [])];
  const own = absent.filter((path) => path.split('.', 2)[0] === type && path.split('.').length === 2);
  const elements = own.map((path) => path.slice(type.length + 1));
  if (isVisit && event?.visit === 'kept') elements.push('status');
  return [
    ...(paths.length === 0 ? [] : [{ kind: 'remove', fullUrl, paths } as const]),
    ...(elements.length === 0 ? [] : [{ kind: 'placeholder', fullUrl, elements } as const]),
  ];
}

/** The resource of the message that a change means has the same number. */
function resolved(
  change: Pending,
  identities: Identities,
  entries: ReadonlyMap<string, { readonly fullUrl: string }>,
  { account, identifierSystem }: BundleOptions,
): RecordChange[] {
  const fullUrl = entries.get(identities.of(change.target).key ?? '')?.fullUrl;
  if (fullUrl === undefined) {
    account.problem({ rule: 'the message names nobody by the number to which an old one goes', place: 'MRG' });
    return [];
  }
  if (change.kind === 'take-along') return [{ kind: 'take-along', fullUrl }];
  const { of: type, prior } = change;
  const { query } = identities.of(prior);
  const { identifier } = withSystems(
    jsonOf(prior.root, () => ''),
    type,
    identifierSystem,
  );
  const first = Array.isArray(identifier) ? identifier[0] : identifier;
  if (query === undefined || !isJsonObject(first)) return [];
  return [{ kind: 'take-over', fullUrl, type, query, identifier: { ...first, use: 'old' } }];
}

/** Those that stand for themselves, and what they lead to. */
function reachable(resources: readonly Resource[]): Resource[] {
  const there = new Set(resources);
  const found = new Set<Resource>();
  const visit = (resource: Resource) => {
    if (found.has(resource) || !there.has(resource)) return;
    found.add(resource);
    jsonOf(resource.root, (target) => {
      next.push(target);
      return '';
    });
  };
  const next: Resource[] = resources.filter(({ isPrimary }) => isPrimary);
  for (let resource = next.shift(); resource !== undefined; resource = next.shift()) visit(resource);
  return resources.filter((resource) => found.has(resource));
}

type Identity = {
  readonly key: string | undefined;
  readonly query: string | undefined;
  readonly made: JsonObject | undefined;
};

/** By which a resource is found again. */
class Identities {
  readonly #options: BundleOptions;
  readonly #known = new Map<Resource, Identity>();

  constructor(options: BundleOptions) {
    this.#options = options;
  }

  of(resource: Resource): Identity {
    const known = this.#known.get(resource);
    if (known !== undefined) return known;
    // While it is being found out, whoever refers to it in a circle sees its type alone.
    this.#known.set(resource, { key: resource.type, query: undefined, made: undefined });
    const identity = this.#find(resource);
    this.#known.set(resource, identity);
    return identity;
  }

  #find(resource: Resource): Identity {
    const json = jsonOf(resource.root, (target) => this.of(target).key ?? target.type);
    const { type } = resource;
    const named = identifierOf(withSystems(json, type, this.#options.identifierSystem));
    if (named !== undefined) return identity(type, named, undefined);
    const hash = createHash('sha256')
      .update(`${type} ${JSON.stringify(json)}`)
      .digest('hex');
    const element = elementOf(type, 'identifier');
    if (element === undefined) return { key: undefined, query: undefined, made: undefined };
    const made = { system: `${this.#options.identifierSystem}:content`, value: hash };
    return identity(type, made, made);
  }
}

type Named = { readonly system: string; readonly value: string };

function identity(type: string, { system, value }: Named, made: Named | undefined): Identity {
  const query = `identifier=${encodeURIComponent(system)}|${encodeURIComponent(value)}`;
  return { key: `${type}?${query}`, query, made };
}

function identifierOf(json: JsonObject): Named | undefined {
  const all = Array.isArray(json['identifier']) ? json['identifier'] : [json['identifier']];
  const named = all.filter(isJsonObject).flatMap((one) => {
    const { system, value } = { system: one['system'], value: one['value'] };
    return typeof system === 'string' && typeof value === 'string' ? [{ system, value, code: typeCode(one) }] : [];
  });
  return named.find(({ code }) => PREFERRED.has(code)) ?? named[0];
}

function typeCode(identifier: JsonObject): string {
  const type = identifier['type'];
  const codings = isJsonObject(type) && Array.isArray(type['coding']) ? type['coding'] : [];
  const code = codings.filter(isJsonObject).map((coding) => coding['code'])[0];
  return typeof code === 'string' ? code : '';
}

/** Numbers without an authority are their sender's, by their kind. */
function withSystems(json: JsonObject, type: string, identifierSystem: string): JsonObject {
  const given = json['identifier'];
  const one = (identifier: unknown): unknown => {
    if (!isJsonObject(identifier) || identifier['system'] !== undefined || identifier['value'] === undefined)
      return identifier;
    const code = typeCode(identifier);
    return { ...identifier, system: `${identifierSystem}:${encodeURIComponent(code === '' ? type : code)}` };
  };
  if (given === undefined) return json;
  return { ...json, identifier: Array.isArray(given) ? given.map(one) : Object(one(given)) };
}

type Unfinished = {
  readonly fullUrl: string;
  readonly type: string;
  readonly json: JsonObject;
  readonly identity: Identity;
};

function entryOf(
  { fullUrl, type, json, identity: { query, made } }: Unfinished,
  options: BundleOptions,
  onAbsent: (path: string) => void,
): BundleEntry {
  const named = withSystems(json, type, options.identifierSystem);
  const isList = elementOf(type, 'identifier')?.isList === true;
  const given = Array.isArray(named['identifier']) ? named['identifier'] : [];
  const identified = made === undefined ? named : { ...named, identifier: isList ? [...given, made] : made };
  const whole = completed(identified, type, (path) => {
    options.account.problem({ rule: `${path} is needed in FHIR and not said` });
    onAbsent(path);
  });
  const resource = { resourceType: type, ...whole };
  if (query === undefined) return { fullUrl, resource, request: { method: 'POST', url: type } };
  const isUpdated = UPDATED.has(type) && made === undefined;
  if (isUpdated) return { fullUrl, resource, request: { method: 'PUT', url: `${type}?${query}` } };
  return { fullUrl, resource, request: { method: 'POST', url: type, ifNoneExist: query } };
}

/** A reference to what is not in the bundle says nothing. */
function withoutNowhere(json: JsonObject): JsonObject {
  const clean = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(clean).filter((one) => one !== undefined);
    if (!isJsonObject(value) || Object.getPrototypeOf(value) === null) return value;
    if (value['reference'] === '') return undefined;
    const kept = Object.entries(value).map(([name, inner]) => [name, clean(inner)] as const);
    return Object.fromEntries(
      kept.filter(([, inner]) => inner !== undefined && !(Array.isArray(inner) && inner.length === 0)),
    );
  };
  const cleaned = clean(json);
  return isJsonObject(cleaned) ? cleaned : {};
}

/** A UUID of version 8 (RFC 9562): the same message gives the same ones. */
function urnOf(seed: string, number: number): string {
  const hex = createHash('sha256').update(`${seed} ${number}`).digest('hex');
  const variant = ((Number.parseInt(hex.slice(16, 17), 16) & 3) | 8).toString(16);
  return `urn:uuid:${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-${variant}${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}
