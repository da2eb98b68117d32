/**
 * What a message does to records that are there already, beside the resources that it brings: the part of it that a bundle cannot say.
 * Whoever keeps the records carries it out.
 */
import type { AdtEvent, PriorNumber } from './adt-events.ts';
import { pidOf, priorOf } from './merge-segment.ts';
import { type Json, newResource, type Resource } from './resource-tree.ts';
import { type Execution, executeSegment } from './row-execution.ts';

export type RecordChange =
  /** Elements that the message deletes, or that its event takes back: `name`, `period.end`, `participant:REF` (that occurrence). */
  | { readonly kind: 'remove'; readonly fullUrl: string; readonly paths: readonly string[] }
  /** Elements that say nothing: they are there because FHIR needs them, and give way to what is known. */
  | { readonly kind: 'placeholder'; readonly fullUrl: string; readonly elements: readonly string[] }
  /** Whatever has this old number is the resource of `fullUrl` from now on, and keeps the number as an old one. */
  | {
      readonly kind: 'take-over';
      readonly fullUrl: string;
      readonly type: PriorNumber['of'];
      readonly query: string;
      readonly identifier: Json;
    }
  /** The account or visit belongs to another patient, with all that hangs on it. */
  | { readonly kind: 'take-along'; readonly fullUrl: string }
  /** These patients are not one. */
  | { readonly kind: 'part'; readonly fullUrls: readonly string[] };

/** A change whose resources have no names yet: `target` is found among those of the message by its number. */
export type Pending =
  | { readonly kind: 'take-over'; readonly of: PriorNumber['of']; readonly target: Resource; readonly prior: Resource }
  | { readonly kind: 'take-along'; readonly of: PriorNumber['of']; readonly target: Resource };

/** One for each MRG, of a patient, account or visit near it (3.3.6: groups of PID, MRG and PV1). */
export function pendingChanges(execution: Execution, event: AdtEvent): Pending[] {
  const of = event.prior?.of ?? event.moves;
  if (of === undefined) return [];
  return execution.message.segments.flatMap((segment, number): Pending[] => {
    if (segment.name !== 'MRG') return [];
    const target = ownerNear(execution, of, number);
    if (target === undefined) {
      execution.onProblem('MRG', `the message names no ${WORDS[of]} by its number`);
      return [];
    }
    if (event.prior === undefined) return [{ kind: 'take-along', of, target }];
    const prior = scratch(execution, priorOf(segment, event.prior), of);
    if (prior === undefined) {
      execution.onProblem(`MRG-${event.prior.field}`, 'the old number is missing');
      return [];
    }
    execution.onField(segment, event.prior.field, 'mapped');
    return [{ kind: 'take-over', of, target, prior }];
  });
}

const WORDS = { Patient: 'patient', Account: 'account', Encounter: 'visit' } as const;

function ownerNear(execution: Execution, of: PriorNumber['of'], number: number): Resource | undefined {
  const { segments } = execution.message;
  const begin = segments.slice(0, number).findLastIndex(({ name }) => name === 'PID');
  const pid = segments[begin];
  if (of !== 'Encounter') return pid === undefined ? undefined : scratch(execution, pidOf(pid, of), of);
  const rest = segments.slice(number + 1);
  const end = rest.findIndex(({ name }) => name === 'PID' || name === 'MRG');
  const after = rest.slice(0, end === -1 ? undefined : end).find(({ name }) => name === 'PV1');
  const visit = after ?? segments.slice(Math.max(0, begin), number).findLast(({ name }) => name === 'PV1');
  return visit === undefined ? undefined : scratch(execution, visit, of);
}

const MAPS = { Patient: 'PID[Patient]', Account: 'PID[Account]', Encounter: 'PV1[Encounter]' } as const;

/** A resource that is made for its number alone, and is none of the message. */
function scratch(
  execution: Execution,
  segment: Parameters<typeof executeSegment>[1],
  type: PriorNumber['of'],
): Resource | undefined {
  const quiet = { ...execution, newResource: (other: string) => newResource(other, -1), onProblem() {}, onField() {} };
  const resource = newResource(type, -1);
  executeSegment(quiet, segment, { map: MAPS[type], resource, key: 'number' });
  return resource.isTouched && resource.root.slots.has('identifier') ? resource : undefined;
}
