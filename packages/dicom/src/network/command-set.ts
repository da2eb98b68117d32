/**
 * Command sets of DIMSE messages (PS3.7 section 6.3, annex E): elements of group 0000, implicit VR little endian whatever the
 * context negotiated. Fields have the keywords of PS3.7 E.1; which a command must have stands in COMMANDS.
 */
import { DicomError } from '../dicom-error.ts';

type FieldVr = 'UI' | 'US' | 'AE' | 'LO' | 'AT';

const FIELDS = {
  AffectedSOPClassUID: { element: 0x0002, vr: 'UI' },
  RequestedSOPClassUID: { element: 0x0003, vr: 'UI' },
  CommandField: { element: 0x0100, vr: 'US' },
  MessageID: { element: 0x0110, vr: 'US' },
  MessageIDBeingRespondedTo: { element: 0x0120, vr: 'US' },
  MoveDestination: { element: 0x0600, vr: 'AE' },
  Priority: { element: 0x0700, vr: 'US' },
  CommandDataSetType: { element: 0x0800, vr: 'US' },
  Status: { element: 0x0900, vr: 'US' },
  OffendingElement: { element: 0x0901, vr: 'AT' },
  ErrorComment: { element: 0x0902, vr: 'LO' },
  ErrorID: { element: 0x0903, vr: 'US' },
  AffectedSOPInstanceUID: { element: 0x1000, vr: 'UI' },
  RequestedSOPInstanceUID: { element: 0x1001, vr: 'UI' },
  EventTypeID: { element: 0x1002, vr: 'US' },
  ActionTypeID: { element: 0x1008, vr: 'US' },
  NumberOfRemainingSuboperations: { element: 0x1020, vr: 'US' },
  NumberOfCompletedSuboperations: { element: 0x1021, vr: 'US' },
  NumberOfFailedSuboperations: { element: 0x1022, vr: 'US' },
  NumberOfWarningSuboperations: { element: 0x1023, vr: 'US' },
  MoveOriginatorApplicationEntityTitle: { element: 0x1030, vr: 'AE' },
  MoveOriginatorMessageID: { element: 0x1031, vr: 'US' },
} as const satisfies Readonly<Record<string, { element: number; vr: FieldVr }>>;

type FieldName = keyof typeof FIELDS;
type FieldValue<Vr extends FieldVr> = Vr extends 'US' ? number : Vr extends 'AT' ? readonly number[] : string;
type Fields = { readonly [Name in FieldName]: FieldValue<(typeof FIELDS)[Name]['vr']> };

/** Fields that the codec reads and writes by itself. */
type Implied = 'CommandField' | 'CommandDataSetType';

const RESPONSE = 0x8000;

/** PS3.7 tables 9.3-1 to 9.3-14, 10.3-1 to 10.3-8: what a command must have; what else it has, it may. */
const COMMANDS = {
  'C-STORE-RQ': { code: 0x0001, fields: ['MessageID', 'AffectedSOPClassUID', 'AffectedSOPInstanceUID'] },
  'C-GET-RQ': { code: 0x0010, fields: ['MessageID', 'AffectedSOPClassUID'] },
  'C-FIND-RQ': { code: 0x0020, fields: ['MessageID', 'AffectedSOPClassUID'] },
  'C-MOVE-RQ': { code: 0x0021, fields: ['MessageID', 'AffectedSOPClassUID', 'MoveDestination'] },
  'C-ECHO-RQ': { code: 0x0030, fields: ['MessageID'] },
  'C-CANCEL-RQ': { code: 0x0fff, fields: ['MessageIDBeingRespondedTo'] },
  'N-EVENT-REPORT-RQ': { code: 0x0100, fields: ['MessageID', 'AffectedSOPClassUID', 'EventTypeID'] },
  'N-ACTION-RQ': { code: 0x0130, fields: ['MessageID', 'RequestedSOPClassUID', 'ActionTypeID'] },
  'N-GET-RQ': { code: 0x0110, fields: ['MessageID'] },
  'N-SET-RQ': { code: 0x0120, fields: ['MessageID'] },
  'N-CREATE-RQ': { code: 0x0140, fields: ['MessageID'] },
  'N-DELETE-RQ': { code: 0x0150, fields: ['MessageID'] },
  'C-STORE-RSP': { code: 0x8001, fields: ['MessageIDBeingRespondedTo', 'Status'] },
  'C-GET-RSP': { code: 0x8010, fields: ['MessageIDBeingRespondedTo', 'Status'] },
  'C-FIND-RSP': { code: 0x8020, fields: ['MessageIDBeingRespondedTo', 'Status'] },
  'C-MOVE-RSP': { code: 0x8021, fields: ['MessageIDBeingRespondedTo', 'Status'] },
  'C-ECHO-RSP': { code: 0x8030, fields: ['MessageIDBeingRespondedTo', 'Status'] },
  'N-EVENT-REPORT-RSP': { code: 0x8100, fields: ['MessageIDBeingRespondedTo', 'Status'] },
  'N-ACTION-RSP': { code: 0x8130, fields: ['MessageIDBeingRespondedTo', 'Status'] },
  'N-GET-RSP': { code: 0x8110, fields: ['MessageIDBeingRespondedTo', 'Status'] },
  'N-SET-RSP': { code: 0x8120, fields: ['MessageIDBeingRespondedTo', 'Status'] },
  'N-CREATE-RSP': { code: 0x8140, fields: ['MessageIDBeingRespondedTo', 'Status'] },
  'N-DELETE-RSP': { code: 0x8150, fields: ['MessageIDBeingRespondedTo', 'Status'] },
} as const satisfies Readonly<Record<string, { code: number; fields: readonly FieldName[] }>>;

export type CommandName = keyof typeof COMMANDS;
type FieldsOf<Name extends CommandName> = (typeof COMMANDS)[Name]['fields'][number];

export type CommandOf<Name extends CommandName> = Name extends CommandName
  ? { readonly name: Name } & Pick<Fields, FieldsOf<Name>> & Partial<Omit<Fields, FieldsOf<Name> | Implied>>
  : never;
export type Command = CommandOf<CommandName>;

export type Request = Extract<Command, { readonly MessageID: number }>;
export type Response = Extract<Command, { readonly Status: number }>;

/** CommandDataSetType (0000,0800): 0101H says that none follows (PS3.7 E.1). */
const NO_DATA_SET = 0x0101;
const DATA_SET = 0x0000;
const ELEMENT_HEADER_BYTES = 8;
/** ErrorComment is an LO (PS3.7 C.4.2). */
const COMMENT_LENGTH_MAX = 64;
/** UI and LO have 64 characters, AE 16; padding on top. */
const TEXT_BYTES_MAX = 66;

export function isRequest(command: Command): command is Request {
  return command.name.endsWith('-RQ') && command.name !== 'C-CANCEL-RQ';
}

export function isResponse(command: Command): command is Response {
  return command.name.endsWith('-RSP');
}

/** The name of the answer to a request. */
export function responseName(name: Request['name']): Response['name'] {
  const found = nameOf(COMMANDS[name].code | RESPONSE);
  if (found === undefined || !isResponseName(found)) throw new DicomError('malformed', `${name} has no response.`);
  return found;
}

function isResponseName(name: CommandName): name is Response['name'] {
  return name.endsWith('-RSP');
}

/** With its group length (PS3.7 6.3.1). Comments are cut to 64 characters. */
export function encodeCommand(command: Command, hasDataSet: boolean): Buffer {
  const { name, ...rest } = command;
  const fields: Partial<Fields> = {
    ...rest,
    CommandField: COMMANDS[name].code,
    CommandDataSetType: hasDataSet ? DATA_SET : NO_DATA_SET,
  };
  const elements = fieldNames()
    .toSorted((left, right) => FIELDS[left].element - FIELDS[right].element)
    .flatMap((field) => {
      const value = fields[field];
      return value === undefined ? [] : [encodeElement(FIELDS[field].element, encodeValue(FIELDS[field].vr, value))];
    });
  const group = Buffer.concat(elements);
  const groupLength = Buffer.alloc(4);
  groupLength.writeUInt32LE(group.byteLength);
  return Buffer.concat([encodeElement(0, groupLength), group]);
}

/** Throws `malformed`. Elements that PS3.7 does not name, and those with a value of a wrong form that are not needed, are passed over. */
export function decodeCommand(bytes: Buffer): { command: Command; hasDataSet: boolean } {
  const fields = decodeFields(bytes);
  const name = fields.CommandField === undefined ? undefined : nameOf(fields.CommandField);
  if (name === undefined) throw new DicomError('malformed', 'A command set has no known command field.');
  const { CommandField, CommandDataSetType, ...rest } = fields;
  const command = { name, ...rest };
  if (!isWhole(command))
    throw new DicomError('malformed', `A ${name} lacks one of ${COMMANDS[name].fields.join(', ')}.`);
  return { command, hasDataSet: CommandDataSetType !== undefined && CommandDataSetType !== NO_DATA_SET };
}

function isWhole(candidate: { readonly name: CommandName } & Partial<Omit<Fields, Implied>>): candidate is Command {
  const needed: readonly (keyof typeof candidate)[] = COMMANDS[candidate.name].fields;
  return needed.every((field) => candidate[field] !== undefined);
}

function fieldNames(): FieldName[] {
  return Object.keys(FIELDS).filter(isFieldName);
}

function isFieldName(name: string): name is FieldName {
  return name in FIELDS;
}

let namesByCode: ReadonlyMap<number, CommandName> | undefined;

function nameOf(code: number): CommandName | undefined {
  namesByCode ??= new Map(
    Object.keys(COMMANDS)
      .filter((name) => name in COMMANDS)
      .filter(isCommandName)
      .map((name) => [COMMANDS[name].code, name]),
  );
  return namesByCode.get(code);
}

function isCommandName(name: string): name is CommandName {
  return name in COMMANDS;
}

let fieldsByElement: ReadonlyMap<number, FieldName> | undefined;

function decodeFields(bytes: Buffer): Partial<Fields> {
  fieldsByElement ??= new Map(fieldNames().map((name) => [FIELDS[name].element, name]));
  const found: Record<string, string | number | readonly number[]> = {};
  let at = 0;
  while (at < bytes.byteLength) {
    if (at + ELEMENT_HEADER_BYTES > bytes.byteLength) throw cut();
    const end = at + ELEMENT_HEADER_BYTES + bytes.readUInt32LE(at + 4);
    if (end > bytes.byteLength) throw cut();
    if (bytes.readUInt16LE(at) !== 0) throw new DicomError('malformed', 'A command set holds another group.');
    const name = fieldsByElement.get(bytes.readUInt16LE(at + 2));
    const value = name && decodeValue(FIELDS[name].vr, bytes.subarray(at + ELEMENT_HEADER_BYTES, end));
    if (name !== undefined && value !== undefined) found[name] = value;
    at = end;
  }
  return found;
}

function cut(): DicomError {
  return new DicomError('truncated', 'A command set ends within an element.');
}

function encodeElement(element: number, value: Buffer): Buffer {
  const header = Buffer.alloc(ELEMENT_HEADER_BYTES);
  header.writeUInt16LE(element, 2);
  header.writeUInt32LE(value.byteLength, 4);
  return Buffer.concat([header, value]);
}

function encodeValue(vr: FieldVr, value: string | number | readonly number[]): Buffer {
  if (typeof value === 'string') {
    const text = vr === 'LO' ? value.slice(0, COMMENT_LENGTH_MAX) : value;
    return Buffer.from(text.length % 2 === 0 ? text : text + (vr === 'UI' ? '\0' : ' '), 'latin1');
  }
  if (typeof value === 'number') {
    const bytes = Buffer.alloc(2);
    bytes.writeUInt16LE(value);
    return bytes;
  }
  const bytes = Buffer.alloc(value.length * 4);
  for (const [index, tag] of value.entries()) {
    bytes.writeUInt16LE(tag >>> 16, index * 4);
    bytes.writeUInt16LE(tag & 0xffff, index * 4 + 2);
  }
  return bytes;
}

/** `undefined` for a value of a wrong form. */
function decodeValue(vr: FieldVr, bytes: Buffer): string | number | readonly number[] | undefined {
  switch (vr) {
    case 'US':
      return bytes.byteLength >= 2 ? bytes.readUInt16LE(0) : undefined;
    case 'AT':
      return Array.from(
        { length: Math.floor(bytes.byteLength / 4) },
        (_, index) => ((bytes.readUInt16LE(index * 4) << 16) | bytes.readUInt16LE(index * 4 + 2)) >>> 0,
      );
    default: // whether a UID is one is for the service to say: it can answer, where we here could only abort
      return bytes
        .toString('latin1', 0, TEXT_BYTES_MAX)
        .replace(/[^\x20-\x7e]/g, '')
        .trim();
  }
}
