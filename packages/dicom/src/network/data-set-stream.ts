/**
 * The data set of a message while it arrives, gathered in blocks: whoever writes it to a file writes seldom and much. What the
 * consumer has not taken waits, up to a limit; then the peer is held back.
 *
 * Blocks are used again and again. Memory that is asked for and thrown away with every chunk of the socket makes V8 collect its
 * whole heap every few megabytes, which cost more than all else that is done for an instance.
 */
import { DicomError } from '../dicom-error.ts';
import { DATA_SET_BYTES_WAITING_MAX } from './limits.ts';

/** A CT slice of 512 x 512 pixels with its header fits, so that it is written at once. */
const BLOCK_BYTES = 576 * 1024;
/** For a message that is no image: an answer to a query has some hundred bytes, and hundreds of them may wait. */
const SMALL_BLOCK_BYTES = 4 * 1024;
/** Kept for the next data set: 18 MiB. What is needed beyond them is made, and left to the collector. */
const SPARE_BLOCK_COUNT_MAX = 32;

type Block = { readonly memory: Buffer; usedBytes: number };

const spareBlocks: Buffer[] = [];

export type Flow = { pause(): void; resume(): void };

export class DataSetStream implements AsyncIterable<Buffer> {
  readonly #flow: Flow;
  readonly #blockBytes: number;
  readonly #waiting: Block[] = [];
  #bytesWaiting = 0;
  #end: { readonly error?: DicomError } | undefined;
  #isDropped = false;
  #wake: (() => void) | undefined;

  /** `isImage`: whether much is to be expected. */
  constructor(flow: Flow, isImage = true) {
    this.#flow = flow;
    this.#blockBytes = isImage ? BLOCK_BYTES : SMALL_BLOCK_BYTES;
  }

  /** Copies: `bytes` may be changed afterwards. */
  push(bytes: Buffer): void {
    if (this.#isDropped || this.#end !== undefined) return;
    for (let at = 0; at < bytes.byteLength; ) {
      const block = this.#blockWithRoom();
      const copied = bytes.copy(block.memory, block.usedBytes, at);
      block.usedBytes += copied;
      at += copied;
    }
    this.#bytesWaiting += bytes.byteLength;
    if (this.#bytesWaiting > DATA_SET_BYTES_WAITING_MAX) this.#flow.pause();
    if (this.#bytesWaiting >= this.#blockBytes) this.#wake?.();
  }

  /** All has arrived, or, with an error, will never. */
  end(error?: DicomError): void {
    this.#end ??= error === undefined ? {} : { error };
    this.#wake?.();
  }

  /** What is waiting, and what still comes, is dropped; settles when all has come. */
  async drop(): Promise<void> {
    this.#isDropped = true;
    this.#dropWaiting();
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
        const larger = Buffer.alloc(bytes === 0 ? needed : 2 * needed);
        content.copy(larger, 0, 0, bytes);
        content = larger;
      }
      piece.copy(content, bytes);
      bytes = needed;
    }
    return content.subarray(0, bytes);
  }

  /** For one consumer. A piece is its own until it asks for the next. Throws what ended the association before the data set did. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Buffer> {
    try {
      for (;;) {
        const block = this.#take();
        if (block !== undefined) {
          try {
            yield block.memory.subarray(0, block.usedBytes);
          } finally {
            giveBack(block);
          }
        } else if (this.#end?.error !== undefined) throw this.#end.error;
        else if (this.#end !== undefined) return;
        else await this.#change();
      }
    } finally {
      this.#isDropped = true; // a consumer that stops early does not hold the peer back for ever
      this.#dropWaiting();
    }
  }

  #blockWithRoom(): Block {
    const last = this.#waiting.at(-1);
    if (last !== undefined && last.usedBytes < last.memory.byteLength) return last;
    const spare = this.#blockBytes === BLOCK_BYTES ? spareBlocks.pop() : undefined;
    const block = { memory: spare ?? Buffer.allocUnsafeSlow(this.#blockBytes), usedBytes: 0 };
    this.#waiting.push(block);
    return block;
  }

  /** A full block, or, when no more comes, what there is. */
  #take(): Block | undefined {
    const isReady = this.#end !== undefined || this.#bytesWaiting >= this.#blockBytes;
    const block = isReady ? this.#waiting.shift() : undefined;
    this.#bytesWaiting -= block?.usedBytes ?? 0;
    if (this.#bytesWaiting <= DATA_SET_BYTES_WAITING_MAX) this.#flow.resume();
    return block;
  }

  #dropWaiting(): void {
    for (const block of this.#waiting.splice(0)) giveBack(block);
    this.#bytesWaiting = 0;
    this.#flow.resume();
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

/** Nobody has a view of it any more. */
function giveBack({ memory }: Block): void {
  if (memory.byteLength === BLOCK_BYTES && spareBlocks.length < SPARE_BLOCK_COUNT_MAX) spareBlocks.push(memory);
}
