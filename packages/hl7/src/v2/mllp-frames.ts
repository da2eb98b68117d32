/**
 * MLLP (HL7 v2 transport specification, release 1): a frame is 0x0B, the message, 0x1C 0x0D. A stream may bring it in any pieces.
 *
 *   outside ──0x0B──► inside ──0x1C──► ending ──0x0D──► outside: a frame
 *      │ (else: stray)   │                ├──0x0B──► inside: a frame whose carriage return is missing
 *      └─◄───────────────┘ 0x0B: the frame before has no end and is broken      else: a broken frame, skipped to its end
 *
 * An end block cannot stand in a message, in none of the character sets that we know. So what follows it other than as above means
 * that the sender frames wrongly, and a message that may be cut is never handed on as if it were whole.
 */

const START = 0x0b;
const END = 0x1c;
const RETURN = 0x0d;

export type FrameEvent =
  | { readonly kind: 'frame'; readonly content: Buffer }
  /** The sender is told, as far as it says who it is. `content` is its beginning. */
  | { readonly kind: 'broken'; readonly rule: FramingRule; readonly content: Buffer };

export type FramingRule = 'end block missing' | 'end block inside' | 'too long';

type State = 'outside' | 'inside' | 'ending' | 'skipping';

const HEAD_BYTES = 4096; // enough of a broken frame to find out whose it is

export class FrameDecoder {
  readonly #bytesMax: number;
  #state: State = 'outside';
  #pieces: Buffer[] = [];
  #byteCount = 0;
  #strayCount = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** Whether the end of a frame is still to come. */
  get isInside(): boolean {
    return this.#state === 'inside' || this.#state === 'ending';
  }

  /** Whether all but the carriage return of a frame is here. */
  get isEnding(): boolean {
    return this.#state === 'ending';
  }

  /** Bytes between frames so far; line ends and keep-alives do not count. */
  get strayCount(): number {
    return this.#strayCount;
  }

  /** `chunk` may be kept until its frame is handed on; nobody may write into it. */
  push(chunk: Buffer): FrameEvent[] {
    const events: FrameEvent[] = [];
    let at = 0;
    while (at < chunk.byteLength) at = this.#step(chunk, at, events);
    return events;
  }

  /** No carriage return came: the end block was the end. */
  flush(): FrameEvent[] {
    if (this.#state !== 'ending') return [];
    this.#state = 'outside';
    return [{ kind: 'frame', content: this.#take() }];
  }

  /** The stream is over. */
  end(): FrameEvent[] {
    if (this.#state === 'inside') {
      this.#state = 'outside';
      return [{ kind: 'broken', rule: 'end block missing', content: this.#take().subarray(0, HEAD_BYTES) }];
    }
    return this.flush();
  }

  /** Gives where to go on. */
  #step(chunk: Buffer, at: number, events: FrameEvent[]): number {
    switch (this.#state) {
      case 'outside':
        return this.#seekStart(chunk, at);
      case 'skipping':
        return this.#seekStart(chunk, at);
      case 'ending':
        return this.#afterEnd(chunk, at, events);
      case 'inside':
        return this.#inside(chunk, at, events);
    }
  }

  #seekStart(chunk: Buffer, at: number): number {
    const start = chunk.indexOf(START, at);
    const until = start === -1 ? chunk.byteLength : start;
    if (this.#state === 'outside') this.#strayCount += strays(chunk, at, until);
    if (start === -1) return until;
    this.#open();
    return start + 1;
  }

  #inside(chunk: Buffer, at: number, events: FrameEvent[]): number {
    const end = nextOf(chunk, at);
    const until = end === -1 ? chunk.byteLength : end;
    if (until > at) {
      this.#pieces.push(chunk.subarray(at, until));
      this.#byteCount += until - at;
    }
    if (this.#byteCount > this.#bytesMax) {
      events.push({ kind: 'broken', rule: 'too long', content: this.#take().subarray(0, HEAD_BYTES) });
      this.#state = 'skipping';
      return until;
    }
    if (end === -1) return until;
    if (chunk[end] === END) {
      this.#state = 'ending';
    } else {
      events.push({ kind: 'broken', rule: 'end block missing', content: this.#take().subarray(0, HEAD_BYTES) });
      this.#open();
    }
    return end + 1;
  }

  #afterEnd(chunk: Buffer, at: number, events: FrameEvent[]): number {
    const byte = chunk[at];
    if (byte === RETURN || byte === START) {
      events.push({ kind: 'frame', content: this.#take() });
      this.#state = 'outside';
      return byte === RETURN ? at + 1 : at;
    }
    events.push({ kind: 'broken', rule: 'end block inside', content: this.#take().subarray(0, HEAD_BYTES) });
    this.#state = 'skipping';
    return at;
  }

  #open(): void {
    this.#state = 'inside';
    this.#pieces = [];
    this.#byteCount = 0;
  }

  #take(): Buffer {
    const [first, ...more] = this.#pieces;
    this.#pieces = [];
    this.#byteCount = 0;
    if (first === undefined) return Buffer.alloc(0);
    return more.length === 0 ? first : Buffer.concat([first, ...more]);
  }
}

/** Of start and end, whichever comes first; -1 where neither does. Looks for a start first, so that a chunk of starts alone costs no more. */
function nextOf(chunk: Buffer, at: number): number {
  const start = chunk.indexOf(START, at);
  const end = (start === -1 ? chunk : chunk.subarray(0, start)).indexOf(END, at);
  return end === -1 ? start : end;
}

function strays(chunk: Buffer, from: number, until: number): number {
  let count = 0;
  for (let at = from; at < until; at += 1) {
    const byte = chunk[at];
    if (byte !== RETURN && byte !== 0x0a && byte !== 0x00 && byte !== 0x20) count += 1;
  }
  return count;
}

export function encodeFrame(content: Uint8Array): Buffer {
  const frame = Buffer.allocUnsafe(content.byteLength + 3);
  frame[0] = START;
  frame.set(content, 1);
  frame[content.byteLength + 1] = END;
  frame[content.byteLength + 2] = RETURN;
  return frame;
}
