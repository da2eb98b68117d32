/**
 * One association on one socket: performs what the state machine says (association-states.ts), watches the clock, and holds
 * back either side when the other is slow. It knows PDUs and fragments; messages are the concern of message-channel.ts.
 *
 * However it ends, its user is told once, and `closed` settles when the socket is gone.
 */
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { DicomError } from '../dicom-error.ts';
import { type AssociationEvent, type Effect, type Role, type State, transition } from './association-states.ts';
import { type NetworkTimeouts, RECEIVED_PDU_BYTES_MAX } from './limits.ts';
import { type AssociateAccept, type AssociateRequest, encodePdu, type Pdu, type Rejection } from './pdu.ts';
import { ABORT_REASONS, type Fragment, PduStream } from './pdu-stream.ts';

/** Source of an A-ABORT or of its reason (PS3.8 table 9-26). */
const FROM_USER = 0;
const FROM_PROVIDER = 2;
const KEEP_ALIVE_MS = 60_000; // finds a peer whose machine is gone while an archive thinks for minutes

const EVENTS = {
  'associate-request': 'associate-pdu',
  'associate-accept': 'accept-pdu',
  'associate-reject': 'reject-pdu',
  'release-request': 'release-pdu',
  'release-reply': 'release-reply-pdu',
} as const satisfies Readonly<Record<Exclude<Pdu['type'], 'abort'>, AssociationEvent>>;

export type AssociationEnd =
  | { readonly kind: 'released' }
  | { readonly kind: 'rejected'; readonly rejection: Rejection }
  | { readonly kind: 'failed'; readonly error: DicomError };

export type AssociationUser = {
  /** Acceptor: has to call `accept` or `reject`. */
  requested(request: AssociateRequest): void;
  /** Requestor: data may be sent from now on. */
  accepted(accept: AssociateAccept): void;
  piece(fragment: Fragment, bytes: Buffer, isEnd: boolean): void;
  ended(end: AssociationEnd): void;
};

export class Association {
  readonly #socket: Socket | TLSSocket;
  readonly #role: Role;
  readonly #user: AssociationUser;
  readonly #timeouts: NetworkTimeouts;
  readonly #stream: PduStream;
  readonly closed: Promise<void>;
  #state: State = 'Sta1';
  #end: AssociationEnd | undefined;
  #socketError: Error | undefined;
  #abortReason: number = ABORT_REASONS.notSpecified;
  #artim: NodeJS.Timeout | undefined;
  /** Within which the next PDU has to come, and what notices that it does not. */
  #watchMs: number | undefined;
  #watchTimer: NodeJS.Timeout | undefined;
  #isPaused = false;
  #drain: PromiseWithResolvers<void> | undefined;

  /** `socket` is connected, and belongs to the association from now on. */
  constructor(options: { socket: Socket | TLSSocket; role: Role; user: AssociationUser; timeouts: NetworkTimeouts }) {
    const { socket } = options;
    this.#socket = socket;
    this.#role = options.role;
    this.#user = options.user;
    this.#timeouts = options.timeouts;
    this.#stream = new PduStream(
      {
        pdu: (pdu) => this.#receivePdu(pdu),
        dataBegins: () => this.#receive('data-pdu'),
        piece: (fragment, bytes, isEnd) => {
          if (this.isOpen) this.#user.piece(fragment, bytes, isEnd);
        },
        dataEnds: () => this.#watchTimer?.refresh(),
        fault: (error, reason) => this.#fail('invalid-pdu', error, reason),
      },
      RECEIVED_PDU_BYTES_MAX,
    );
    socket.setNoDelay(true); // Nagle holds back the last packet of a message until the peer acknowledges, 40 ms later
    socket.setKeepAlive(true, KEEP_ALIVE_MS);
    socket.on('error', (error) => {
      this.#socketError = error;
    });
    socket.on('drain', () => this.#drain?.resolve());
    socket.on('data', (chunk) => {
      this.#stream.push(chunk);
      release(chunk);
    });
    this.closed = new Promise((resolve) => {
      socket.once('close', () => {
        const cause = this.#socketError === undefined ? {} : { cause: this.#socketError };
        this.#fail('closed', new DicomError('network', 'The connection was closed.', cause));
        this.#clearTimers();
        resolve();
      });
    });
  }

  /** Data may be received, and, but for a release under way, sent. */
  get isOpen(): boolean {
    return this.#state === 'Sta6' || this.#state === 'Sta7';
  }

  /** Acceptor: waits for the A-ASSOCIATE-RQ of the connection that was just made. */
  await(): void {
    this.#fire('connection-made');
  }

  request(request: AssociateRequest): void {
    this.#fire('associate-wanted');
    this.#fire('connected', request);
  }

  accept(accept: AssociateAccept): void {
    this.#fire('accept-answer', accept);
  }

  reject(rejection: Rejection): void {
    this.#fire('reject-answer', { type: 'associate-reject', ...rejection });
    this.#finish({ kind: 'rejected', rejection });
  }

  release(): void {
    this.#fire('release-wanted');
  }

  /** Ends at once; `error` is what the user is told. `reason` other than 0 says that the peer broke the protocol. */
  abort(error: DicomError, reason: number = ABORT_REASONS.notSpecified): void {
    if (reason === ABORT_REASONS.notSpecified) this.#fire('abort-wanted');
    else this.#fail('invalid-pdu', error, reason);
    this.#finish({ kind: 'failed', error });
    if (this.#state === 'Sta1' || this.#state === 'Sta2') this.#socket.destroy();
  }

  /**
   * Hands whole P-DATA-TF PDUs to the socket: views, not to be changed before the promise settles. Settles when the socket
   * takes more; a peer that does not read for `idleMs` ends the association. Throws what ended it.
   */
  async send(parts: readonly Buffer[]): Promise<void> {
    if (this.#fire('data-wanted') === undefined) throw this.#endError();
    this.#socket.cork();
    for (const part of parts) this.#socket.write(part);
    this.#socket.uncork();
    if (!this.#socket.writableNeedDrain) return;
    const drain = Promise.withResolvers<void>();
    this.#drain = drain;
    const timer = setTimeout(() => this.#timeOut('The peer does not take what is sent to it.'), this.#timeouts.idleMs);
    try {
      await drain.promise;
    } finally {
      clearTimeout(timer);
      this.#drain = undefined;
    }
    if (this.#end !== undefined) throw this.#endError();
  }

  /** It is the peer's turn: a PDU has to come every `ms`; `undefined`: it is not. Does not count while reading is held back. */
  watch(ms: number | undefined): void {
    if (ms === this.#watchMs && this.#watchTimer !== undefined) this.#watchTimer.refresh();
    else {
      this.#watchMs = ms;
      this.#startWatch();
    }
  }

  /** Holds the peer back: what it sends stays in the buffers of the kernel. */
  pause(): void {
    if (this.#isPaused || this.#state === 'Sta13') return;
    this.#isPaused = true;
    this.#stopWatch();
    this.#socket.pause();
  }

  resume(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    this.#startWatch();
    this.#socket.resume();
  }

  #startWatch(): void {
    this.#stopWatch();
    if (this.#watchMs === undefined || this.#isPaused || this.#end !== undefined) return;
    this.#watchTimer = setTimeout(() => this.#timeOut('The peer has been silent for too long.'), this.#watchMs);
  }

  #stopWatch(): void {
    clearTimeout(this.#watchTimer);
    this.#watchTimer = undefined;
  }

  #receivePdu(pdu: Pdu): void {
    this.#watchTimer?.refresh();
    if (pdu.type === 'abort') {
      const who = pdu.source === FROM_USER ? 'The peer' : "The peer's upper layer";
      this.#fail('abort-pdu', new DicomError('aborted', `${who} aborted (reason ${pdu.reason}).`));
    } else {
      this.#receive(EVENTS[pdu.type], pdu);
    }
  }

  #receive(event: AssociationEvent, pdu?: Pdu): void {
    this.#abortReason = ABORT_REASONS.unexpectedPdu; // should the state machine answer with an abort
    this.#fire(event, pdu);
    this.#abortReason = ABORT_REASONS.notSpecified;
  }

  #timeOut(message: string): void {
    this.abort(new DicomError('timeout', message));
  }

  /** An event that ends the association, with what its user is told. */
  #fail(event: AssociationEvent, error: DicomError, reason: number = ABORT_REASONS.notSpecified): void {
    this.#abortReason = reason;
    this.#fire(event, undefined, error);
    this.#finish({ kind: 'failed', error });
  }

  #fire(event: AssociationEvent, pdu?: Pdu, error?: DicomError): State | undefined {
    const step = transition(this.#state, event, this.#role);
    if (step === undefined) return undefined;
    this.#state = step.next;
    for (const effect of step.effects) this.#perform(effect, pdu, error);
    if (step.next === 'Sta13') this.resume(); // else the end of a connection that is held back is never seen
    return step.next;
  }

  #perform(effect: Effect, pdu: Pdu | undefined, error: DicomError | undefined): void {
    switch (effect) {
      case 'send-pdu':
        if (pdu !== undefined) this.#write(pdu);
        break;
      case 'send-release':
        this.#write({ type: 'release-request' });
        break;
      case 'send-release-reply':
        this.#write({ type: 'release-reply' });
        if (this.#state === 'Sta13') this.#finish({ kind: 'released' });
        break;
      case 'send-abort':
        this.#write({ type: 'abort', source: FROM_USER, reason: ABORT_REASONS.notSpecified });
        break;
      case 'send-provider-abort':
        this.#write({ type: 'abort', source: FROM_PROVIDER, reason: this.#abortReason });
        break;
      case 'tell-request':
        if (pdu?.type === 'associate-request') this.#user.requested(pdu);
        break;
      case 'tell-accepted':
        if (pdu?.type === 'associate-accept') this.#user.accepted(pdu);
        break;
      case 'tell-rejected':
        if (pdu?.type === 'associate-reject') this.#finish({ kind: 'rejected', rejection: pdu });
        break;
      case 'tell-release':
        // DIMSE has nothing to say before it answers: what was under way is told that the association ended.
        this.#fire('release-answer');
        break;
      case 'tell-released':
        this.#fire('release-answer'); // after a collision (Sta12)
        this.#finish({ kind: 'released' });
        break;
      case 'tell-aborted':
        this.#finish({ kind: 'failed', error: error ?? unexpectedPdu() });
        break;
      case 'start-timer':
        this.#startTimer();
        break;
      case 'stop-timer':
        clearTimeout(this.#artim);
        break;
      case 'close':
        this.#socket.destroySoon();
        break;
      default:
        effect satisfies never;
    }
  }

  #write(pdu: Pdu): void {
    if (this.#socket.writable) this.#socket.write(encodePdu(pdu));
  }

  #startTimer(): void {
    clearTimeout(this.#artim);
    const ms = this.#state === 'Sta13' ? this.#timeouts.closeMs : this.#timeouts.associateMs;
    this.#artim = setTimeout(() => {
      this.#fail('timer', new DicomError('timeout', 'The peer did not answer in time.'));
      if (this.#state === 'Sta1') this.#socket.destroy(); // a peer that does not read would hold open what is only ended
    }, ms);
  }

  #finish(end: AssociationEnd): void {
    if (this.#end !== undefined) return;
    this.#end = end;
    this.#stopWatch();
    this.#drain?.resolve();
    this.#user.ended(end);
  }

  #endError(): DicomError {
    if (this.#end?.kind === 'failed') return this.#end.error;
    return new DicomError('aborted', 'The association has ended.');
  }

  #clearTimers(): void {
    clearTimeout(this.#artim);
    this.#stopWatch();
  }
}

/**
 * Gives the memory of a chunk back at once, where it is all its own: nobody keeps a view of it (PduSink). Left to the collector it
 * weighs so much that V8 marks its whole heap every ten megabytes received.
 */
function release(chunk: Buffer): void {
  const { buffer } = chunk;
  if (buffer instanceof ArrayBuffer && buffer.byteLength === chunk.byteLength) buffer.transfer(0);
}

function unexpectedPdu(): DicomError {
  return new DicomError('malformed', 'The peer sent a PDU that has no place here.');
}
