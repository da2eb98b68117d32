/**
 * The content of A-ASSOCIATE-RQ and A-ASSOCIATE-AC (PS3.8 9.3.2, 9.3.3): a fixed part with the AE titles, then items, some of
 * which hold items. An item is its type, a reserved byte, a length of two bytes, and its content.
 */
import { DicomError } from '../dicom-error.ts';
import {
  AE_TITLE_BYTES_MAX,
  PRESENTATION_CONTEXT_COUNT_MAX,
  TRANSFER_SYNTAX_COUNT_MAX,
  UID_BYTES_MAX,
  USER_ITEM_COUNT_MAX,
} from './limits.ts';
import type {
  AssociateAccept,
  AssociateRequest,
  ContextResult,
  PresentationContext,
  RoleSelection,
  UserInformation,
} from './pdu.ts';
import { isUid } from './uid.ts';

/** PS3.7 A.2.1: the one application context there is. */
export const DICOM_APPLICATION_CONTEXT = '1.2.840.10008.3.1.1.1';

const PROTOCOL_VERSION = 1;
/** Version, reserved, called and calling AE title, reserved. */
const FIXED_BYTES = 2 + 2 + 16 + 16 + 32;
const ITEM_HEADER_BYTES = 4;

const ITEM_TYPES = {
  applicationContext: 0x10,
  proposedContext: 0x20,
  contextResult: 0x21,
  abstractSyntax: 0x30,
  transferSyntax: 0x40,
  userInformation: 0x50,
  pduBytesMax: 0x51,
  implementationClass: 0x52,
  asynchronousOperations: 0x53,
  role: 0x54,
  implementationVersion: 0x55,
} as const;

type Item = { readonly type: number; readonly content: Buffer };

export function encodeAssociate(pdu: AssociateRequest | AssociateAccept): Buffer {
  const fixed = Buffer.alloc(FIXED_BYTES);
  fixed.writeUInt16BE(PROTOCOL_VERSION, 0);
  fixed.write(pdu.calledAe.slice(0, AE_TITLE_BYTES_MAX).padEnd(AE_TITLE_BYTES_MAX), 4, 'latin1');
  fixed.write(pdu.callingAe.slice(0, AE_TITLE_BYTES_MAX).padEnd(AE_TITLE_BYTES_MAX), 20, 'latin1');
  const contexts = pdu.type === 'associate-request' ? pdu.contexts.map(encodeContext) : pdu.results.map(encodeResult);
  return Buffer.concat([
    fixed,
    textItem(ITEM_TYPES.applicationContext, pdu.applicationContext),
    ...contexts,
    encodeUserInformation(pdu.user),
  ]);
}

function encodeContext({ id, abstractSyntax, transferSyntaxes }: PresentationContext): Buffer {
  return item(
    ITEM_TYPES.proposedContext,
    Buffer.from([id, 0, 0, 0]),
    textItem(ITEM_TYPES.abstractSyntax, abstractSyntax),
    ...transferSyntaxes.map((uid) => textItem(ITEM_TYPES.transferSyntax, uid)),
  );
}

function encodeResult({ id, result, transferSyntax }: ContextResult): Buffer {
  return item(
    ITEM_TYPES.contextResult,
    Buffer.from([id, 0, result, 0]),
    textItem(ITEM_TYPES.transferSyntax, transferSyntax),
  );
}

function encodeUserInformation(user: UserInformation): Buffer {
  const parts = [
    item(ITEM_TYPES.pduBytesMax, uint32(user.pduBytesMax)),
    textItem(ITEM_TYPES.implementationClass, user.implementationClassUid),
  ];
  const operations = user.asynchronousOperations;
  if (operations !== undefined) {
    const counts = [uint16(operations.invoked), uint16(operations.performed)];
    parts.push(item(ITEM_TYPES.asynchronousOperations, ...counts));
  }
  for (const { sopClass, scu, scp } of user.roles) {
    const uid = Buffer.from(sopClass, 'latin1');
    parts.push(item(ITEM_TYPES.role, uint16(uid.byteLength), uid, Buffer.from([scu ? 1 : 0, scp ? 1 : 0])));
  }
  if (user.implementationVersion !== undefined) {
    parts.push(textItem(ITEM_TYPES.implementationVersion, user.implementationVersion));
  }
  for (const { type, content } of user.others) parts.push(item(type, content));
  return item(ITEM_TYPES.userInformation, ...parts);
}

/** Throws `malformed` or `limit`. Unknown items are passed over (PS3.8 9.3.1). */
export function decodeAssociate<Type extends 'associate-request' | 'associate-accept'>(
  type: Type,
  content: Buffer,
): Extract<AssociateRequest | AssociateAccept, { type: Type }>;
export function decodeAssociate(
  type: 'associate-request' | 'associate-accept',
  content: Buffer,
): AssociateRequest | AssociateAccept {
  if (content.byteLength < FIXED_BYTES) throw new DicomError('malformed', 'An A-ASSOCIATE PDU ends within its head.');
  // Bit 0 is version 1; a sender of later ones sets their bits too (PS3.8 9.3.2).
  if ((content.readUInt16BE(0) & PROTOCOL_VERSION) === 0) {
    throw new DicomError('malformed', 'An A-ASSOCIATE PDU is not of protocol version 1.');
  }
  const items = itemsIn(content.subarray(FIXED_BYTES), 'an A-ASSOCIATE PDU');
  const titles = {
    calledAe: aeTitle(content.subarray(4, 20)),
    callingAe: aeTitle(content.subarray(20, 36)),
    applicationContext: uid(only(items, ITEM_TYPES.applicationContext)),
    user: decodeUserInformation(only(items, ITEM_TYPES.userInformation)),
  };
  if (type === 'associate-request') {
    const contexts = contextItems(items, ITEM_TYPES.proposedContext).map(decodeContext);
    if (contexts.length === 0) throw new DicomError('malformed', 'An A-ASSOCIATE-RQ proposes no presentation context.');
    return { type, ...titles, contexts: distinct(contexts) };
  }
  return { type, ...titles, results: distinct(contextItems(items, ITEM_TYPES.contextResult).map(decodeResult)) };
}

function contextItems(items: readonly Item[], type: number): Buffer[] {
  const found = items.filter((one) => one.type === type).map((one) => one.content);
  if (found.length > PRESENTATION_CONTEXT_COUNT_MAX) {
    throw new DicomError('limit', `More than ${PRESENTATION_CONTEXT_COUNT_MAX} presentation contexts.`);
  }
  return found;
}

function decodeContext(content: Buffer): PresentationContext {
  const { id, items } = contextHead(content);
  const transferSyntaxes = items.filter((one) => one.type === ITEM_TYPES.transferSyntax);
  if (transferSyntaxes.length === 0)
    throw new DicomError('malformed', 'A presentation context has no transfer syntax.');
  if (transferSyntaxes.length > TRANSFER_SYNTAX_COUNT_MAX) {
    throw new DicomError(
      'limit',
      `More than ${TRANSFER_SYNTAX_COUNT_MAX} transfer syntaxes in a presentation context.`,
    );
  }
  return {
    id,
    abstractSyntax: uid(only(items, ITEM_TYPES.abstractSyntax)),
    transferSyntaxes: transferSyntaxes.map((one) => uid(one.content)),
  };
}

function decodeResult(content: Buffer): ContextResult {
  const { id, items } = contextHead(content);
  const result = content.readUInt8(2);
  const syntax = items.find((one) => one.type === ITEM_TYPES.transferSyntax);
  // Where the context is refused the transfer syntax means nothing and is often empty (PS3.8 9.3.3.2).
  if (result !== 0) return { id, result, transferSyntax: '' };
  return { id, result, transferSyntax: uid(syntax?.content ?? Buffer.alloc(0)) };
}

function contextHead(content: Buffer): { id: number; items: Item[] } {
  if (content.byteLength < 4) throw new DicomError('malformed', 'A presentation context ends within its head.');
  const id = content.readUInt8(0);
  if (id % 2 === 0) throw new DicomError('malformed', 'A presentation context has an even id.');
  return { id, items: itemsIn(content.subarray(4), 'a presentation context') };
}

function decodeUserInformation(content: Buffer): UserInformation {
  const items = itemsIn(content, 'the user information');
  if (items.length > USER_ITEM_COUNT_MAX) {
    throw new DicomError('limit', `More than ${USER_ITEM_COUNT_MAX} items of user information.`);
  }
  const find = (type: number) => items.find((one) => one.type === type)?.content;
  const pduBytesMax = find(ITEM_TYPES.pduBytesMax);
  const implementationClass = find(ITEM_TYPES.implementationClass);
  const version = find(ITEM_TYPES.implementationVersion);
  const operations = find(ITEM_TYPES.asynchronousOperations);
  const known: ReadonlySet<number> = new Set(Object.values(ITEM_TYPES));
  return {
    // Without the item there is no limit (PS3.8 D.1.1).
    pduBytesMax: pduBytesMax === undefined ? 0 : sized(pduBytesMax, 4).readUInt32BE(0),
    // Required by PS3.7 D.3.3.2, and left out by enough programs that nobody refuses for it.
    implementationClassUid: implementationClass === undefined ? '' : trimmed(implementationClass),
    ...(version === undefined ? {} : { implementationVersion: trimmed(version).slice(0, AE_TITLE_BYTES_MAX) }),
    ...(operations === undefined ? {} : { asynchronousOperations: decodeOperations(operations) }),
    roles: items.filter((one) => one.type === ITEM_TYPES.role).map((one) => decodeRole(one.content)),
    others: items
      .filter((one) => !known.has(one.type))
      .map((one) => ({ type: one.type, content: Buffer.from(one.content) })),
  };
}

function decodeOperations(content: Buffer): { invoked: number; performed: number } {
  return { invoked: sized(content, 4).readUInt16BE(0), performed: content.readUInt16BE(2) };
}

function decodeRole(content: Buffer): RoleSelection {
  const length = content.byteLength < 2 ? -1 : content.readUInt16BE(0);
  if (content.byteLength !== length + 4) throw new DicomError('malformed', 'A role selection has a wrong length.');
  return {
    sopClass: uid(content.subarray(2, 2 + length)),
    scu: content.readUInt8(2 + length) === 1,
    scp: content.readUInt8(3 + length) === 1,
  };
}

function itemsIn(content: Buffer, place: string): Item[] {
  const items: Item[] = [];
  let at = 0;
  while (at < content.byteLength) {
    if (at + ITEM_HEADER_BYTES > content.byteLength) throw cut(place);
    const end = at + ITEM_HEADER_BYTES + content.readUInt16BE(at + 2);
    if (end > content.byteLength) throw cut(place);
    items.push({ type: content.readUInt8(at), content: content.subarray(at + ITEM_HEADER_BYTES, end) });
    at = end;
  }
  return items;
}

function cut(place: string): DicomError {
  return new DicomError('malformed', `An item is longer than ${place} that it lies in.`);
}

function only(items: readonly Item[], type: number): Buffer {
  const [first, second] = items.filter((one) => one.type === type);
  if (first === undefined || second !== undefined) {
    throw new DicomError('malformed', `There must be one item of type ${type.toString(16)}H.`);
  }
  return first.content;
}

function distinct<T extends { readonly id: number }>(contexts: readonly T[]): readonly T[] {
  if (new Set(contexts.map(({ id }) => id)).size !== contexts.length) {
    throw new DicomError('malformed', 'Two presentation contexts have one id.');
  }
  return contexts;
}

function sized(content: Buffer, bytes: number): Buffer {
  if (content.byteLength !== bytes) throw new DicomError('malformed', 'An item of fixed length has another one.');
  return content;
}

/** Padding of UIDs is not allowed here (PS3.8 annex F) and still sent by some. */
function uid(content: Buffer): string {
  const text = content.byteLength > UID_BYTES_MAX + 1 ? '' : trimmed(content);
  if (!isUid(text)) throw new DicomError('malformed', 'A UID of an A-ASSOCIATE PDU is none.');
  return text;
}

/** Without the spaces around it, which mean nothing (PS3.8 9.3.2), nor what is no printable character. */
function aeTitle(content: Buffer): string {
  return content
    .toString('latin1')
    .replace(/[^\x20-\x7e]/g, '')
    .trim();
}

function trimmed(content: Buffer): string {
  return content
    .toString('latin1')
    .replace(/[^\x20-\x7e]/g, '')
    .trim();
}

function item(type: number, ...parts: readonly Buffer[]): Buffer {
  const content = Buffer.concat(parts);
  const header = Buffer.alloc(ITEM_HEADER_BYTES);
  header.writeUInt8(type, 0);
  header.writeUInt16BE(content.byteLength, 2);
  return Buffer.concat([header, content]);
}

function textItem(type: number, text: string): Buffer {
  return item(type, Buffer.from(text, 'latin1'));
}

function uint16(number: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(number);
  return bytes;
}

function uint32(number: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(number);
  return bytes;
}
