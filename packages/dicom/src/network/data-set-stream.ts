/**
 * The data set of a message while it arrives. What the consumer has not taken waits, up to a limit; then the peer is held back.
 * The pieces are views of what the socket read, in order, of any size.
 */
import { DicomError } from '../dicom-error.ts';
import { DATA_SET_BYTES_WAITING_MAX } from './limits.ts';

/** What a piece costs besides its bytes: its object, and its share of the chunk that it keeps alive, in a flood of tiny ones. */
const PIECE_OVERHEAD_BYTES = 512;

export type Flow = { pause(): void; resume(): void };

export class DataSetStream implements AsyncIterable<Buffer> {
  readonly #flow: Flow;
  readonly #waiting: Buffer[] = [];
  #bytesWaiting = 0;
  #end: { readonly error?: DicomError } | undefined;
  #isDropped = false;
  #wake: (() => void) | undefined;

  constructor(flow: Flow) {
    this.#flow = flow;
  }

  push(bytes: Buffer): void {
    if (this.#isDropped || this.#end !== undefined || bytes.byteLength === 0) return;
    this.#waiting.push(bytes);
    this.#bytesWaiting += bytes.byteLength + PIECE_OVERHEAD_BYTES;
    if (this.#bytesWaiting > DATA_SET_BYTES_WAITING_MAX) this.#flow.pause();
    this.#wake?.();
  }

  /** All has arrived, or, with an error, will never. */
  end(error?: DicomError): void {
    this.#end ??= error === undefined ? {} : { error };
    this.#wake?.();
  }

  /** What is waiting, and what still comes, is dropped; settles when all has come. */
  async drop(): Promise<void> {
    this.#isDropped = true;
    this.#take();
    while (this.#end === undefined) await this.#change();
  }

  /** All of it. Throws `limit` when it is longer than `bytesMax`, or what ended the association before its end. */
  async whole(bytesMax: number): Promise<Buffer> {
    let content = Buffer.alloc(0);
    let bytes = 0;
    for await (const piece of this) {
      const needed = bytes + piece.byteLength;
      if (needed > bytesMax) throw new DicomError('limit', `A data set is longer than ${bytesMax} bytes.`);
      if (needed > content.byteLength) {
        const larger = Buffer.alloc(2 * needed); // copied, so that tiny pieces do not keep their chunks alive
        content.copy(larger, 0, 0, bytes);
        content = larger;
      }
      piece.copy(content, bytes);
      bytes = needed;
    }
    return content.subarray(0, bytes);
  }

  /** For one consumer. Throws what ended the association before the data set did. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Buffer> {
    for await (const batch of this.batches()) yield* batch;
  }

  /** The same, with all that waits at once: for a consumer that writes several pieces in one go. */
  async *batches(): AsyncGenerator<Buffer[]> {
    try {
      for (;;) {
        const batch = this.#take();
        if (batch.length > 0) yield batch;
        else if (this.#end?.error !== undefined) throw this.#end.error;
        else if (this.#end !== undefined) return;
        else await this.#change();
      }
    } finally {
      this.#isDropped = true; // a consumer that stops early does not hold the peer back for ever
      this.#take();
    }
  }

  #take(): Buffer[] {
    this.#bytesWaiting = 0;
    const batch = this.#waiting.splice(0);
    this.#flow.resume();
    return batch;
  }

  #change(): Promise<void> {
    const earlier = this.#wake; // a consumer that waits while the rest is dropped
    return new Promise((resolve) => {
      this.#wake = () => {
        this.#wake = undefined;
        earlier?.();
        resolve();
      };
    });
  }
}
