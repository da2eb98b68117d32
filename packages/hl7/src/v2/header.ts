/** What MSH says of a message: who sent it, what it is, and which acknowledgements are wanted. */
import { Hl7Error } from '../hl7-error.ts';
import { firstSegment, type Message, textAt } from './message.ts';

/** Table 0155. Empty: the field is not valued. */
export type AcknowledgementCondition = 'AL' | 'NE' | 'ER' | 'SU' | '';

export type Header = {
  readonly sendingApplication: string;
  readonly sendingFacility: string;
  readonly receivingApplication: string;
  readonly receivingFacility: string;
  readonly controlId: string;
  /** MSH-9.1, such as ADT. */
  readonly messageCode: string;
  /** MSH-9.2, such as A01. */
  readonly triggerEvent: string;
  /** MSH-9.3, such as ADT_A01; empty before version 2.3.1. */
  readonly structure: string;
  readonly processingId: string;
  readonly version: string;
  readonly acceptAcknowledgement: AcknowledgementCondition;
  readonly applicationAcknowledgement: AcknowledgementCondition;
};

/** Throws `malformed` where the message cannot be acknowledged: without MSH, type or control id. */
export function readHeader(message: Message): Header {
  const msh = firstSegment(message, 'MSH');
  if (msh === undefined || message.segments[0] !== msh) {
    throw new Hl7Error('malformed', 'The first segment is not MSH.');
  }
  const text = (field: number, component = 1) => textAt(message, msh, { field, component }).trim();
  const header: Header = {
    sendingApplication: text(3),
    sendingFacility: text(4),
    receivingApplication: text(5),
    receivingFacility: text(6),
    messageCode: text(9).toUpperCase(),
    triggerEvent: text(9, 2).toUpperCase(),
    structure: text(9, 3).toUpperCase(),
    controlId: text(10),
    processingId: text(11),
    version: text(12),
    acceptAcknowledgement: condition(text(15)),
    applicationAcknowledgement: condition(text(16)),
  };
  if (header.controlId === '') throw new Hl7Error('malformed', 'MSH-10: the control id is missing.');
  if (header.messageCode === '') throw new Hl7Error('malformed', 'MSH-9: the type of the message is missing.');
  return header;
}

/** A condition that table 0155 does not know is taken as always: an answer too many is seen, one too few is waited for. */
function condition(text: string): AcknowledgementCondition {
  switch (text) {
    case '':
    case 'AL':
    case 'NE':
    case 'ER':
    case 'SU':
      return text;
    default:
      return 'AL';
  }
}
