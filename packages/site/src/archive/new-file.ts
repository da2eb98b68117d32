/**
 * A new file, written past the page cache where the file system can (`O_DIRECT`): what arrives is synced at once and seldom read
 * soon, so that a copy of it in the kernel costs memory and time, and takes the place of what others want there.
 *
 * Such a write wants memory, place and length in whole sectors: bytes are gathered in an aligned block, the last one is filled up
 * with zeros, and the file is cut to its length before it is synced. Whoever comes while all blocks are taken, or to a file system
 * that knows no direct writes, is written through the page cache; nothing else differs.
 */
import { close, constants, fdatasync, ftruncate, open, write } from 'node:fs';
import { promisify } from 'node:util';
import { AppError } from '@lantern/contract';
import { removeIfThere } from '@lantern/service';

declare const WebAssembly: {
  readonly Memory: new (size: { readonly initial: number }) => { readonly buffer: ArrayBuffer };
};

const openFile = promisify(open);
const truncateFile = promisify(ftruncate);
const syncData = promisify(fdatasync);
const closeFile = promisify(close);

/** Whole sectors of every disk in use. */
const SECTOR_BYTES = 4096;
/** A CT slice of 512 x 512 pixels with its headers fits, so that it is written at once. */
const BLOCK_BYTES = 640 * 1024;
/** For as many files at once: 20 MiB, used only as far as they are needed. */
const BLOCK_COUNT = 32;
const WASM_PAGE_BYTES = 64 * 1024;
const EXISTING_FILE_FLAGS = constants.O_WRONLY;
const NEW_FILE_FLAGS = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL;
const MODE = 0o600;

export type NewFile = {
  /** Copies: `bytes` may be changed once it has settled. Throws what the disk says. */
  append(bytes: Uint8Array): Promise<void>;
  /** Writes what is left. Settles when content and size survive the loss of power. */
  sync(): Promise<void>;
  /** Settles when the file is there, or will never be. */
  opened(): Promise<void>;
  /** To be called once, whatever has happened. Loses nothing that was synced; never throws. */
  close(): void;
};

export type FileMaker = { create(file: string): NewFile };

/** `blocks`: memory for direct writes, each of `BLOCK_BYTES`; the disk decides whether it is aligned well enough. */
export function createFileMaker(blocks: readonly Buffer[] = alignedBlocks()): FileMaker {
  const spareBlocks = [...blocks];
  let mayBeDirect = constants.O_DIRECT !== undefined; // Linux alone has it
  const refused = () => {
    mayBeDirect = false;
  };
  const openNew = async (file: string, aligned: boolean) => {
    if (aligned && mayBeDirect) {
      try {
        return { descriptor: await openFile(file, NEW_FILE_FLAGS | constants.O_DIRECT, MODE), isDirect: true };
      } catch (caught) {
        if (codeOf(caught) !== 'EINVAL') throw caught;
        refused();
        await removeIfThere(file); // Linux makes it before it refuses; one that was there would have been EEXIST
      }
    }
    return { descriptor: await openFile(file, NEW_FILE_FLAGS, MODE), isDirect: false };
  };
  return {
    create(file) {
      const aligned = spareBlocks.pop();
      const block = aligned ?? Buffer.allocUnsafeSlow(BLOCK_BYTES);
      return new BlockwiseFile({
        file,
        block,
        opening: openNew(file, aligned !== undefined),
        refused,
        giveBack() {
          if (aligned !== undefined) spareBlocks.push(aligned);
        },
      });
    },
  };
}

/** The memory of WebAssembly begins at a page, which that of a Buffer does not. */
function alignedBlocks(): Buffer[] {
  const { buffer } = new WebAssembly.Memory({ initial: (BLOCK_COUNT * BLOCK_BYTES) / WASM_PAGE_BYTES });
  return Array.from({ length: BLOCK_COUNT }, (_, index) => Buffer.from(buffer, index * BLOCK_BYTES, BLOCK_BYTES));
}

type Opened = { readonly descriptor: number; readonly isDirect: boolean };

type Blockwise = {
  readonly file: string;
  readonly block: Buffer;
  readonly opening: Promise<Opened>;
  /** Told when the disk takes no direct write of ours. */
  readonly refused: () => void;
  readonly giveBack: () => void;
};

class BlockwiseFile implements NewFile {
  readonly #file: string;
  readonly #block: Buffer;
  readonly #refused: () => void;
  readonly #giveBack: () => void;
  #opening: Promise<Opened>;
  #usedBytes = 0;
  #writtenBytes = 0;

  constructor({ file, block, opening, refused, giveBack }: Blockwise) {
    this.#file = file;
    this.#block = block;
    this.#opening = opening;
    this.#refused = refused;
    this.#giveBack = giveBack;
    opening.catch(() => undefined); // thrown where it is waited for, which may be later
  }

  async append(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.byteLength; ) {
      if (this.#usedBytes === BLOCK_BYTES) await this.#writeBlock(BLOCK_BYTES);
      const piece = bytes.subarray(at, at + BLOCK_BYTES - this.#usedBytes);
      this.#block.set(piece, this.#usedBytes);
      this.#usedBytes += piece.byteLength;
      at += piece.byteLength;
    }
  }

  async sync(): Promise<void> {
    const { isDirect } = await this.#opening;
    const sizeBytes = this.#writtenBytes + this.#usedBytes;
    const lastBytes = isDirect ? Math.ceil(this.#usedBytes / SECTOR_BYTES) * SECTOR_BYTES : this.#usedBytes;
    this.#block.fill(0, this.#usedBytes, lastBytes);
    await this.#writeBlock(lastBytes);
    const { descriptor } = await this.#opening; // which a refused write has changed
    if (this.#writtenBytes > sizeBytes) await truncateFile(descriptor, sizeBytes);
    await syncData(descriptor); // includes what is needed to read it back
  }

  async opened(): Promise<void> {
    await this.#opening.catch(() => undefined);
  }

  close(): void {
    const end = this.#opening.then(({ descriptor }) => closeFile(descriptor));
    end.catch(() => undefined).finally(this.#giveBack);
  }

  async #writeBlock(sizeBytes: number): Promise<void> {
    const count = await this.#write(this.#block.subarray(0, sizeBytes), this.#writtenBytes);
    if (count !== sizeBytes) throw new AppError('storage.full', 'The disk took only a part of what was written.');
    this.#writtenBytes += sizeBytes;
    this.#usedBytes = 0;
  }

  /** Some file systems open a file for direct writes and then want longer sectors, or other memory, than we have. */
  async #write(bytes: Buffer, position: number): Promise<number> {
    const { descriptor, isDirect } = await this.#opening;
    try {
      return await writeAt(descriptor, bytes, position);
    } catch (caught) {
      if (!isDirect || codeOf(caught) !== 'EINVAL') throw caught;
    }
    this.#refused();
    const again = await openFile(this.#file, EXISTING_FILE_FLAGS);
    this.#opening = Promise.resolve({ descriptor: again, isDirect: false });
    await closeFile(descriptor);
    return writeAt(again, bytes, position);
  }
}

/** Gives how many bytes were written. */
function writeAt(descriptor: number, bytes: Buffer, position: number): Promise<number> {
  return new Promise((resolve, reject) => {
    write(descriptor, bytes, 0, bytes.byteLength, position, (fault, count) => (fault ? reject(fault) : resolve(count)));
  });
}

function codeOf(caught: unknown): unknown {
  return caught instanceof Error && 'code' in caught ? caught.code : undefined;
}
