/**
 * A message of HL7 v2 as a transaction bundle of FHIR R4, by HL7's official tables ("HL7 Version 2 to FHIR", CC0): the structure of the
 * message says which tables are carried out for each of its segments, these say which of data types and codes.
 *
 *   message ──► places of its structure ──► rows per place ──► resources ──► references ──► bundle, account
 *
 * Structures for which there is no table (BAR, DFT, RDE, …) borrow the rows for patient, visit and next of kin of ADT_A01. What an event
 * of ADT does beyond its segments, which the tables leave out, stands in `adt-events.ts`.
 */

import { createHash } from 'node:crypto';
import { type Header, readHeader } from '../header.ts';
import { type Message, repetitionsOf, type Segment } from '../message.ts';
import { type AdtEvent, adtEventOf, isNothingToRecord } from './adt-events.ts';
import { type Bundle, bundleOf } from './bundle.ts';
import { holds, type Name } from './condition.ts';
import { mapTable } from './map-tables.ts';
import { type Account, MappingAccount } from './mapping-account.ts';
import { addPatient, applyRules, type Instances, ResourceSet } from './message-resources.ts';
import { type MessageRow, type Place, type Structure, StructureWalk, structureOf } from './message-structure.ts';
import { linkPatients, set } from './patient-links.ts';
import { pendingChanges, type RecordChange } from './record-change.ts';
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
  /** What the message does to records beside bringing them. */
  readonly changes: readonly RecordChange[];
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
  ADT_A21: 'ADT_A09',
  ADT_A22: 'ADT_A09',
  ADT_A23: 'ADT_A09',
  ADT_A32: 'ADT_A09',
  ADT_A33: 'ADT_A09',
  ADT_A38: 'ADT_A01',
  ADT_A52: 'ADT_A09',
  ADT_A53: 'ADT_A09',
  ADT_A54: 'ADT_A01',
  ADT_A55: 'ADT_A01',
  ADT_A60: 'ADT_A01',
  ADT_A61: 'ADT_A01',
  ADT_A62: 'ADT_A01',
  MDM_T01: 'MDM_T02',
  MDM_T04: 'MDM_T02',
  MDM_T06: 'MDM_T02',
  MDM_T08: 'MDM_T02',
  MDM_T10: 'MDM_T02',
};

/** Of which the events share the structure of the first (S12 to S26). */
const FIRST_OF_CODE: Readonly<Record<string, string>> = {
  MDM: 'MDM_T02',
  ORU: 'ORU_R01',
  ORM: 'ORM_O01',
  OML: 'OML_O21',
  SIU: 'SIU_S12',
  VXU: 'VXU_V04',
};

/** Structures without a table that are near enough to one that has: orders, of whatever. */
const NEAR: Readonly<Record<string, string>> = {
  OMG_O19: 'ORM_O01',
  RDE_O11: 'ORM_O01',
  RDE_O25: 'ORM_O01',
  RDS_O13: 'ORM_O01',
};

const BORROWED = 'ADT_A01';
const BORROWED_SEGMENTS: ReadonlySet<string> = new Set(['MSH', 'SFT', 'EVN', 'PID', 'PD1', 'NK1', 'PV1', 'PV2', 'AL1']);

const BORROWING = {
  near: 'the structure has no table of its own: that of general orders was used',
  patient: 'the structure has no table: patient and visit alone were mapped',
} as const;

/** Resources about the message and how it was transformed. */
const ABOUT_MESSAGE: ReadonlySet<string> = new Set(['Bundle', 'MessageHeader', 'Provenance']);

/** Throws `malformed` where the message has no header. */
export function mapMessage(message: Message, options: MappingOptions): MappedMessage {
  const header = readHeader(message);
  const wanted = header.structure !== '' ? header.structure : `${header.messageCode}_${header.triggerEvent}`;
  const { structure, borrowed } = structureFor(wanted, header);
  const account = new MappingAccount(structure?.name ?? '', borrowed !== 'no');
  const resources = new ResourceSet();
  if (structure !== undefined) mapSegments({ message, options, structure, borrowed, account, resources });
  const event = adtEventOf(header);
  const execution = executionOf({ message, options, account, resources }, message.segments.length);
  if (event !== undefined) applyEvent(execution, event, resources);
  const pending = event === undefined ? [] : pendingChanges(execution, event);
  if (event?.unmapped !== undefined) {
    account.problem({ rule: `not mapped: ${header.triggerEvent}: ${event.unmapped}`, place: 'MSH-9' });
  } else if (borrowed !== 'no' && event === undefined) account.problem({ rule: BORROWING[borrowed], place: 'MSH-9' });
  addPatient(resources.touched());
  const { identifierSystem } = options;
  const bundled = bundleOf(isNothingToRecord(header) ? [] : resources.touched(), {
    ...{ identifierSystem, seed: seedOf(message), account, pending, event },
  });
  return { ...bundled, account: account.close(message) };
}

/** Adds to what the tables made of the segments. */
function applyEvent(execution: Execution, event: AdtEvent, resources: ResourceSet): void {
  const made = resources.touched();
  if (event.patients !== undefined) linkPatients(execution, event.patients, made);
  const { visit = 'kept', endsPatient = false } = event;
  for (const { type, root } of made) {
    if (type === 'Encounter' && visit !== 'kept') set(root, 'status', visit);
    if (type === 'Patient' && endsPatient) set(root, 'active', false);
  }
}

/** The same message gives the same bundle. */
function seedOf(message: Message): string {
  const lines = message.segments.map(({ fields }) => fields.join('|'));
  return createHash('sha256').update(lines.join('\r')).digest('hex');
}

function isWanted(type: string, { withMessageHeader = false }: MappingOptions): boolean {
  return withMessageHeader || !ABOUT_MESSAGE.has(type);
}

type Found = { readonly structure: Structure | undefined; readonly borrowed: 'no' | 'near' | 'patient' };

function structureFor(wanted: string, { messageCode, triggerEvent }: Header): Found {
  const byEvent = `${messageCode}_${triggerEvent}`;
  for (const name of [wanted, byEvent]) {
    const found = structureOf(name) ?? structureOf(ALIASES[name] ?? '');
    if (found !== undefined) return { structure: found, borrowed: 'no' };
  }
  const first = structureOf(FIRST_OF_CODE[messageCode] ?? '');
  if (first !== undefined) return { structure: first, borrowed: 'no' };
  const near = structureOf(NEAR[wanted] ?? NEAR[byEvent] ?? '');
  if (near !== undefined) return { structure: near, borrowed: 'near' };
  return { structure: structureOf(BORROWED), borrowed: 'patient' };
}

type Mapping = {
  readonly message: Message;
  readonly options: MappingOptions;
  readonly structure: Structure;
  readonly borrowed: Found['borrowed'];
  readonly account: MappingAccount;
  readonly resources: ResourceSet;
};

function mapSegments(mapping: Mapping): void {
  const { message, structure, borrowed, account, resources } = mapping;
  const walk = new StructureWalk(structure);
  const instances: Instances = resources.instancesFor(structure);
  for (const [number, segment] of message.segments.entries()) {
    const isKnown = borrowed !== 'patient' || BORROWED_SEGMENTS.has(segment.name);
    const place = isKnown ? walk.next(segment.name) : undefined;
    if (place === undefined) {
      account.segment(segment, 'no-place');
      continue;
    }
    const rows = place.rows.filter(({ target }) => isWanted(target.steps[0]?.name ?? '', mapping.options));
    account.segment(segment, place.rows.length === 0 ? 'no-table' : rows.length === 0 ? 'left-out' : 'placed');
    mapAt(mapping, { segment, number, place, rows, occurrence: walk.occurrence(place), instances });
  }
  applyRules(instances);
}

type Segmented = {
  readonly segment: Segment;
  readonly number: number;
  readonly place: Place;
  readonly rows: readonly MessageRow[];
  readonly occurrence: string;
  readonly instances: Instances;
};

function mapAt(mapping: Mapping, { segment, number, place, rows, occurrence, instances }: Segmented): void {
  const execution = executionOf(mapping, number);
  for (const row of rows) {
    if (row.condition !== undefined && !conditionHolds(execution, segment, row)) continue;
    const instance = instances.instance({ row, place, occurrence, number });
    if (instance === undefined) continue; // of a type that R4 or we do not have, or of the bundle itself
    const key = `${segment.name}${number}`;
    const map = tableFor(row.map, segment.name, instance.type);
    if (map !== undefined) executeSegment(execution, segment, { map, resource: instance, key });
    instances.remember({ row, resource: instance });
  }
}

/** Some rows name the table of another type (notes of an observation, by that of requests): then that of the type itself is meant. */
function tableFor(map: string, segment: string, type: string): string | undefined {
  if (mapTable(map)?.rootType === type) return map;
  const own = `${segment}[${type}]`;
  return map !== '' && mapTable(own)?.rootType === type ? own : undefined;
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
