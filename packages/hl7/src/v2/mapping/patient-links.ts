/**
 * Patients that are merged, linked or parted: HL7's tables leave these events out, FHIR says how it is written (patient.html#links).
 *
 *   merge   A18, A30, A34, A36, A39, A40: the old number of MRG belongs to the patient of PID. Its patient becomes inactive and says
 *           by whom it is replaced; the survivor says whom it replaces.
 *   link    A24: two patients are one person, or belong together: each sees the other.
 *   part    A37: what A24, or a merge by mistake, put together is taken apart: both are active and refer to nobody.
 *
 * Which event does which stands in adt-events.ts.
 */

import type { PatientLink } from './adt-events.ts';
import { elementOf } from './fhir-model.ts';
import { MRG_FIELDS, pidOfMrg } from './merge-segment.ts';
import { childOf, type Json, type Resource, type TreeNode } from './resource-tree.ts';
import { type Execution, executeSegment } from './row-execution.ts';

/** Adds to what the tables made of the message. */
export function linkPatients(execution: Execution, link: PatientLink, made: readonly Resource[]): void {
  const patients = made.filter(({ type }) => type === 'Patient');
  switch (link) {
    case 'merge':
      mergePatients(execution, patients);
      return;
    case 'link': {
      const [first, second] = patients;
      if (first === undefined || second === undefined) return;
      addLink(first, second, 'seealso');
      addLink(second, first, 'seealso');
      return;
    }
    case 'part':
      for (const { root } of patients) set(root, 'active', true);
      return;
  }
}

/** A message may hold several pairs of PID and MRG; the n-th patient is that of the n-th PID. */
function mergePatients(execution: Execution, patients: readonly Resource[]): void {
  const { segments } = execution.message;
  let pidCount = 0;
  for (const [number, segment] of segments.entries()) {
    if (segment.name === 'PID') pidCount += 1;
    if (segment.name !== 'MRG') continue;
    const survivor = patients[pidCount - 1];
    if (survivor === undefined || segment.fields[MRG_FIELDS.patientIds] === undefined) {
      execution.onProblem('MRG-1', 'there is no patient to whom the old number could go');
      continue;
    }
    const old = execution.newResource('Patient');
    executeSegment(execution, pidOfMrg(segment), { map: 'PID[Patient]', resource: old, key: `MRG${number}` });
    if (!old.isTouched) {
      execution.onProblem('MRG-1', 'the old number is missing');
      continue;
    }
    execution.onField(segment, MRG_FIELDS.patientIds, 'mapped');
    set(old.root, 'active', false);
    set(survivor.root, 'active', true);
    addLink(old, survivor, 'replaced-by');
    addLink(survivor, old, 'replaces');
  }
}

function addLink(from: Resource, to: Resource, type: 'replaces' | 'replaced-by' | 'seealso'): void {
  const link = at(from.root, 'link', `to ${to.number}`);
  const other = link === undefined ? undefined : at(link, 'other', '');
  if (link === undefined || other === undefined) return;
  other.resource = to;
  set(link, 'type', type);
}

/** Whatever a table put there gives way. */
export function set(node: TreeNode, name: string, value: Json): void {
  const child = at(node, name, '');
  if (child !== undefined) child.value = value;
}

function at(node: TreeNode, name: string, key: string): TreeNode | undefined {
  const element = elementOf(node.type, name);
  return element === undefined ? undefined : childOf(node, element, key);
}
