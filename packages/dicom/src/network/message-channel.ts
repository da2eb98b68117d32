/**
 * DIMSE messages on an association (PS3.7 6.3, PS3.8 annex E): a command set, then the data set that belongs to it if it says
 * so, each cut into fragments. The fragments of a message follow one another, so messages are sent one after the other.
 */
import { DicomError } from '../dicom-error.ts';
import type { Association } from './association.ts';
import { type Command, decodeCommand, encodeCommand } from './command-set.ts';
import { DataSetStream } from './data-set-stream.ts';
import { COMMAND_BYTES_MAX, SENT_BATCH_BYTES, SENT_PDU_BYTES_MAX } from './limits.ts';
import { dataHeader, PDV_HEADER_BYTES } from './pdu.ts';
import { ABORT_REASONS, type Fragment } from './pdu-stream.ts';

export type Message = {
  readonly contextId: number;
  readonly command: Command;
  /** Still arriving; `undefined` where the message has none. */
  readonly dataSet: DataSetStream | undefined;
};

export type SentMessage = {
  readonly contextId: number;
  readonly command: Command;
  readonly dataSet?: Buffer | AsyncIterable<Buffer>;
  /** Bytes of the data set that were handed to the socket so far. */
  readonly onProgress?: ((bytesSent: number) => void) | undefined;
};

type Incoming =
  | { readonly kind: 'between' }
  | { readonly kind: 'command'; readonly contextId: number; readonly pieces: readonly Buffer[]; readonly bytes: number }
  | { readonly kind: 'data-set'; readonly contextId: number; readonly dataSet: DataSetStream };

const BETWEEN: Incoming = { kind: 'between' };

export type ChannelOptions = {
  readonly association: Association;
  /** Between the PDUs of one message [ms]. */
  readonly idleMs: number;
  readonly receive: (message: Message) => void;
};

export class MessageChannel {
  readonly #association: Association;
  readonly #idleMs: number;
  readonly #receive: (message: Message) => void;
  #incoming: Incoming = BETWEEN;
  #peerTurnMs: number | undefined;
  #fragmentBytesMax = 0;
  #sending: Promise<unknown> = Promise.resolve();

  constructor(options: ChannelOptions) {
    this.#association = options.association;
    this.#idleMs = options.idleMs;
    this.#receive = options.receive;
  }

  /** `pduBytesMax`: what the peer says it receives, 0 for any length (PS3.8 D.1) [bytes]. */
  open(pduBytesMax: number): void {
    const bytes = pduBytesMax === 0 ? SENT_PDU_BYTES_MAX : Math.min(pduBytesMax, SENT_PDU_BYTES_MAX);
    this.#fragmentBytesMax = (bytes - PDV_HEADER_BYTES) & ~1; // fragments are of even length (PS3.8 E.1)
  }

  /** The peer has to send the next message within `ms`; `undefined`: it has none to send. A message under way has to go on. */
  awaitMessage(ms: number | undefined): void {
    this.#peerTurnMs = ms;
    this.#watch();
  }

  /** Of the association; `bytes` is copied. */
  piece(fragment: Fragment, bytes: Buffer, isEnd: boolean): void {
    try {
      this.#assemble(fragment, bytes, isEnd && fragment.isLast);
    } catch (caught) {
      if (!(caught instanceof DicomError)) throw caught;
      this.#association.abort(caught, ABORT_REASONS.unexpectedParameter);
    }
  }

  ended(error: DicomError): void {
    if (this.#incoming.kind === 'data-set') this.#incoming.dataSet.end(error);
    this.#incoming = BETWEEN;
  }

  /**
   * Settles when the socket has taken the message; its data set is read no faster than the peer takes it. Throws what ended
   * the association. Where the data set throws before anything was sent, that is thrown; later it leaves half a message, which
   * only an abort can end.
   */
  send(message: SentMessage): Promise<void> {
    const sent = this.#sending.then(() => this.#send(message));
    this.#sending = sent.catch(() => {}); // the caller of this message has its error; the next finds the association ended
    return sent;
  }

  #watch(): void {
    this.#association.watch(this.#incoming.kind === 'between' ? this.#peerTurnMs : this.#idleMs);
  }

  #assemble(fragment: Fragment, bytes: Buffer, isLast: boolean): void {
    const incoming = this.#incoming;
    if (incoming.kind === 'data-set') {
      if (fragment.isCommand || fragment.contextId !== incoming.contextId) throw outOfPlace();
      incoming.dataSet.push(bytes);
      if (!isLast) return;
      this.#incoming = BETWEEN;
      this.#watch();
      incoming.dataSet.end();
      return;
    }
    if (!fragment.isCommand) throw outOfPlace();
    const begun = incoming.kind === 'command' ? incoming : { contextId: fragment.contextId, pieces: [], bytes: 0 };
    if (fragment.contextId !== begun.contextId) throw outOfPlace();
    const total = begun.bytes + bytes.byteLength;
    if (total > COMMAND_BYTES_MAX)
      throw new DicomError('limit', `A command set is longer than ${COMMAND_BYTES_MAX} bytes.`);
    const pieces = [...begun.pieces, bytes];
    if (isLast) this.#begin(fragment.contextId, Buffer.concat(pieces, total));
    else
      this.#incoming = { kind: 'command', contextId: fragment.contextId, pieces: joined(pieces, total), bytes: total };
    this.#watch();
  }

  #begin(contextId: number, bytes: Buffer): void {
    const { command, hasDataSet } = decodeCommand(bytes);
    const dataSet = hasDataSet ? new DataSetStream(this.#association, command.name === 'C-STORE-RQ') : undefined;
    this.#incoming = dataSet === undefined ? BETWEEN : { kind: 'data-set', contextId, dataSet };
    this.#receive({ contextId, command, dataSet });
  }

  async #send({ contextId, command, dataSet, onProgress }: SentMessage): Promise<void> {
    const parts: Buffer[] = [];
    const bytes = encodeCommand(command, dataSet !== undefined);
    this.#cut(parts, { contextId, isCommand: true, isEnd: true }, [bytes], bytes.byteLength);
    if (dataSet === undefined || Buffer.isBuffer(dataSet)) {
      if (dataSet !== undefined) {
        this.#cut(parts, { contextId, isCommand: false, isEnd: true }, [dataSet], dataSet.byteLength);
      }
      return this.#association.send(parts);
    }
    let hasBegun = false;
    const progress = (bytesSent: number) => {
      hasBegun = true;
      onProgress?.(bytesSent);
    };
    try {
      await this.#sendStream(contextId, { parts, dataSet, progress });
    } catch (caught) {
      if (!hasBegun) throw caught;
      const error = caught instanceof DicomError ? caught : unreadable(caught);
      this.#association.abort(error);
      throw error;
    }
  }

  async #sendStream(
    contextId: number,
    stream: { parts: Buffer[]; dataSet: AsyncIterable<Buffer>; progress: (bytesSent: number) => void },
  ): Promise<void> {
    let { parts } = stream; // the command set, which goes with the first of the data set
    let waiting: Buffer[] = [];
    let bytesWaiting = 0;
    let bytesSent = 0;
    const flush = async (isEnd: boolean) => {
      const left = this.#cut(parts, { contextId, isCommand: false, isEnd }, waiting, bytesWaiting);
      bytesSent += bytesWaiting - left.bytes;
      waiting = left.pieces;
      bytesWaiting = left.bytes;
      stream.progress(bytesSent);
      await this.#association.send(parts);
      parts = [];
    };
    for await (const piece of stream.dataSet) {
      waiting.push(piece);
      bytesWaiting += piece.byteLength;
      if (bytesWaiting >= SENT_BATCH_BYTES) await flush(false);
    }
    await flush(true);
  }

  /**
   * Cuts pieces into PDUs of the largest size and adds them to `parts`, without copying. Returns what is left over: less than a
   * whole fragment, but at least something, since only the last fragment may say that it is the last; nothing at the end.
   */
  #cut(
    parts: Buffer[],
    kind: { contextId: number; isCommand: boolean; isEnd: boolean },
    pieces: readonly Buffer[],
    bytes: number,
  ): { pieces: Buffer[]; bytes: number } {
    const queue = [...pieces];
    let left = bytes;
    do {
      const isLast = kind.isEnd && left <= this.#fragmentBytesMax;
      if (!isLast && left <= this.#fragmentBytesMax) break;
      const fragmentBytes = Math.min(left, this.#fragmentBytesMax);
      parts.push(dataHeader({ contextId: kind.contextId, isCommand: kind.isCommand, isLast, fragmentBytes }));
      takeBytes(queue, parts, fragmentBytes);
      left -= fragmentBytes;
    } while (left > 0);
    return { pieces: queue, bytes: left };
  }
}

/** Moves `bytes` from the front of `queue` to the end of `parts`. */
function takeBytes(queue: Buffer[], parts: Buffer[], bytes: number): void {
  let wanted = bytes;
  while (wanted > 0) {
    const [first] = queue;
    if (first === undefined) return;
    if (first.byteLength <= wanted) {
      parts.push(first);
      queue.shift();
    } else {
      parts.push(first.subarray(0, wanted));
      queue[0] = first.subarray(wanted);
    }
    wanted -= Math.min(wanted, first.byteLength);
  }
}

/** Many tiny fragments are held as one: a view holds its chunk, and a list of them costs more than they do. */
function joined(pieces: readonly Buffer[], bytes: number): readonly Buffer[] {
  return [Buffer.concat(pieces, bytes)];
}

function outOfPlace(): DicomError {
  return new DicomError('malformed', 'A fragment belongs to no message, or to another than the one under way.');
}

function unreadable(cause: unknown): DicomError {
  return new DicomError('aborted', 'The data set that was being sent could not be read.', { cause });
}
