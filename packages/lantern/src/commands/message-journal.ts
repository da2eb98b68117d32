/**
 * Messages as lines of a file, each with its bytes in Base64: what `lantern hl7 listen` keeps. A line is there before its message is
 * acknowledged, through the power going off: lines of one turn are written and synced together.
 *
 * What a crash left of a last line is cut off at the next start; it was never acknowledged.
 */
import { createHash } from 'node:crypto';
import { type FileHandle, open } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { AppError } from '@lantern/contract';

export type JournalEntry = {
  readonly sequence: number;
  readonly receivedAt: string;
  readonly address: string;
  readonly sendingApplication: string;
  readonly sendingFacility: string;
  readonly controlId: string;
  readonly messageCode: string;
  readonly triggerEvent: string;
  readonly digest: string;
  readonly byteCount: number;
  /** Base64. */
  readonly content: string;
};

export type NewEntry = Omit<JournalEntry, 'sequence' | 'digest' | 'byteCount' | 'content'> & { readonly bytes: Buffer };
type Named = Pick<JournalEntry, 'sendingApplication' | 'sendingFacility' | 'controlId' | 'digest'>;
export type Kept = { readonly outcome: 'stored'; readonly entry: JournalEntry } | { readonly outcome: 'duplicate' };

export type MessageJournal = {
  /** Resolves when it is durable. */
  add(message: NewEntry): Promise<Kept>;
  close(): Promise<void>;
};

type Waiting = { readonly line: string } & PromiseWithResolvers<void>;

export async function openMessageJournal(file: string): Promise<MessageJournal> {
  const handle = await open(file, 'a+', 0o600);
  const { names, wholeBytes, count } = await readJournal(handle);
  await handle.truncate(wholeBytes);
  let sequence = count;
  let waiting: Waiting[] = [];
  let working: Promise<void> | undefined;
  const durable = new Map<string, Promise<void>>();
  const work = async () => {
    while (waiting.length > 0) {
      const batch = waiting;
      waiting = [];
      try {
        await handle.appendFile(batch.map(({ line }) => line).join(''));
        await handle.datasync();
        for (const { resolve } of batch) resolve();
      } catch (caught) {
        for (const { reject } of batch) reject(caught);
      }
    }
    working = undefined;
  };
  return {
    async add({ bytes, ...message }) {
      const digest = createHash('sha256').update(bytes).digest('hex');
      const name = nameOf({ ...message, digest });
      if (names.has(name)) {
        await durable.get(name); // the first one may still be on its way
        return { outcome: 'duplicate' };
      }
      sequence += 1;
      const entry = { sequence, ...message, digest, byteCount: bytes.byteLength, content: bytes.toString('base64') };
      names.add(name);
      const deferred = Promise.withResolvers<void>();
      waiting.push({ line: `${JSON.stringify(entry)}\n`, ...deferred });
      durable.set(name, deferred.promise);
      working ??= work();
      try {
        await deferred.promise;
      } catch (caught) {
        names.delete(name);
        throw caught;
      } finally {
        durable.delete(name);
      }
      return { outcome: 'stored', entry };
    },
    async close() {
      await working;
      await handle.close();
    },
  };
}

/** By which a message is known again: a sender may count anew, so its control id alone does not tell. */
function nameOf({ sendingApplication, sendingFacility, controlId, digest }: Named): string {
  return JSON.stringify([sendingApplication, sendingFacility, controlId, digest]);
}

/** Names of what is there, and how many bytes are whole lines. */
async function readJournal(handle: FileHandle) {
  const names = new Set<string>();
  const { size } = await handle.stat();
  let wholeBytes = 0;
  let count = 0;
  const lines = createInterface({ input: handle.createReadStream({ start: 0, autoClose: false }) });
  for await (const line of lines) {
    const end = wholeBytes + Buffer.byteLength(line) + 1;
    if (end > size) break; // the last line has no end
    const entry: JournalEntry = parseLine(line, count + 1);
    names.add(nameOf(entry));
    wholeBytes = end;
    count = entry.sequence;
  }
  return { names, wholeBytes, count };
}

function parseLine(line: string, number: number): JournalEntry {
  try {
    return JSON.parse(line);
  } catch (cause) {
    throw new AppError('storage.corrupt', `messages.jsonl: line ${number} is no JSON.`, { cause });
  }
}
