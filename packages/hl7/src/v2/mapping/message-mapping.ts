/**
 * A message of HL7 v2 as a transaction bundle of FHIR R4, by HL7's official tables ("HL7 Version 2 to FHIR", CC0): the structure of the
 * message says which tables are carried out for each of its segments, these say which of data types and codes.
 *
 *   message ──► places of its structure ──► rows per place ──► resources ──► references ──► bundle, account
 *
 * Structures for which there is no table (BAR, DFT, RDE, …) borrow the rows for patient, visit and next of kin of ADT_A01; merges and
 * links of patients, which the tables leave out, are made in `patient-links.ts`. Both stand in the account.
 */

import { createHash } from 'node:crypto';
import { readHeader } from '../header.ts';
import { type Message, repetitionsOf, type Segment } from '../message.ts';
import { type Bundle, bundleOf } from './bundle.ts';
import { holds, type Name } from './condition.ts';
import { mapTable } from './map-tables.ts';
import { type Account, MappingAccount } from './mapping-account.ts';
import { applyRules, type Instances, ResourceSet } from './message-resources.ts';
import { type MessageRow, type Place, type Structure, StructureWalk, structureOf } from './message-structure.ts';
import { linkPatients, patientLinkOf } from './patient-links.ts';
import { type Execution, executeSegment } from './row-execution.ts';

export type MappingOptions = {
  /** Of times that name none: `Z` or `+01:00`. */
  readonly timeZone: string;
  /** URI of identifiers, systems and authorities that nobody but this sender knows; those of two senders have to differ. */
  readonly identifierSystem: string;
  /** URIs of assigning authorities by the name that the sender has for them. */
  readonly authorities?: Readonly<Record<string, string>>;
  /** Resources about the message and its transformation, which a record does not need; left out by default. */
  readonly withMessageHeader?: boolean;
};

export type MappedMessage = {
  /** A transaction; `undefined` where there is nothing to record. */
  readonly bundle: Bundle | undefined;
  readonly account: Account;
};

/** Structures that share a table: HL7 tables 0354 and 0003 say which events have which structure. */
const ALIASES: Readonly<Record<string, string>> = {
  ADT_A03: 'ADT_A01',
  ADT_A04: 'ADT_A01',
  ADT_A08: 'ADT_A01',
  ADT_A13: 'ADT_A01',
  ADT_A14: 'ADT_A05',
  ADT_A28: 'ADT_A05',
  ADT_A31: 'ADT_A05',
  ADT_A07: 'ADT_A06',
  ADT_A10: 'ADT_A09',
  ADT_A12: 'ADT_A09',
  ADT_A15: 'ADT_A09',
  ADT_A16: 'ADT_A01',
  ADT_A25: 'ADT_A01',
  ADT_A26: 'ADT_A01',
  ADT_A27: 'ADT_A01',
  ADT_A29: 'ADT_A01',
  MDM_T01: 'MDM_T02',
  MDM_T04: 'MDM_T02',
  MDM_T06: 'MDM_T02',
  MDM_T08: 'MDM_T02',
  MDM_T10: 'MDM_T02',
};

/** Of which the events share the structure of the first (S12 to S26). */
const FIRST_OF_CODE: Readonly<Record<string, string>> = {
  ORU: 'ORU_R01',
  ORM: 'ORM_O01',
  OML: 'OML_O21',
  SIU: 'SIU_S12',
  VXU: 'VXU_V04',
};

const BORROWED = 'ADT_A01';
const BORROWED_SEGMENTS: ReadonlySet<string> = new Set(['MSH', 'SFT', 'PID', 'PD1', 'NK1', 'PV1', 'PV2', 'AL1']);

/** Resources about the message and how it was transformed. */
const ABOUT_MESSAGE: ReadonlySet<string> = new Set(['MessageHeader', 'Provenance']);

/** Throws `malformed` where the message has no header. */
export function mapMessage(message: Message, options: MappingOptions): MappedMessage {
  const header = readHeader(message);
  const wanted = header.structure !== '' ? header.structure : `${header.messageCode}_${header.triggerEvent}`;
  const { structure, isBorrowed } = structureFor(wanted, header);
  const account = new MappingAccount(structure?.name ?? '', isBorrowed);
  const resources = new ResourceSet();
  if (structure !== undefined) {
    const mapping: Mapping = { message, options, structure, isBorrowed, account, resources };
    mapSegments(mapping);
  }
  const link = patientLinkOf(header);
  const execution = executionOf({ message, options, account, resources }, message.segments.length);
  if (link !== undefined) linkPatients(execution, link, resources.touched());
  if (isBorrowed && link === undefined) {
    account.problem({ rule: `there is no table for ${wanted}: patient and visit alone were mapped`, place: 'MSH-9' });
  }
  const made = resources.touched().filter(({ type }) => options.withMessageHeader === true || !ABOUT_MESSAGE.has(type));
  const bundle = bundleOf(made, { identifierSystem: options.identifierSystem, seed: seedOf(message), account });
  return { bundle, account: account.close(message) };
}

/** The same message gives the same bundle. */
function seedOf(message: Message): string {
  const lines = message.segments.map(({ fields }) => fields.join('|'));
  return createHash('sha256').update(lines.join('\r')).digest('hex');
}

function structureFor(
  wanted: string,
  header: { readonly messageCode: string; readonly triggerEvent: string },
): { structure: Structure | undefined; isBorrowed: boolean } {
  const byEvent = `${header.messageCode}_${header.triggerEvent}`;
  for (const name of [wanted, byEvent]) {
    const found = structureOf(name) ?? structureOf(ALIASES[name] ?? '');
    if (found !== undefined) return { structure: found, isBorrowed: false };
  }
  const first = structureOf(FIRST_OF_CODE[header.messageCode] ?? '');
  if (first !== undefined) return { structure: first, isBorrowed: false };
  return { structure: structureOf(BORROWED), isBorrowed: true };
}

type Mapping = {
  readonly message: Message;
  readonly options: MappingOptions;
  readonly structure: Structure;
  readonly isBorrowed: boolean;
  readonly account: MappingAccount;
  readonly resources: ResourceSet;
};

function mapSegments(mapping: Mapping): void {
  const { message, structure, isBorrowed, account, resources } = mapping;
  const walk = new StructureWalk(structure);
  const instances: Instances = resources.instancesFor(structure);
  for (const [number, segment] of message.segments.entries()) {
    const isKnown = !isBorrowed || BORROWED_SEGMENTS.has(segment.name);
    const place = isKnown ? walk.next(segment.name) : undefined;
    if (place === undefined) {
      account.segment(segment, 'no-place');
      continue;
    }
    account.segment(segment, place.rows.length === 0 ? 'no-table' : 'placed');
    mapAt(mapping, { segment, number, place, occurrence: walk.occurrence(place), instances });
  }
  applyRules(instances);
}

type Segmented = {
  readonly segment: Segment;
  readonly number: number;
  readonly place: Place;
  readonly occurrence: string;
  readonly instances: Instances;
};

function mapAt(mapping: Mapping, { segment, number, place, occurrence, instances }: Segmented): void {
  const execution = executionOf(mapping, number);
  for (const row of place.rows) {
    if (row.condition !== undefined && !conditionHolds(execution, segment, row)) continue;
    const instance = instances.instance({ row, place, occurrence, number });
    if (instance === undefined) continue; // of a type that R4 or we do not have, or of the bundle itself
    const key = `${segment.name}${number}`;
    const table = mapTable(row.map);
    if (table !== undefined && instance.type === table.rootType) {
      executeSegment(execution, segment, { map: row.map, resource: instance, key });
    }
    instances.remember({ row, resource: instance });
  }
}

function conditionHolds({ message, segment: other }: Execution, segment: Segment, { condition }: MessageRow): boolean {
  if (condition === undefined) return true;
  const texts = ({ head, first, second }: Name): string[] => {
    const named = head === segment.name ? segment : other(head);
    if (named === undefined) return [];
    if (first === undefined) return [head];
    return repetitionsOf(message, named, first)
      .map((raw) => raw.split(message.delimiters.component)[(second ?? 1) - 1] ?? '')
      .filter((text) => text !== '' && text !== '""');
  };
  return holds(condition, { texts });
}

function executionOf(
  mapping: Pick<Mapping, 'message' | 'options' | 'account' | 'resources'>,
  number: number,
): Execution {
  const { message, options, account, resources } = mapping;
  return {
    message,
    timeZone: options.timeZone,
    local: options.identifierSystem,
    authorities: new Map(Object.entries(options.authorities ?? {})),
    newResource: (type) => resources.add(type),
    segment: (name) => nearest(message, name, number),
    onProblem: (place, rule) => account.problem({ place, rule }),
    onField: (segment, field, outcome) => account.field(segment, field, outcome),
  };
}

/** The last one before, else the first after. */
function nearest({ segments }: Message, name: string, number: number): Segment | undefined {
  return (
    segments.slice(0, number).findLast((one) => one.name === name) ??
    segments.slice(number).find((one) => one.name === name)
  );
}
