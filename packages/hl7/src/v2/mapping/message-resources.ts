/**
 * The resources of a message, and which of them a row of the message's table means by `Observation[2]`: the one that its owner, the
 * first place of the structure that speaks of it, made last in this occurrence of its group. Where the owner comes again, or its group
 * begins anew, another one is made; other places add to the one that is there.
 */
import { RESOURCE_TYPES } from '../generated/fhir-elements.ts';
import { elementOf } from './fhir-model.ts';
import type { MessageRow, Place, ReferenceRule, Structure } from './message-structure.ts';
import { childOf, newResource, type Resource, type TreeNode } from './resource-tree.ts';
import type { Step, Target } from './target-path.ts';

/** Bounds what a message of very many repetitions makes; a genome report has some thousands. */
const RESOURCE_COUNT_MAX = 100_000;

export class ResourceSet {
  readonly #resources: Resource[] = [];

  /** `isPrimary`: it stands for itself; others are there because one of those refers to them. */
  add(type: string, { isPrimary = false } = {}): Resource {
    const resource = newResource(type, this.#resources.length, isPrimary);
    if (this.#resources.length < RESOURCE_COUNT_MAX) this.#resources.push(resource);
    return resource;
  }

  /** Those that hold something of the message, in the order in which they were made. */
  touched(): Resource[] {
    return this.#resources.filter(({ isTouched }) => isTouched);
  }

  instancesFor(structure: Structure): Instances {
    return new Instances(this, structure);
  }
}

type Open = { readonly resource: Resource; readonly occurrence: string; readonly places: Set<number> };

type Asked = { readonly row: MessageRow; readonly place: Place; readonly occurrence: string; readonly number: number };

/** A rule of references that waits for the end, when everything is there. */
type Pending = {
  readonly rule: ReferenceRule;
  readonly own: Resource;
  readonly known: ReadonlyMap<string, Resource>;
  readonly ownLabel: string;
};

export class Instances {
  readonly #resources: ResourceSet;
  readonly #owners = new Map<string, number>();
  readonly #open = new Map<string, Open>();
  /** One table may fill several resources of a segment: they are asked for once per segment. */
  readonly #ofSegment = new Map<string, Resource>();
  readonly #pending: Pending[] = [];

  constructor(resources: ResourceSet, { places }: Structure) {
    this.#resources = resources;
    for (const { index, rows } of places) {
      for (const { target } of rows) {
        const label = labelOf(target);
        if (label !== undefined && !this.#owners.has(label)) this.#owners.set(label, index);
      }
    }
  }

  instance({ row, place, occurrence, number }: Asked): Resource | undefined {
    const label = labelOf(row.target);
    if (label === undefined) return undefined;
    const main = this.#instanceOf(label, { place, occurrence, number });
    if (main === undefined) return undefined;
    return inner(this.#resources, main, row.target, `${place.segment}${number}`);
  }

  #instanceOf(label: string, { place, occurrence, number }: Omit<Asked, 'row'>): Resource | undefined {
    const type = label.replace(/\[.*$/, '');
    if (!RESOURCE_TYPES.has(type)) return undefined;
    const ofSegment = this.#ofSegment.get(`${label} ${number}`);
    if (ofSegment !== undefined) return ofSegment;
    const open = this.#open.get(label);
    const isOwner = this.#owners.get(label) === place.index;
    const isOver =
      open !== undefined && !occurrence.startsWith(open.occurrence) && !open.occurrence.startsWith(occurrence);
    const comesAgain = isOwner && open?.places.has(place.index) === true;
    const current = open === undefined || isOver || comesAgain ? undefined : open;
    const used = current ?? {
      resource: this.#resources.add(type, { isPrimary: true }),
      occurrence,
      places: new Set<number>(),
    };
    used.places.add(place.index);
    this.#open.set(label, used);
    this.#ofSegment.set(`${label} ${number}`, used.resource);
    return used.resource;
  }

  /** Keeps the rules of a row until the end, with what its labels mean now. */
  remember({ row, resource }: { readonly row: MessageRow; readonly resource: Resource }): void {
    const known = new Map([...this.#open].map(([label, open]) => [label, open.resource]));
    const ownLabel = labelOf(row.target) ?? '';
    for (const rule of row.references) this.#pending.push({ rule, own: resource, known, ownLabel });
    if (row.target.literal !== undefined) {
      const rule = { left: row.target, right: undefined, literal: row.target.literal };
      this.#pending.push({ rule, own: resource, known, ownLabel });
    }
  }

  pending(): readonly Pending[] {
    return this.#pending;
  }

  latest(label: string): Resource | undefined {
    return this.#open.get(label)?.resource;
  }
}

/** `Observation[2]` of `Observation[2].note`; what has no number is number 1. */
function labelOf({ steps }: Target): string | undefined {
  const [first] = steps;
  return first === undefined ? undefined : `${first.name}[${first.label ?? '1'}]`;
}

/** Of `Provenance[1].entity.what(Device)`, the device; of `ServiceRequest[1].note`, the request: its table begins there. */
function inner(resources: ResourceSet, main: Resource, { steps, literal }: Target, key: string): Resource | undefined {
  const reference = steps.findLast((step) => step.reference !== undefined)?.reference;
  if (reference === undefined || literal !== undefined) return main;
  if (!RESOURCE_TYPES.has(reference.type)) return undefined;
  const node = nodeAt(main.root, steps.slice(1), key);
  if (node === undefined) return undefined;
  node.resource ??= resources.add(reference.type);
  return node.resource;
}

/** The element at the end of steps, without entering what it refers to. */
function nodeAt(root: TreeNode, steps: readonly Step[], key: string): TreeNode | undefined {
  let node: TreeNode | undefined = root;
  for (const { name, label } of steps) {
    const element = node === undefined ? undefined : elementOf(node.type, name);
    if (node === undefined || element === undefined) return undefined;
    node = childOf(node, element, `${key}[${label ?? '1'}]`);
  }
  return node;
}

/** Makes the references of the message's table, now that every resource is there. */
export function applyRules(instances: Instances): void {
  for (const { rule, own, known, ownLabel } of instances.pending()) {
    const find = (target: Target): Resource | undefined => {
      const label = labelOf(target) ?? '';
      const isOwn = label === ownLabel || label.replace(/\[.*$/, '') === own.type;
      return isOwn && known.get(label) === undefined ? own : (known.get(label) ?? instances.latest(label));
    };
    const left = leftOf(rule.left, { find, own, ownLabel });
    if (left === undefined) continue;
    const steps = rule.left.steps.slice(1);
    const right = rule.right === undefined ? undefined : find(rule.right);
    const node = nodeAt(left.root, steps, right === undefined ? 'rule' : `rule ${right.number}`);
    if (node === undefined) continue;
    if (rule.literal !== undefined) node.value ??= rule.literal;
    else if (right !== undefined && node.type === 'Reference' && right !== left) node.resource ??= right;
  }
}

type Finding = {
  readonly find: (target: Target) => Resource | undefined;
  readonly own: Resource;
  readonly ownLabel: string;
};

/** A left side without a number means the resource of the row itself, where it is of that type. */
function leftOf(left: Target, { find, own, ownLabel }: Finding): Resource | undefined {
  const [first] = left.steps;
  if (first === undefined) return undefined;
  if (first.name === own.type && (first.label === undefined || labelOf(left) === ownLabel)) return own;
  return find(left);
}

/** Elements by which a record says whose it is. */
const OF_PATIENT = ['subject', 'patient', 'beneficiary'] as const;

/** The tables forget for some records whose they are, such as reports: where the message has one patient, they are his. */
export function addPatient(touched: readonly Resource[]): void {
  const [patient, other] = touched.filter(({ type }) => type === 'Patient');
  if (patient === undefined || other !== undefined) return;
  for (const { type, root, isPrimary } of touched) {
    if (!isPrimary || type === 'Patient') continue;
    for (const name of OF_PATIENT) {
      const element = elementOf(type, name);
      if (element?.type !== 'Reference' || element.isList) continue;
      const node = childOf(root, element, '');
      if (node !== undefined) node.resource ??= patient;
    }
  }
}
