/**
 * Protocol data units of the DICOM upper layer (PS3.8 9.3), except the content of P-DATA-TF, which is never held (pdu-stream.ts).
 * Numbers are big endian; a PDU is its type, a reserved byte, the length of what follows, and that.
 */
import { DicomError } from '../dicom-error.ts';
import { decodeAssociate, encodeAssociate } from './associate-pdu.ts';

export const PDU_HEADER_BYTES = 6;
/** Length, presentation context id, message control header (PS3.8 9.3.5.1 and E.2). */
export const PDV_HEADER_BYTES = 6;
/** What the length of a PDV counts besides its fragment: the context id and the message control header. */
export const PDV_OVERHEAD_BYTES = 2;

export const PDU_TYPES = {
  associateRequest: 0x01,
  associateAccept: 0x02,
  associateReject: 0x03,
  data: 0x04,
  releaseRequest: 0x05,
  releaseReply: 0x06,
  abort: 0x07,
} as const;

/** Result, source and reason as PS3.8 table 9-21 numbers them. */
export type Rejection = { readonly result: number; readonly source: number; readonly reason: number };

/** Source and reason as PS3.8 table 9-26 numbers them; the reason means something only where the source is the provider. */
export type Abort = { readonly source: number; readonly reason: number };

export type PresentationContext = {
  /** Odd, 1 to 255. */
  readonly id: number;
  readonly abstractSyntax: string;
  readonly transferSyntaxes: readonly string[];
};

export type ContextResult = {
  readonly id: number;
  /** PS3.8 table 9-18: 0 acceptance, 1 user rejection, 2 no reason, 3 abstract syntax, 4 transfer syntaxes not supported. */
  readonly result: number;
  /** Means something only where the context is accepted. */
  readonly transferSyntax: string;
};

/** PS3.7 D.3.3.4: which roles the requestor of the association may take for a SOP class. */
export type RoleSelection = { readonly sopClass: string; readonly scu: boolean; readonly scp: boolean };

export type UserInformation = {
  /** The longest P-DATA-TF PDU that the sender of this item receives, without its header; 0 for any [bytes]. PS3.8 D.1. */
  readonly pduBytesMax: number;
  readonly implementationClassUid: string;
  readonly implementationVersion?: string;
  /** Invoked and performed; 0 for any number. PS3.7 D.3.3.3. */
  readonly asynchronousOperations?: { readonly invoked: number; readonly performed: number };
  readonly roles: readonly RoleSelection[];
  /** Items that we do not act on, kept as they came: extended negotiation, user identity, and whatever else. */
  readonly others: readonly { readonly type: number; readonly content: Buffer }[];
};

type Titles = { readonly calledAe: string; readonly callingAe: string; readonly applicationContext: string };

export type AssociateRequest = Titles & {
  readonly type: 'associate-request';
  readonly contexts: readonly PresentationContext[];
  readonly user: UserInformation;
};

export type AssociateAccept = Titles & {
  readonly type: 'associate-accept';
  readonly results: readonly ContextResult[];
  readonly user: UserInformation;
};

export type Pdu =
  | AssociateRequest
  | AssociateAccept
  | ({ readonly type: 'associate-reject' } & Rejection)
  | { readonly type: 'release-request' }
  | { readonly type: 'release-reply' }
  | ({ readonly type: 'abort' } & Abort);

/** A whole PDU with its header. */
export function encodePdu(pdu: Pdu): Buffer {
  switch (pdu.type) {
    case 'associate-request':
      return withHeader(PDU_TYPES.associateRequest, encodeAssociate(pdu));
    case 'associate-accept':
      return withHeader(PDU_TYPES.associateAccept, encodeAssociate(pdu));
    case 'associate-reject':
      return withHeader(PDU_TYPES.associateReject, Buffer.from([0, pdu.result, pdu.source, pdu.reason]));
    case 'release-request':
      return withHeader(PDU_TYPES.releaseRequest, Buffer.alloc(4));
    case 'release-reply':
      return withHeader(PDU_TYPES.releaseReply, Buffer.alloc(4));
    case 'abort':
      return withHeader(PDU_TYPES.abort, Buffer.from([0, 0, pdu.source, pdu.reason]));
    default:
      return pdu satisfies never;
  }
}

/** `content` is what follows the header; the result holds no view of it. Throws `malformed` or `limit`. */
export function decodePdu(type: number, content: Buffer): Pdu {
  switch (type) {
    case PDU_TYPES.associateRequest:
      return decodeAssociate('associate-request', content);
    case PDU_TYPES.associateAccept:
      return decodeAssociate('associate-accept', content);
    case PDU_TYPES.associateReject: {
      const [, result = 0, source = 0, reason = 0] = fixed(content);
      return { type: 'associate-reject', result, source, reason };
    }
    case PDU_TYPES.releaseRequest:
      fixed(content);
      return { type: 'release-request' };
    case PDU_TYPES.releaseReply:
      fixed(content);
      return { type: 'release-reply' };
    case PDU_TYPES.abort: {
      const [, , source = 0, reason = 0] = fixed(content);
      return { type: 'abort', source, reason };
    }
    default:
      throw new DicomError('malformed', `A PDU has the unknown type ${type}.`);
  }
}

/** The header of a P-DATA-TF PDU with one PDV, which `fragmentBytes` of a message follow (PS3.8 9.3.5, E.2). */
export function dataHeader(part: {
  contextId: number;
  isCommand: boolean;
  isLast: boolean;
  fragmentBytes: number;
}): Buffer {
  const header = Buffer.allocUnsafe(PDU_HEADER_BYTES + PDV_HEADER_BYTES);
  header.writeUInt16BE(PDU_TYPES.data << 8, 0);
  header.writeUInt32BE(part.fragmentBytes + PDV_HEADER_BYTES, 2);
  header.writeUInt32BE(part.fragmentBytes + PDV_OVERHEAD_BYTES, 6);
  header.writeUInt8(part.contextId, 10);
  header.writeUInt8((part.isCommand ? 1 : 0) | (part.isLast ? 2 : 0), 11);
  return header;
}

function withHeader(type: number, content: Buffer): Buffer {
  const header = Buffer.alloc(PDU_HEADER_BYTES);
  header.writeUInt8(type, 0);
  header.writeUInt32BE(content.byteLength, 2);
  return Buffer.concat([header, content]);
}

/** The short PDUs have four bytes, no more and no less (PS3.8 9.3.4, 9.3.6 to 9.3.8). */
function fixed(content: Buffer): Buffer {
  if (content.byteLength !== 4) throw new DicomError('malformed', 'A PDU of fixed length has another one.');
  return content;
}
