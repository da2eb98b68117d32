/**
 * Requests and responses on an association (PS3.7 6.1), the same for both ends: either may ask and be asked, as C-GET and the
 * reports of storage commitment need. What the peer asks is served one by one; what it answers goes to who asked.
 */
import { DicomError } from '../dicom-error.ts';
import type { Association, AssociationEnd } from './association.ts';
import type { Role } from './association-states.ts';
import { type Command, isRequest, isResponse, type Request, type Response, responseName } from './command-set.ts';
import type { DataSetStream } from './data-set-stream.ts';
import { IDENTIFIER_BYTES_MAX, type NetworkTimeouts, REQUESTS_WAITING_MAX, RESPONSES_WAITING_MAX } from './limits.ts';
import { type Message, MessageChannel } from './message-channel.ts';
import type { NegotiatedContext } from './negotiation.ts';
import { statusKind } from './status.ts';

export type Answer = { readonly command: Response; readonly dataSet: Buffer | undefined };

/** What is sent back: the fields that a response has besides those that follow from the request. */
export type Reply = Partial<
  Pick<
    Response,
    | 'ErrorComment'
    | 'NumberOfRemainingSuboperations'
    | 'NumberOfCompletedSuboperations'
    | 'NumberOfFailedSuboperations'
    | 'NumberOfWarningSuboperations'
    | 'ActionTypeID'
    | 'EventTypeID'
  >
> & { readonly Status: number };

export type IncomingRequest = {
  readonly command: Request;
  readonly context: NegotiatedContext;
  readonly dataSet: DataSetStream | undefined;
  /** Aborted when the peer cancels the request, or the association ends. */
  readonly signal: AbortSignal;
  respond(reply: Reply, dataSet?: Buffer): Promise<void>;
};

export type SessionOptions = {
  readonly role: Role;
  readonly timeouts: NetworkTimeouts;
  /** Has to respond; what it throws ends the association. */
  readonly serve: (request: IncomingRequest) => Promise<void>;
};

type Unnumbered<T> = T extends Request ? Omit<T, 'MessageID'> : never;
export type RequestFields = Unnumbered<Request>;

export type SentRequest = {
  readonly context: NegotiatedContext;
  readonly command: RequestFields;
  readonly dataSet?: Buffer | AsyncIterable<Buffer> | undefined;
  readonly onProgress?: ((bytesSent: number) => void) | undefined;
  /** Cancels: the peer is told, and answers when it has stopped (PS3.7 9.3.2.3). For C-FIND, C-GET and C-MOVE. */
  readonly signal?: AbortSignal | undefined;
};

export class Session {
  readonly #association: Association;
  readonly #channel: MessageChannel;
  readonly #options: SessionOptions;
  #contexts: ReadonlyMap<number, NegotiatedContext> = new Map();
  readonly #pending = new Map<number, PendingRequest>();
  readonly #waiting: (Message & { command: Request })[] = [];
  #serving: { readonly messageId: number; readonly stop: AbortController } | undefined;
  #onIdle: (() => void) | undefined;
  #lastMessageId = 0;
  #error: DicomError | undefined;

  constructor(association: Association, options: SessionOptions) {
    this.#association = association;
    this.#options = options;
    this.#channel = new MessageChannel({
      association,
      idleMs: options.timeouts.idleMs,
      receive: (message) => this.#receive(message),
    });
  }

  /** `pduBytesMax`: what the peer says it receives [bytes]. */
  open(contexts: ReadonlyMap<number, NegotiatedContext>, pduBytesMax: number): void {
    this.#contexts = contexts;
    this.#channel.open(pduBytesMax);
    this.#turn();
  }

  get contexts(): Iterable<NegotiatedContext> {
    return this.#contexts.values();
  }

  get hasEnded(): boolean {
    return this.#error !== undefined;
  }

  /** Settles when no request of the peer is in work, or `signal` is aborted. */
  async idle(signal: AbortSignal): Promise<void> {
    if (this.#serving === undefined || signal.aborted) return;
    await new Promise<void>((resolve) => {
      this.#onIdle = resolve;
      signal.addEventListener('abort', () => resolve(), { once: true });
    });
  }

  piece(...piece: Parameters<MessageChannel['piece']>): void {
    this.#channel.piece(...piece);
  }

  ended(end: AssociationEnd): void {
    const error = end.kind === 'failed' ? end.error : new DicomError('aborted', 'The association has ended.');
    this.#error = error;
    this.#channel.ended(error);
    this.#serving?.stop.abort(error);
    for (const { dataSet } of this.#waiting.splice(0)) void dataSet?.drop();
    for (const pending of this.#pending.values()) pending.fail(error);
    this.#pending.clear();
  }

  /** Asks, and gives the answers up to and with the final one. Throws what ended the association. */
  async *ask(request: SentRequest): AsyncGenerator<Answer> {
    if (this.#error !== undefined) throw this.#error;
    const messageId = this.#newMessageId();
    const pending = new PendingRequest(this.#association);
    this.#pending.set(messageId, pending);
    const cancel = () => {
      const command: Command = { name: 'C-CANCEL-RQ', MessageIDBeingRespondedTo: messageId };
      this.#channel.send({ contextId: request.context.id, command }).catch(() => {}); // the answers tell what happened
    };
    let wasSent = false;
    try {
      await this.#channel.send({
        contextId: request.context.id,
        command: { ...request.command, MessageID: messageId },
        ...(request.dataSet === undefined ? {} : { dataSet: request.dataSet }),
        onProgress: request.onProgress,
      });
      wasSent = true;
      this.#turn();
      if (request.signal?.aborted === true) cancel();
      else request.signal?.addEventListener('abort', cancel, { once: true });
      for (;;) {
        const answer = await pending.next();
        if (statusKind(answer.command.Status) !== 'pending') this.#settle(messageId);
        yield answer;
        if (!this.#pending.has(messageId)) return;
      }
    } finally {
      request.signal?.removeEventListener('abort', cancel);
      // A consumer that stops early: what still comes for it is dropped, and the peer need not go on.
      if (wasSent && this.#pending.has(messageId) && this.#error === undefined) cancel();
      this.#settle(messageId);
    }
  }

  #settle(messageId: number): void {
    this.#pending.delete(messageId);
    this.#association.resume();
    this.#turn();
  }

  /** Says whose turn it is, so that silence is noticed when it is the peer's. */
  #turn(): void {
    const { role, timeouts } = this.#options;
    if (this.#pending.size > 0) this.#channel.awaitMessage(timeouts.answerMs);
    else if (this.#serving !== undefined || role === 'requestor') this.#channel.awaitMessage(undefined);
    else this.#channel.awaitMessage(timeouts.requestMs);
  }

  #newMessageId(): number {
    do this.#lastMessageId = (this.#lastMessageId % 0xffff) + 1;
    while (this.#pending.has(this.#lastMessageId));
    return this.#lastMessageId;
  }

  #receive(message: Message): void {
    const { command, dataSet } = message;
    if (!this.#contexts.has(message.contextId)) {
      throw new DicomError('malformed', 'A message came in a presentation context that was not accepted.');
    }
    if (isResponse(command)) {
      const pending = this.#pending.get(command.MessageIDBeingRespondedTo);
      if (pending === undefined) void dataSet?.drop();
      else pending.push(command, dataSet);
    } else if (isRequest(command)) {
      if (this.#waiting.length >= REQUESTS_WAITING_MAX) {
        throw new DicomError('limit', `More than ${REQUESTS_WAITING_MAX} requests at once where one was agreed.`);
      }
      this.#waiting.push({ ...message, command });
      if (this.#serving === undefined) void this.#serveAll();
    } else if (this.#serving?.messageId === command.MessageIDBeingRespondedTo) {
      this.#serving.stop.abort(new DicomError('aborted', 'The peer cancelled its request.'));
    }
  }

  async #serveAll(): Promise<void> {
    for (let message = this.#waiting.shift(); message !== undefined; message = this.#waiting.shift()) {
      this.#serving = { messageId: message.command.MessageID, stop: new AbortController() };
      this.#turn();
      try {
        await this.#serve(message, this.#serving.stop.signal);
      } catch (caught) {
        const error =
          caught instanceof DicomError ? caught : new DicomError('aborted', 'A request failed.', { cause: caught });
        this.#association.abort(error); // no effect where that is what failed
      }
      this.#serving = undefined;
      this.#turn();
    }
    this.#onIdle?.();
  }

  async #serve({ contextId, command, dataSet }: Message & { command: Request }, signal: AbortSignal): Promise<void> {
    const context = this.#contexts.get(contextId);
    if (context === undefined) return; // looked up when it arrived
    await this.#options.serve({
      command,
      context,
      dataSet,
      signal,
      respond: async (reply, replyDataSet) => {
        await dataSet?.drop(); // peers read no answer before they have sent all
        await this.#channel.send({
          contextId,
          command: responseTo(command, reply),
          ...(replyDataSet === undefined ? {} : { dataSet: replyDataSet }),
        });
      },
    });
  }
}

/** The answers to one request, in their order; their data sets are short and held whole. */
class PendingRequest {
  readonly #association: Association;
  readonly #waiting: Promise<Answer>[] = [];
  #error: DicomError | undefined;
  #wake: (() => void) | undefined;

  constructor(association: Association) {
    this.#association = association;
  }

  push(command: Response, dataSet: DataSetStream | undefined): void {
    const answer = answerOf(command, dataSet);
    answer.catch(() => {}); // told to whoever takes it
    this.#waiting.push(answer);
    if (this.#waiting.length > RESPONSES_WAITING_MAX) this.#association.pause();
    this.#wake?.();
  }

  fail(error: DicomError): void {
    this.#error = error;
    this.#wake?.();
  }

  async next(): Promise<Answer> {
    for (;;) {
      const answer = this.#waiting.shift();
      if (answer !== undefined) {
        this.#association.resume();
        return answer;
      }
      if (this.#error !== undefined) throw this.#error;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
}

async function answerOf(command: Response, dataSet: DataSetStream | undefined): Promise<Answer> {
  return { command, dataSet: dataSet && (await dataSet.whole(IDENTIFIER_BYTES_MAX)) };
}

/** PS3.7 9.3, 10.3: a response repeats what the request was about. */
function responseTo(request: Request, reply: Reply): Command {
  const sopClass =
    'RequestedSOPClassUID' in request && request.RequestedSOPClassUID !== undefined
      ? request.RequestedSOPClassUID
      : request.AffectedSOPClassUID;
  const instance = request.RequestedSOPInstanceUID ?? request.AffectedSOPInstanceUID;
  return {
    name: responseName(request.name),
    MessageIDBeingRespondedTo: request.MessageID,
    ...(sopClass === undefined ? {} : { AffectedSOPClassUID: sopClass }),
    ...(instance === undefined ? {} : { AffectedSOPInstanceUID: instance }),
    ...reply,
  };
}

/** Whether a request was answered by success, and what else was said. */
export type Outcome = { readonly status: number; readonly comment?: string };

export function outcomeOf({ command }: Answer): Outcome {
  return command.ErrorComment === undefined
    ? { status: command.Status }
    : { status: command.Status, comment: command.ErrorComment };
}

/** The final answer to a request of which the others are of no interest. */
export async function finalAnswer(answers: AsyncIterable<Answer>): Promise<Answer> {
  let last: Answer | undefined;
  for await (const answer of answers) last = answer;
  if (last === undefined) throw new DicomError('aborted', 'The association has ended.');
  return last;
}

export function replyOf({ status, comment }: Outcome): Reply {
  return comment === undefined ? { Status: status } : { Status: status, ErrorComment: comment };
}
