/**
 * PDUs out of the chunks of a socket. What a P-DATA-TF PDU carries is handed on as views of the chunk it came in, in as many
 * pieces as the chunks make of it: an image passes through without being copied or held. Every other PDU is held until it is
 * whole, up to a limit, in memory that grows with what has arrived and not with what was announced.
 *
 * A fault ends it: it is told once, and all that follows is dropped.
 */
import { DicomError } from '../dicom-error.ts';
import { ASSOCIATE_PDU_BYTES_MAX } from './limits.ts';
import { decodePdu, PDU_HEADER_BYTES, PDU_TYPES, PDV_HEADER_BYTES, PDV_OVERHEAD_BYTES, type Pdu } from './pdu.ts';

/** A part of a message (PS3.8 annex E): a command set, or a data set, comes in one fragment or several. */
export type Fragment = { readonly contextId: number; readonly isCommand: boolean; readonly isLast: boolean };

/** Reasons of a provider's A-ABORT (PS3.8 table 9-26). */
export const ABORT_REASONS = {
  notSpecified: 0,
  unrecognizedPdu: 1,
  unexpectedPdu: 2,
  unexpectedParameter: 5,
  invalidParameter: 6,
} as const;

export type PduSink = {
  pdu(pdu: Pdu): void;
  dataBegins(): void;
  /** `bytes` is a view of the chunk, to be copied before this returns; `isEnd` with the last piece of the fragment, which may be empty. */
  piece(fragment: Fragment, bytes: Buffer, isEnd: boolean): void;
  dataEnds(): void;
  /** `reason` as PS3.8 table 9-26 numbers them. */
  fault(error: DicomError, reason: number): void;
};

type Phase =
  | { readonly kind: 'header' }
  | { readonly kind: 'held'; readonly type: number; readonly bytes: number }
  | { readonly kind: 'fragment-header' }
  | { readonly kind: 'fragment'; readonly fragment: Fragment }
  | { readonly kind: 'faulty' };

const HEADER: Phase = { kind: 'header' };
const FRAGMENT_HEADER: Phase = { kind: 'fragment-header' };
const HELD_BYTES_FIRST = 1024;
const SHORT_PDU_BYTES = 4;

export class PduStream {
  readonly #sink: PduSink;
  readonly #dataPduBytesMax: number;
  #phase: Phase = HEADER;
  /** Of a header, or of a PDU that is held until it is whole. */
  #held = Buffer.alloc(HELD_BYTES_FIRST);
  #heldBytes = 0;
  /** Bytes of the P-DATA-TF PDU, and of the fragment, that have not come yet. */
  #dataBytesLeft = 0;
  #fragmentBytesLeft = 0;

  /** `dataPduBytesMax`: the longest P-DATA-TF PDU that the peer was told it may send [bytes]. */
  constructor(sink: PduSink, dataPduBytesMax: number) {
    this.#sink = sink;
    this.#dataPduBytesMax = dataPduBytesMax;
  }

  push(chunk: Buffer): void {
    try {
      let at = 0;
      while (at < chunk.byteLength && this.#phase.kind !== 'faulty') at = this.#advance(this.#phase, chunk, at);
    } catch (caught) {
      if (!(caught instanceof DicomError)) throw caught;
      this.#fail(caught, ABORT_REASONS.invalidParameter);
    }
  }

  #fail(error: DicomError, reason: number): void {
    this.#phase = { kind: 'faulty' };
    this.#held = Buffer.alloc(0);
    this.#sink.fault(error, reason);
  }

  /** Returns how far it came. */
  #advance(phase: Phase, chunk: Buffer, at: number): number {
    switch (phase.kind) {
      case 'header': {
        const next = this.#hold(chunk, at, PDU_HEADER_BYTES);
        if (this.#heldBytes === PDU_HEADER_BYTES) this.#begin(this.#take(PDU_HEADER_BYTES));
        return next;
      }
      case 'held': {
        const next = this.#hold(chunk, at, phase.bytes);
        if (this.#heldBytes === phase.bytes) this.#end(phase.type, this.#take(phase.bytes));
        return next;
      }
      case 'fragment-header': {
        const next = this.#hold(chunk, at, PDV_HEADER_BYTES);
        if (this.#heldBytes === PDV_HEADER_BYTES) this.#beginFragment(this.#take(PDV_HEADER_BYTES));
        return next;
      }
      case 'fragment': {
        const end = Math.min(chunk.byteLength, at + this.#fragmentBytesLeft);
        this.#passOn(phase.fragment, chunk.subarray(at, end));
        return end;
      }
      default:
        return chunk.byteLength;
    }
  }

  #begin(header: Buffer): void {
    const type = header.readUInt8(0);
    const bytes = header.readUInt32BE(2);
    if (type === PDU_TYPES.data) {
      if (bytes > this.#dataPduBytesMax) throw new DicomError('limit', 'A P-DATA-TF PDU is longer than was agreed.');
      this.#dataBytesLeft = bytes;
      this.#phase = FRAGMENT_HEADER;
      this.#assertRoom();
      this.#sink.dataBegins();
      return;
    }
    if (type < PDU_TYPES.associateRequest || type > PDU_TYPES.abort) {
      this.#fail(new DicomError('malformed', `A PDU has the unknown type ${type}.`), ABORT_REASONS.unrecognizedPdu);
      return;
    }
    const isAssociate = type === PDU_TYPES.associateRequest || type === PDU_TYPES.associateAccept;
    const bytesMax = isAssociate ? ASSOCIATE_PDU_BYTES_MAX : SHORT_PDU_BYTES;
    if (bytes > bytesMax) throw new DicomError('limit', `A PDU of type ${type} is longer than ${bytesMax} bytes.`);
    if (bytes === 0) throw new DicomError('malformed', `A PDU of type ${type} is empty.`);
    this.#phase = { kind: 'held', type, bytes };
  }

  #end(type: number, content: Buffer): void {
    this.#phase = HEADER;
    const pdu = decodePdu(type, content);
    this.#held = Buffer.alloc(HELD_BYTES_FIRST);
    this.#sink.pdu(pdu);
  }

  #beginFragment(header: Buffer): void {
    const bytes = header.readUInt32BE(0);
    this.#dataBytesLeft -= PDV_HEADER_BYTES;
    this.#fragmentBytesLeft = bytes - PDV_OVERHEAD_BYTES;
    if (this.#fragmentBytesLeft < 0 || this.#fragmentBytesLeft > this.#dataBytesLeft) {
      throw new DicomError('malformed', 'A PDV does not fit the P-DATA-TF PDU that it lies in.');
    }
    const control = header.readUInt8(5); // its upper bits mean nothing (PS3.8 E.2)
    const fragment = {
      contextId: header.readUInt8(4),
      isCommand: (control & 1) !== 0,
      isLast: (control & 2) !== 0,
    };
    this.#phase = { kind: 'fragment', fragment };
    if (this.#fragmentBytesLeft === 0) this.#passOn(fragment, Buffer.alloc(0));
  }

  #passOn(fragment: Fragment, bytes: Buffer): void {
    this.#fragmentBytesLeft -= bytes.byteLength;
    this.#dataBytesLeft -= bytes.byteLength;
    const isEnd = this.#fragmentBytesLeft === 0;
    const isPduEnd = isEnd && this.#dataBytesLeft === 0;
    if (isPduEnd) this.#phase = HEADER;
    else if (isEnd) this.#phase = FRAGMENT_HEADER;
    if (isEnd && !isPduEnd) this.#assertRoom();
    this.#sink.piece(fragment, bytes, isEnd);
    if (isPduEnd) this.#sink.dataEnds();
  }

  #assertRoom(): void {
    if (this.#dataBytesLeft < PDV_HEADER_BYTES) {
      throw new DicomError('malformed', 'A P-DATA-TF PDU ends within the head of a PDV.');
    }
  }

  /** Copies from `at` on until `wanted` bytes are held; returns how far it came. */
  #hold(chunk: Buffer, at: number, wanted: number): number {
    const end = Math.min(chunk.byteLength, at + wanted - this.#heldBytes);
    const needed = this.#heldBytes + end - at;
    if (needed > this.#held.byteLength) {
      const larger = Buffer.alloc(Math.min(wanted, 2 * needed));
      this.#held.copy(larger, 0, 0, this.#heldBytes);
      this.#held = larger;
    }
    chunk.copy(this.#held, this.#heldBytes, at, end);
    this.#heldBytes = needed;
    return end;
  }

  #take(bytes: number): Buffer {
    this.#heldBytes = 0;
    return this.#held.subarray(0, bytes);
  }
}
