/** One connection of a listener: frames in, answers out in the same order, and a clock for each way to be slow. */
import type { Socket } from 'node:net';
import { Hl7Error } from '../hl7-error.ts';
import { type MllpTimeouts, UNDER_WAY_BYTES_MAX, UNDER_WAY_COUNT_MAX } from './limits.ts';
import { encodeFrame, FrameDecoder, type FrameEvent, type FramingRule } from './mllp-frames.ts';

/** Frames that are none, until a connection is given up: whoever sends so many frames wrongly altogether. */
const BROKEN_COUNT_MAX = 100;

type ConnectionOptions = {
  readonly timeouts: MllpTimeouts;
  readonly messageBytesMax: number;
  readonly receive: (content: Buffer) => Promise<readonly Buffer[]>;
  readonly receiveBroken: (broken: { rule: FramingRule; head: Buffer }) => readonly Buffer[];
  readonly onProblem: (error: unknown) => void;
};

export class MllpConnection {
  readonly closed: Promise<void>;
  readonly #socket: Socket;
  readonly #options: ConnectionOptions;
  readonly #decoder: FrameDecoder;
  /** Ends when everything received so far is answered. */
  #answered: Promise<void> = Promise.resolve();
  #underWayCount = 0;
  #underWayBytes = 0;
  #brokenCount = 0;
  #isClosing = false;
  #idleTimer: NodeJS.Timeout | undefined;
  #frameTimer: NodeJS.Timeout | undefined;

  constructor(socket: Socket, options: ConnectionOptions) {
    this.#socket = socket;
    this.#options = options;
    this.#decoder = new FrameDecoder(options.messageBytesMax);
    this.closed = new Promise((resolve) => socket.once('close', () => resolve()));
    socket.on('data', (chunk) => this.#onData(chunk));
    socket.on('end', () => this.#onEnd());
    socket.on('error', () => {}); // 'close' follows; a sender that goes away is not our problem
    void this.closed.then(() => this.#clearTimers());
  }

  /** Resolves when it is closed. */
  async close(graceMs: number): Promise<void> {
    this.#isClosing = true;
    this.#socket.pause();
    const timer = setTimeout(() => this.#socket.destroy(), graceMs);
    await Promise.race([this.#answered, this.closed]);
    this.#socket.end();
    this.#socket.resume(); // so that its end is seen; what it brings is not looked at
    await this.closed;
    clearTimeout(timer);
  }

  #onData(chunk: Buffer): void {
    if (this.#isClosing) return;
    const wasInside = this.#decoder.isInside;
    const events = this.#decoder.push(chunk);
    for (const event of events) this.#onEvent(event);
    this.#watch({ isNewFrame: !wasInside || events.length > 0 });
  }

  /** A sender may close its half and still wait for answers. */
  #onEnd(): void {
    if (!this.#isClosing) for (const event of this.#decoder.end()) this.#onEvent(event);
    void this.#answered.then(() => this.#socket.end());
  }

  #onEvent(event: FrameEvent): void {
    if (event.kind === 'broken') {
      this.#brokenCount += 1;
      if (this.#brokenCount > BROKEN_COUNT_MAX) {
        this.#fail('malformed', 'A sender does not frame its messages.');
        return;
      }
      const answers = this.#options.receiveBroken({ rule: event.rule, head: event.content });
      this.#answer(Promise.resolve(answers), 0);
      return;
    }
    if (event.content.byteLength === 0) return; // some senders keep a connection alive by empty frames
    this.#answer(this.#options.receive(event.content), event.content.byteLength);
  }

  #answer(answers: Promise<readonly Buffer[]>, byteCount: number): void {
    this.#underWayCount += 1;
    this.#underWayBytes += byteCount;
    if (this.#isFull()) this.#socket.pause();
    const before = this.#answered;
    this.#answered = this.#answerAfter(before, answers).finally(() => {
      this.#underWayCount -= 1;
      this.#underWayBytes -= byteCount;
      if (!this.#isFull() && !this.#isClosing) this.#socket.resume();
    });
  }

  #isFull(): boolean {
    return this.#underWayCount >= UNDER_WAY_COUNT_MAX || this.#underWayBytes >= UNDER_WAY_BYTES_MAX;
  }

  async #answerAfter(before: Promise<void>, answers: Promise<readonly Buffer[]>): Promise<void> {
    const [settled] = await Promise.allSettled([answers, before]);
    if (settled.status === 'rejected') {
      this.#options.onProblem(settled.reason);
      this.#socket.destroy(); // the sender has no answer, and sends again
      return;
    }
    for (const content of settled.value) await this.#write(encodeFrame(content));
  }

  async #write(frame: Buffer): Promise<void> {
    if (this.#socket.destroyed || this.#socket.write(frame)) return;
    const drained = new Promise<void>((resolve) => this.#socket.once('drain', resolve));
    const timer = setTimeout(
      () => this.#fail('timeout', 'A sender does not take its acknowledgements.'),
      this.#options.timeouts.writeMs,
    );
    await Promise.race([drained, this.closed]);
    clearTimeout(timer);
  }

  /** Clocks run only inside a frame: a connection may be silent between messages for days. */
  #watch({ isNewFrame }: { isNewFrame: boolean }): void {
    const { idleMs, frameMs, endBlockMs } = this.#options.timeouts;
    clearTimeout(this.#idleTimer);
    if (isNewFrame) this.#clearTimers();
    if (!this.#decoder.isInside) {
      this.#clearTimers();
      return;
    }
    if (this.#decoder.isEnding) {
      this.#idleTimer = setTimeout(() => {
        for (const event of this.#decoder.flush()) this.#onEvent(event);
        this.#clearTimers();
      }, endBlockMs);
    } else {
      this.#idleTimer = setTimeout(() => this.#onIdle(), idleMs);
    }
    this.#frameTimer ??= setTimeout(() => this.#fail('timeout', 'A message did not end in time.'), frameMs);
  }

  /** Time in which we did not read does not count. */
  #onIdle(): void {
    if (this.#isFull()) this.#watch({ isNewFrame: true });
    else this.#fail('timeout', 'A message stopped in its middle.');
  }

  #fail(code: 'timeout' | 'malformed', message: string): void {
    this.#options.onProblem(new Hl7Error(code, message));
    this.#socket.destroy();
  }

  #clearTimers(): void {
    clearTimeout(this.#idleTimer);
    clearTimeout(this.#frameTimer);
    this.#idleTimer = undefined;
    this.#frameTimer = undefined;
  }
}
