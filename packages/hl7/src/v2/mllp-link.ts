/** The connection of a sender: opened when it is needed, one message waiting for its answer at a time. */
import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { Hl7Error } from '../hl7-error.ts';
import { type Acknowledgement, readAcknowledgement } from './acknowledgement.ts';
import { FrameDecoder } from './mllp-frames.ts';
import { TLS_VERSION_MIN } from './mllp-server.ts';

/** An acknowledgement repeats a few fields; one that is longer comes from no MLLP receiver. */
const ANSWER_BYTES_MAX = 1024 * 1024;

const CONNECT_MS = 10_000; // inside a hospital; a firewall that drops packets is noticed

export type ClientTls = {
  /** PEM of the authority of the receiver; those of the system where absent. */
  readonly ca?: string;
  /** PEM of what this sender shows, where the receiver asks. */
  readonly key?: string;
  readonly cert?: string;
  /** Name in the receiver's certificate, where it is not its host. */
  readonly serverName?: string;
};

export type Destination = {
  readonly host: string;
  readonly port: number;
  readonly tls?: ClientTls;
  /** How long a connection is waited for. */
  readonly connectMs?: number;
};

type Waiting = {
  readonly controlId: string;
  readonly resolve: (answer: Acknowledgement) => void;
  readonly reject: (problem: Hl7Error) => void;
};

const CLOSED = 'The receiver closed the connection.';
/** A receiver may look at a certificate after TLS was agreed upon. */
const CLOSED_SILENTLY = 'The receiver closed the connection at once: it may not take the certificate of this sender.';

export class MllpLink {
  readonly #destination: Destination;
  #socket: Socket | undefined;
  #waiting: Waiting | undefined;

  constructor(destination: Destination) {
    this.#destination = destination;
  }

  /** Ends the connection; whoever waits hears `problem`. */
  drop(problem: Hl7Error): void {
    this.#socket?.destroy();
    this.#socket = undefined;
    this.#waiting?.reject(problem);
    this.#waiting = undefined;
  }

  /** Resolves when the frame is handed to the network. */
  async write(frame: Buffer): Promise<void> {
    const socket = await this.#open();
    return new Promise((resolve, reject) => {
      socket.write(frame, (cause) =>
        cause == null ? resolve() : reject(new Hl7Error('network', 'The connection was lost.', { cause })),
      );
    });
  }

  /** Sends a frame and resolves with the answer that names `controlId`. `signal` is looked at once the connection is there. */
  async ask(
    frame: Buffer,
    { controlId, answerMs, signal }: { controlId: string; answerMs: number; signal: AbortSignal | undefined },
  ): Promise<Acknowledgement> {
    const socket = await this.#open();
    if (signal?.aborted === true) throw new Hl7Error('aborted', 'Sending was stopped.');
    const answered = new Promise<Acknowledgement>((resolve, reject) => {
      this.#waiting = { controlId, resolve, reject };
    });
    const timer = setTimeout(() => this.drop(new Hl7Error('timeout', 'No acknowledgement came in time.')), answerMs);
    socket.write(frame);
    try {
      return await answered;
    } finally {
      clearTimeout(timer);
    }
  }

  async #open(): Promise<Socket> {
    const known = this.#socket;
    if (known !== undefined && !known.destroyed && known.writable) return known;
    const opened = await connected(this.#destination);
    const decoder = new FrameDecoder(ANSWER_BYTES_MAX);
    let fault: Error | undefined;
    let isAnswered = false;
    opened.on('error', (cause) => {
      fault = cause; // 'close' follows, and says it
    });
    opened.on('close', () => {
      const isSilent = this.#destination.tls !== undefined && !isAnswered;
      if (this.#socket === opened) this.drop(networkError(isSilent ? CLOSED_SILENTLY : CLOSED, fault));
    });
    opened.on('data', (chunk) => {
      isAnswered = true;
      for (const event of decoder.push(chunk)) if (event.kind === 'frame') this.#onAnswer(event.content);
    });
    this.#socket = opened;
    return opened;
  }

  #onAnswer(content: Buffer): void {
    const answer = answerIn(content);
    if (answer === undefined || answer.controlId !== this.#waiting?.controlId) return;
    this.#waiting.resolve(answer);
    this.#waiting = undefined;
  }
}

function answerIn(content: Buffer): Acknowledgement | undefined {
  try {
    return readAcknowledgement(content);
  } catch {
    return undefined; // what cannot be read acknowledges nothing; the message is sent again
  }
}

function connected(destination: Destination): Promise<Socket> {
  const { host, port, tls, connectMs = CONNECT_MS } = destination;
  const { serverName, ...identity } = tls ?? {};
  const name = serverName === undefined ? {} : { servername: serverName };
  const socket =
    tls === undefined
      ? connectTcp({ host, port, noDelay: true })
      : connectTls({ host, port, minVersion: TLS_VERSION_MIN, ...identity, ...name });
  socket.setNoDelay(true);
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      socket.destroy();
      const what = tls === undefined ? 'take the connection' : 'agree upon TLS';
      reject(new Hl7Error('timeout', `The receiver does not ${what} in time.`));
    }, connectMs);
    socket.once('error', (cause) => {
      clearTimeout(timer);
      reject(networkError('The receiver cannot be reached.', cause));
    });
    socket.once(tls === undefined ? 'connect' : 'secureConnect', () => {
      clearTimeout(timer);
      resolve(socket);
    });
  });
}

/** What TLS stumbled over, in words: its codes are those of a library, which has them in the message alone where a write failed. */
const TLS_FAULTS: readonly (readonly [RegExp, string])[] = [
  [/^ERR_TLS_CERT_ALTNAME/, "The receiver's certificate is for another host."],
  [/^CERT_(?:HAS_EXPIRED|NOT_YET_VALID)/, "The receiver's certificate is not valid at this time."],
  [/SELF_SIGNED|UNABLE_TO_(?:VERIFY|GET_ISSUER)/, "The receiver's certificate is of an authority that is not trusted."],
  [/alert.*(?:cert|unknown.ca|access.denied)/i, 'The receiver refused the certificate of this sender, or wants one.'],
  [/alert.*protocol.version|unsupported.protocol/i, 'The receiver and this sender share no version of TLS.'],
  [/wrong.version.number|packet.length/i, 'The receiver does not speak TLS at this port.'],
];

function networkError(message: string, cause: Error | undefined): Hl7Error {
  if (cause === undefined) return new Hl7Error('network', message);
  const text = 'code' in cause ? `${String(cause.code)} ${cause.message}` : cause.message;
  const [, words = message] = TLS_FAULTS.find(([pattern]) => pattern.test(text)) ?? [];
  return new Hl7Error('network', words, { cause });
}
