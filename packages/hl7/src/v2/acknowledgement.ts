/**
 * Acknowledgements (HL7 v2.8 chapter 2, 2.9): original mode, where every message is answered by AA, AE or AR; and enhanced mode,
 * where MSH-15 asks for an accept acknowledgement (CA, CE, CR: it is in safe hands) and MSH-16 for an application one (AA, AE, AR),
 * each always, never, on error or on success. Who asks for both gets both, the accept acknowledgement first.
 *
 * We say AA of what is durable and was understood as a message; what becomes of its content is shown in the list of the feed.
 */

import { STANDARD_DELIMITERS } from './delimiters.ts';
import type { DecodeBytes } from './escapes.ts';
import { escapeValue } from './escapes.ts';
import { type AcknowledgementCondition, type Header, readHeader } from './header.ts';
import { firstSegment, parseMessage, textAt } from './message.ts';
import { hl7Time } from './time.ts';

/** What became of a message, said without its mode. */
export type Verdict =
  | { readonly kind: 'accepted' }
  /** The message is at fault: it will be the same the next time. */
  | { readonly kind: 'error'; readonly reason: string; readonly code: ErrorCondition }
  /** Something else is at fault, or the sender is not admitted. */
  | { readonly kind: 'rejected'; readonly reason: string; readonly code: ErrorCondition };

/** Table 0357, as far as we say it. */
export type ErrorCondition =
  | '100' // segment sequence error
  | '101' // required field missing
  | '102' // data type error
  | '200' // unsupported message type
  | '201' // unsupported event code
  | '202' // unsupported processing id
  | '205' // duplicate key identifier
  | '207'; // application internal error

const CONDITION_TEXTS: Readonly<Record<ErrorCondition, string>> = {
  '100': 'Segment sequence error',
  '101': 'Required field missing',
  '102': 'Data type error',
  '200': 'Unsupported message type',
  '201': 'Unsupported event code',
  '202': 'Unsupported processing id',
  '205': 'Duplicate key identifier',
  '207': 'Application internal error',
};

export type AcknowledgementCode = 'AA' | 'AE' | 'AR' | 'CA' | 'CE' | 'CR';

const APPLICATION_CODES = { accepted: 'AA', error: 'AE', rejected: 'AR' } as const;
const ACCEPT_CODES = { accepted: 'CA', error: 'CE', rejected: 'CR' } as const;

/** Which acknowledgements a message asks for, in the order in which they are sent. */
export function wantedCodes(header: Header, verdict: Verdict): AcknowledgementCode[] {
  const { acceptAcknowledgement, applicationAcknowledgement } = header;
  const isOriginal = acceptAcknowledgement === '' && applicationAcknowledgement === '';
  if (isOriginal) return [APPLICATION_CODES[verdict.kind]];
  const isSuccess = verdict.kind === 'accepted';
  const codes: AcknowledgementCode[] = [];
  if (isWanted(acceptAcknowledgement, isSuccess)) codes.push(ACCEPT_CODES[verdict.kind]);
  if (isWanted(applicationAcknowledgement, isSuccess)) codes.push(APPLICATION_CODES[verdict.kind]);
  return codes;
}

/** In enhanced mode a field that is not valued means never (2.14.9.15, 2.14.9.16). */
function isWanted(condition: AcknowledgementCondition, isSuccess: boolean): boolean {
  switch (condition) {
    case 'AL':
      return true;
    case 'SU':
      return isSuccess;
    case 'ER':
      return !isSuccess;
    default:
      return false;
  }
}

export type AcknowledgementOptions = {
  readonly at: Date;
  /** MSH-10 of the acknowledgement. */
  readonly controlId: string;
};

/** One acknowledgement as bytes, in ASCII; what a sender called himself is repeated, other signs of it are escaped. */
export function encodeAcknowledgement(
  header: Header,
  answer: { readonly verdict: Verdict; readonly code: AcknowledgementCode },
  { at, controlId }: AcknowledgementOptions,
): Buffer {
  const { verdict, code } = answer;
  const text = (value: string) => asciiValue(value);
  const version = header.version === '' ? '2.5.1' : header.version;
  const type = header.triggerEvent === '' ? 'ACK' : `ACK^${text(header.triggerEvent)}^ACK`;
  const msh = [
    'MSH',
    '^~\\&',
    text(header.receivingApplication),
    text(header.receivingFacility),
    text(header.sendingApplication),
    text(header.sendingFacility),
    hl7Time(at),
    '',
    type,
    text(controlId),
    header.processingId === '' ? 'P' : text(header.processingId),
    text(version),
  ];
  const reason = verdict.kind === 'accepted' ? '' : text(verdict.reason);
  const segments = [msh.join('|'), ['MSA', code, text(header.controlId), ...(reason === '' ? [] : [reason])].join('|')];
  if (verdict.kind !== 'accepted' && hasErrorSegment(version)) {
    const condition = `${verdict.code}^${CONDITION_TEXTS[verdict.code]}^HL70357`;
    segments.push(['ERR', '', '', condition, 'E', '', '', '', reason].join('|'));
  }
  return Buffer.from(`${segments.join('\r')}\r`, 'latin1');
}

/** ERR-3 and the fields after it came with version 2.5. */
function hasErrorSegment(version: string): boolean {
  const [, minor = '0'] = version.split('.');
  return Number(minor) >= 5;
}

/** Signs beyond ASCII become bytes of UTF-8 in hexadecimal: an acknowledgement declares no character set. */
function asciiValue(value: string): string {
  return escapeValue(value, STANDARD_DELIMITERS).replace(
    /[^\x20-\x7e]+/gu,
    (signs) => `\\X${Buffer.from(signs).toString('hex').toUpperCase()}\\`,
  );
}

export type Acknowledgement = {
  readonly code: AcknowledgementCode;
  /** MSA-2: of the message that is acknowledged. */
  readonly controlId: string;
  /** MSA-3, ERR-3.2, ERR-8: what the other side says; it may quote the message. */
  readonly reason: string;
};

const CODES: ReadonlySet<string> = new Set(['AA', 'AE', 'AR', 'CA', 'CE', 'CR']);

/** `undefined` where the bytes are a message, but no acknowledgement. Throws as `parseMessage`. */
export function readAcknowledgement(bytes: Uint8Array): Acknowledgement | undefined {
  const message = parseMessage(bytes);
  const msa = firstSegment(message, 'MSA');
  if (msa === undefined) return undefined;
  const code = textAt(message, msa, { field: 1 }).trim().toUpperCase();
  if (!isCode(code)) return undefined;
  const err = firstSegment(message, 'ERR');
  const said = [textAt(message, msa, { field: 3 })];
  if (err !== undefined)
    said.push(textAt(message, err, { field: 3, component: 2 }), textAt(message, err, { field: 8 }));
  const reason = [...new Set(said.filter((part) => part !== ''))].join('; ');
  return { code, controlId: textAt(message, msa, { field: 2 }).trim(), reason };
}

function isCode(code: string): code is AcknowledgementCode {
  return CODES.has(code);
}

/**
 * What can still be told to the sender of bytes that are no message: as much of MSH as can be read, leniently. `undefined` where
 * not even a control id is there: then there is nobody to tell.
 */
export function salvageHeader(bytes: Uint8Array): Header | undefined {
  const line = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.byteLength, 4096))
    .toString('latin1')
    .split(/[\r\n]/, 1)[0];
  const fields = line?.split('|').slice(0, 16) ?? [];
  // MSH-18 is left out: a character set that is not known must not stand in the way of the answer.
  const decode: DecodeBytes = (content) => Buffer.from(content).toString('latin1');
  const plain = fields.join('|').replace(/[^\x20-\x7e]/g, '?');
  try {
    const message = parseMessage(Buffer.from(plain, 'latin1'));
    return readHeader({ ...message, characterSet: { ...message.characterSet, decode } });
  } catch {
    return undefined; // so there is none
  }
}
