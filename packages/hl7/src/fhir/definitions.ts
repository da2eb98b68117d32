/**
 * HL7's definitions of FHIR R4 in the form that scripts/generate-fhir-tables.py makes: what a resource may hold, by which rules, and
 * by what it is found. Read from `generated` on first use: a process that sees no FHIR does not pay for a megabyte of tables.
 */
import { readFileSync } from 'node:fs';

export type ElementDefinition = {
  readonly name: string;
  /** Least count; 0 when absent. */
  readonly min?: number;
  /** Greatest count: 1 when absent, 0 for any. */
  readonly max?: number;
  /** One of several types, which stands at the end of the name in JSON. */
  readonly choice?: true;
  /** Names of data types, or of the type of this very element (`Patient.contact`). */
  readonly types: readonly string[];
  /** Types of resource that a reference may point to; any when absent. */
  readonly targets?: readonly string[];
  /** Name of a code set to which the element is bound (strength "required"). */
  readonly codes?: string;
  /** Places in `constraints`, beyond those of the type. */
  readonly rules?: readonly number[];
  readonly summary?: true;
};

export type TypeDefinition = {
  readonly kind: 'resource' | 'complex-type' | 'backbone';
  readonly abstract?: true;
  readonly elements: readonly ElementDefinition[];
  readonly rules?: readonly number[];
};

type Structures = {
  readonly types: Readonly<Record<string, TypeDefinition>>;
  /** Regular expression of a primitive type; null: none. */
  readonly primitives: Readonly<Record<string, string | null>>;
  /** Codes by the system that defines them. */
  readonly codeSets: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>>;
  /** Key, words and FHIRPath expression. */
  readonly constraints: readonly (readonly [key: string, human: string, expression: string])[];
};

export type SearchKind = 'token' | 'reference' | 'string' | 'date' | 'quantity' | 'number' | 'uri';

/** Where in the JSON of a resource a parameter finds its values: `name.given`, `telecom[system=phone]`, `entry[0].resource`. */
export type SearchSource = {
  readonly path: string;
  readonly type: string;
  /** The path without the types of choices (`effective` for `effectiveDateTime`), where it differs. */
  readonly place?: string;
  /** Only references to this type of resource. */
  readonly target?: string;
  /** Of a code, which names none itself. */
  readonly system?: string;
};

export type SearchParameter = {
  readonly type: SearchKind | 'composite' | 'special';
  /** Absent where the parameter cannot be reduced to paths. */
  readonly sources?: readonly SearchSource[];
  readonly targets?: readonly string[];
};

type SearchTables = {
  readonly parameters: Readonly<Record<string, Readonly<Record<string, SearchParameter>>>>;
  /** By compartment and type of resource: the parameters that place a resource in it. */
  readonly compartments: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>>;
};

let structures: Structures | undefined;
let searchTables: SearchTables | undefined;

function generated(name: string): string {
  return readFileSync(new URL(`./generated/${name}`, import.meta.url), 'utf8');
}

export function fhirStructures(): Structures {
  structures ??= JSON.parse(generated('r4-structures.json')) as Structures; // made by our own script
  return structures;
}

function fhirSearchTables(): SearchTables {
  searchTables ??= JSON.parse(generated('r4-search.json')) as SearchTables; // made by our own script
  return searchTables;
}

/** Every type of resource that can be stored, in order. */
export function resourceTypes(): readonly string[] {
  const { types } = fhirStructures();
  return Object.keys(types).filter((name) => isResourceType(name));
}

export function isResourceType(name: string): boolean {
  const { types } = fhirStructures();
  if (!Object.hasOwn(types, name)) return false;
  const type = types[name];
  return type?.kind === 'resource' && type.abstract !== true;
}

/** The search parameters of a type of resource by their codes, without those that every server has (`_id`, `_lastUpdated`). */
export function searchParametersOf(type: string): Readonly<Record<string, SearchParameter>> {
  return fhirSearchTables().parameters[type] ?? {};
}

/** By which parameters resources of each type belong to a patient. */
export function patientCompartment(): Readonly<Record<string, readonly string[]>> {
  return fhirSearchTables().compartments['Patient'] ?? {};
}
