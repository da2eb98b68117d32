/**
 * Checks a resource against FHIR R4: names, counts, types, forms, bound codes, targets of references, and the rules of the standard
 * that are written in FHIRPath.
 *
 * The definitions are compiled once per type into a table from name to check; a sound resource is walked once, without a path being
 * built or anything allocated per element. A path is put together from the inside out, only where something is wrong.
 *
 * Not checked: profiles (meta.profile), extensions beyond their form, codes of bindings that are not required or not listed, whether
 * what a reference names is there.
 */
import { type ElementDefinition, fhirStructures, isResourceType, type TypeDefinition } from './definitions.ts';
import type { Scope } from './fhirpath/collection.ts';
import { itemOfResource } from './fhirpath/item.ts';
import { compileRules, type Rule } from './invariants.ts';
import { isJsonObject, isRawNumber, type JsonObject } from './json.ts';
import type { Issue, IssueCode } from './operation-outcome.ts';
import { isPrimitive, type PrimitiveCheck, primitiveCheck } from './primitives.ts';

/** More are not listed: who sends garbage is not answered with more of it. */
const ISSUE_COUNT_MAX = 100;

type Property = {
  readonly definition: ElementDefinition;
  readonly type: string;
  readonly isList: boolean;
  /** Of a primitive type; the others are looked up by `type` when they are met, as types may hold each other. */
  readonly check: PrimitiveCheck | undefined;
  readonly codes: BoundCodes | undefined;
  readonly targets: ReadonlySet<string> | undefined;
  readonly rules: readonly Rule[];
};

type Required = { readonly names: readonly string[]; readonly label: string };

type CompiledType = {
  readonly name: string;
  readonly properties: ReadonlyMap<string, Property>;
  readonly required: readonly Required[];
  /** Of a choice only one may be there. */
  readonly choices: readonly (readonly string[])[];
  readonly rules: readonly Rule[];
};

type BoundCodes = { readonly all: ReadonlySet<string>; readonly pairs: ReadonlySet<string> };

/** A path is completed by whoever called: `.name[0]` becomes `Patient.name[0]`. */
type Found = { severity: Issue['severity']; code: IssueCode; diagnostics: string; path: string };

type Walk = { readonly scope: Scope; readonly found: Found[] };

const compiledTypes = new Map<string, CompiledType>();
const boundCodes = new Map<string, BoundCodes>();

/** Problems of a resource, at most `ISSUE_COUNT_MAX`; none: it is valid. */
export function validateResource(resource: unknown): Issue[] {
  const found: Found[] = [];
  const name = isJsonObject(resource) && typeof resource['resourceType'] === 'string' ? resource['resourceType'] : '';
  if (!isJsonObject(resource)) report(found, 'structure', 'A resource is a JSON object.', '');
  else checkResource(resource, undefined, found);
  const start = isResourceType(name) ? name : '';
  return found.slice(0, ISSUE_COUNT_MAX).map(({ severity, code, diagnostics, path }) => {
    const expression = `${start}${path}`;
    return { severity, code, diagnostics, ...(expression === '' ? {} : { expression }) };
  });
}

function report(found: Found[], code: IssueCode, diagnostics: string, path: string): void {
  found.push({ severity: 'error', code, diagnostics, path });
}

/** `around`: the resource that contains this one; undefined for one that stands for itself. */
function checkResource(resource: JsonObject, around: Scope | undefined, found: Found[]): void {
  const type = resource['resourceType'];
  if (typeof type !== 'string') {
    report(found, 'structure', 'resourceType is missing.', '');
    return;
  }
  if (!isResourceType(type)) {
    report(found, 'not-supported', 'FHIR R4 has no such resourceType.', '.resourceType');
    return;
  }
  const item = itemOfResource(resource);
  if (Array.isArray(resource['contained'])) checkContained(resource, resource['contained'], found);
  checkObject(resource, compiledType(type), {
    found,
    scope: { resource: item, rootResource: around?.rootResource ?? item },
  });
}

/** dom-3: what is contained is referred to from elsewhere in the resource, or refers to it. */
function checkContained(resource: JsonObject, contained: readonly unknown[], found: Found[]): void {
  const anchors = new Set<string>();
  collectAnchors(resource, anchors);
  for (const [index, inner] of contained.entries()) {
    if (!isJsonObject(inner) || anchors.has(`#${String(inner['id'])}`)) continue;
    const own = new Set<string>();
    collectAnchors(inner, own);
    if (!own.has('#'))
      report(found, 'invariant', 'dom-3: Nothing refers to the contained resource.', `.contained[${index}]`);
  }
}

/** Every text that begins like a reference to something contained. */
function collectAnchors(value: unknown, into: Set<string>): void {
  if (typeof value === 'string') {
    if (value.startsWith('#')) into.add(value);
  } else if (Array.isArray(value)) {
    for (const item of value) collectAnchors(item, into);
  } else if (isJsonObject(value)) {
    for (const name in value) collectAnchors(value[name], into);
  }
}

function compiledType(name: string): CompiledType {
  let compiled = compiledTypes.get(name);
  if (compiled === undefined) {
    compiled = compile(name, fhirStructures().types[name] ?? { kind: 'complex-type', elements: [] });
    compiledTypes.set(name, compiled);
  }
  return compiled;
}

function compile(name: string, definition: TypeDefinition): CompiledType {
  const properties = new Map<string, Property>();
  const required: Required[] = [];
  const choices: string[][] = [];
  for (const element of definition.elements) {
    const names = element.types.map((type) => jsonName(element, type));
    element.types.forEach((type, place) => {
      properties.set(names[place] ?? '', propertyOf(element, type));
    });
    if ((element.min ?? 0) > 0)
      required.push({ names, label: element.choice === true ? `${element.name}[x]` : element.name });
    if (element.choice === true && names.length > 1) choices.push(names);
  }
  return { name, properties, required, choices, rules: compileRules(definition.rules ?? []) };
}

function jsonName({ name, choice }: ElementDefinition, type: string): string {
  return choice === true ? name + type.charAt(0).toUpperCase() + type.slice(1) : name;
}

function propertyOf(definition: ElementDefinition, type: string): Property {
  return {
    definition,
    type,
    isList: definition.max !== undefined && definition.max !== 1,
    check: isPrimitive(type) ? primitiveCheck(type) : undefined,
    codes: definition.codes === undefined ? undefined : codesOf(definition.codes),
    targets: definition.targets === undefined ? undefined : new Set(definition.targets),
    rules: compileRules(definition.rules ?? []),
  };
}

function codesOf(name: string): BoundCodes {
  let codes = boundCodes.get(name);
  if (codes === undefined) {
    const entries = Object.entries(fhirStructures().codeSets[name] ?? {});
    codes = {
      all: new Set(entries.flatMap(([, list]) => list)),
      pairs: new Set(entries.flatMap(([system, list]) => list.map((code) => `${system}|${code}`))),
    };
    boundCodes.set(name, codes);
  }
  return codes;
}

function checkObject(object: JsonObject, type: CompiledType, walk: Walk): void {
  const { found } = walk;
  let count = 0;
  for (const name in object) {
    count += 1;
    const property = type.properties.get(name);
    if (property !== undefined) checkProperty(object, name, property, walk);
    else if (name.startsWith('_')) checkPrimitiveElement(object, name, type, walk);
    else if (name !== 'resourceType') {
      // The name may be anything, also of a patient: it is told only where it looks like a name of an element.
      const isTold = /^[A-Za-z][A-Za-z0-9]{0,40}$/.test(name);
      report(found, 'structure', `${type.name} has no element of this name.`, isTold ? `.${name}` : '');
    }
    if (found.length > ISSUE_COUNT_MAX) return;
  }
  if (count === 0) report(found, 'structure', 'An object must not be empty (ele-1).', '');
  checkCounts(object, type, walk);
  for (const rule of type.rules) applyRule(rule, object, type.name, walk);
}

function applyRule(rule: Rule, value: JsonObject, type: string, { scope, found }: Walk): void {
  if (!rule.holds({ value, type }, scope)) report(found, 'invariant', `${rule.key}: ${rule.human}`, '');
}

function checkCounts(object: JsonObject, type: CompiledType, { found }: Walk): void {
  for (const { names, label } of type.required) {
    if (!names.some((name) => Object.hasOwn(object, name) || Object.hasOwn(object, `_${name}`))) {
      report(found, 'required', `${label} is required.`, `.${label.replace('[x]', '')}`);
    }
  }
  for (const names of type.choices) {
    const present = names.filter((name) => Object.hasOwn(object, name));
    if (present.length > 1) report(found, 'structure', 'Only one type of a choice may be given.', `.${present[0]}`);
  }
  if (type.name !== 'Extension') return;
  const hasValue = Object.keys(object).some((name) => name.startsWith('value') || name.startsWith('_value'));
  if (hasValue === Object.hasOwn(object, 'extension')) {
    report(found, 'invariant', 'ext-1: Must have either extensions or value[x], not both.', '');
  }
}

function checkProperty(object: JsonObject, name: string, property: Property, walk: Walk): void {
  const value = object[name];
  const { found } = walk;
  if (!property.isList) {
    if (Array.isArray(value)) {
      report(found, 'structure', 'Only one value is allowed, without an array.', `.${name}`);
      return;
    }
    checkValue(value, property, walk, `.${name}`);
    return;
  }
  if (!Array.isArray(value)) {
    report(found, 'structure', 'An array is needed, as the element may repeat.', `.${name}`);
    return;
  }
  if (value.length === 0) {
    report(found, 'structure', 'An array must not be empty.', `.${name}`);
    return;
  }
  const { max = 1 } = property.definition;
  if (max > 1 && value.length > max) report(found, 'structure', `At most ${max} values are allowed.`, `.${name}`);
  for (let index = 0; index < value.length; index += 1) {
    const item = value[index];
    if (item === null && isHeldBeside(object, name, index)) continue;
    const before = found.length;
    checkValue(item, property, walk, '');
    if (found.length > before) prefix(found, before, `.${name}[${index}]`);
    if (found.length > ISSUE_COUNT_MAX) return;
  }
}

/** A null in an array of primitives stands for a value whose extensions are in the array beside it. */
function isHeldBeside(object: JsonObject, name: string, index: number): boolean {
  const beside = object[`_${name}`];
  return Array.isArray(beside) && isJsonObject(beside[index]);
}

function prefix(found: Found[], from: number, path: string): void {
  for (let place = from; place < found.length; place += 1) {
    const issue = found[place];
    if (issue !== undefined) issue.path = path + issue.path;
  }
}

function checkValue(value: unknown, property: Property, walk: Walk, path: string): void {
  const { found } = walk;
  const before = found.length;
  const { check, type, codes } = property;
  if (check !== undefined) {
    const wrong = check(value);
    if (wrong !== undefined) report(found, 'value', `The value ${wrong}.`, '');
    else if (codes !== undefined && typeof value === 'string' && !codes.all.has(value)) {
      report(found, 'code-invalid', `The code is not one of ${property.definition.codes}.`, '');
    }
  } else if (!isJsonObject(value)) {
    report(
      found,
      'structure',
      isRawNumber(value) ? 'An object is needed, not a number.' : `An object is needed (${type}).`,
      '',
    );
  } else if (type === 'Resource') {
    checkResource(value, property.definition.name === 'contained' ? walk.scope : undefined, found);
  } else {
    checkObject(value, compiledType(type), walk);
    if (codes !== undefined) checkBinding(value, property, codes, walk);
    if (type === 'Reference' && property.targets !== undefined) checkTarget(value, property.targets, walk);
    for (const rule of property.rules) applyRule(rule, value, type, walk);
  }
  if (path !== '' && found.length > before) prefix(found, before, path);
}

function checkBinding(value: JsonObject, { type, definition }: Property, codes: BoundCodes, { found }: Walk): void {
  const codings = type === 'Coding' ? [value] : type === 'CodeableConcept' ? value['coding'] : undefined;
  if (!Array.isArray(codings)) return; // a text alone, or a type whose binding is not checked
  const isBound = codings.some((coding) => {
    if (!isJsonObject(coding)) return false;
    return codes.pairs.has(`${String(coding['system'])}|${String(coding['code'])}`);
  });
  if (!isBound) report(found, 'code-invalid', `No coding is of ${definition.codes}.`, '');
}

const REFERENCE = /^(?:https?:\/\/.*\/)?([A-Z][A-Za-z]+)\/[A-Za-z0-9\-.]{1,64}(?:\/_history\/[A-Za-z0-9\-.]{1,64})?$/;

function checkTarget(value: JsonObject, targets: ReadonlySet<string>, { found }: Walk): void {
  const reference = value['reference'];
  if (typeof reference !== 'string') return;
  const type = REFERENCE.exec(reference)?.[1];
  if (type === undefined || targets.has(type) || !isResourceType(type)) return;
  // A warning: three of the standard's own examples point elsewhere, and what they say is understood all the same.
  const diagnostics = `A reference from here should not point to ${type}.`;
  found.push({ severity: 'warning', code: 'value', diagnostics, path: '.reference' });
}

/** `_birthDate`: id and extensions of a primitive, in an array beside its array. */
function checkPrimitiveElement(object: JsonObject, name: string, type: CompiledType, walk: Walk): void {
  const { found } = walk;
  const property = type.properties.get(name.slice(1));
  if (property?.check === undefined) {
    report(found, 'structure', `${type.name} has no primitive of this name.`, '');
    return;
  }
  const value = object[name];
  const items = property.isList ? value : [value];
  if (!Array.isArray(items)) {
    report(found, 'structure', 'An array is needed, as the element may repeat.', `.${name}`);
    return;
  }
  const before = found.length;
  for (const item of items) {
    if (item === null && property.isList) continue;
    if (isJsonObject(item)) checkObject(item, compiledType('Element'), walk);
    else report(found, 'structure', 'An object with id or extension is needed.', '');
  }
  if (found.length > before) prefix(found, before, `.${name.slice(1)}`);
}
