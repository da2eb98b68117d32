/**
 * `lantern dicom send`: files and folders to a peer by C-STORE, as they are: nothing is transcoded. What is no DICOM file is
 * listed, what fails for now is tried again on a new association, and nothing that fails stops the rest.
 */

import { type Dirent, statSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { AppError, toAppError } from '@lantern/contract';
import {
  DicomError,
  type DimseClient,
  type Instance,
  instanceOfFile,
  openAssociation,
  STATUS,
  statusKind,
  storingGroups,
} from '@lantern/dicom';
import { fromDicomError } from '@lantern/site';
import { Command } from 'commander';
import { type CommandContext, outputOf } from '../cli/command-context.ts';
import type { Progress } from '../cli/output.ts';
import { type Peer, type PeerOptions, peerOf, statusText, withPeer } from './dicom-peer.ts';

const ASSOCIATION_COUNT_MAX = 32; // an archive that takes more at once is not ours to find out
const ATTEMPTS_MAX = 4;
const RETRY_MS = 500; // doubled each time
const MEDIA_DIRECTORY = '1.2.840.10008.1.3.10';

type SendOptions = PeerOptions & { readonly associations: string };

export function dicomSendCommand(context: CommandContext): Command {
  return withPeer(new Command('send'))
    .description('files and folders to a peer, as they are (C-STORE)')
    .argument('<files...>', 'DICOM files, and folders of them')
    .option('--associations <count>', 'how many to use at once', '1')
    .action(async (address: string, paths: string[], options: SendOptions) => {
      const output = outputOf(context, options);
      const count = associationCount(options.associations);
      const peer = await peerOf(address, options);
      const { sendable, skipped } = sendableIn(await filesIn(paths));
      const startMs = performance.now();
      const progress = output.progress('send');
      const outcomes = await sendAll(sendable, { peer, count, progress, signal: context.signal });
      progress.end();
      context.signal.throwIfAborted();
      const summary = summaryOf(outcomes, skipped, performance.now() - startMs);
      output.result(summary, textOf(summary));
      if (sendable.length === 0) throw new AppError('input.invalid', 'There is no DICOM file among them.');
      if (summary.failed.length > 0) {
        throw new AppError('peer.refused', `${summary.failed.length} of ${sendable.length} files were not taken.`);
      }
    });
}

function associationCount(text: string): number {
  const count = Number(text);
  if (Number.isInteger(count) && count >= 1 && count <= ASSOCIATION_COUNT_MAX) return count;
  throw new AppError('input.invalid', `--associations: must be a whole number from 1 to ${ASSOCIATION_COUNT_MAX}.`);
}

async function filesIn(paths: readonly string[]): Promise<string[]> {
  const files: string[] = [];
  for (const given of paths) {
    const stats = statSync(given, { throwIfNoEntry: false });
    if (stats === undefined) throw new AppError('input.invalid', `${given} is not there.`);
    if (!stats.isDirectory()) files.push(given);
    else {
      const entries: Dirent[] = await readdir(given, { recursive: true, withFileTypes: true });
      files.push(
        ...entries
          .filter((one) => one.isFile())
          .map((one) => path.join(one.parentPath, one.name))
          .toSorted(),
      );
    }
  }
  return [...new Set(files)];
}

type Sendable = Instance & { readonly file: string };
type Skipped = { readonly file: string; readonly reason: string };

function sendableIn(files: readonly string[]): { sendable: Sendable[]; skipped: Skipped[] } {
  const sendable: Sendable[] = [];
  const skipped: Skipped[] = [];
  for (const file of files) {
    try {
      const instance = instanceOfFile(file);
      if (instance.sopClass === MEDIA_DIRECTORY) skipped.push({ file, reason: 'is the directory of a medium' });
      else sendable.push({ ...instance, file });
    } catch (caught) {
      if (!(caught instanceof DicomError) && !(caught instanceof Error && 'code' in caught)) throw caught;
      skipped.push({ file, reason: caught.message });
    }
  }
  return { sendable, skipped };
}

type Sent = {
  readonly file: string;
  readonly bytes: number;
  readonly kind: 'sent' | 'warning';
  readonly reason?: string;
};
type Failed = { readonly file: string; readonly kind: 'failed'; readonly reason: string };
type SendOutcome = Sent | Failed;
type Sending = {
  readonly peer: Peer;
  readonly count: number;
  readonly progress: Progress;
  readonly signal: AbortSignal;
};

async function sendAll(instances: readonly Sendable[], sending: Sending): Promise<SendOutcome[]> {
  const outcomes: SendOutcome[] = [];
  for (const group of storingGroups(instances)) {
    const waiting = [...group.instances];
    const lane = async () => {
      const line = createLine({ ...sending.peer, contexts: group.contexts, signal: sending.signal });
      for (let next = waiting.shift(); next !== undefined && !sending.signal.aborted; next = waiting.shift()) {
        outcomes.push(await sendOne(line, next, sending.signal));
        const failed = outcomes.filter(({ kind }) => kind === 'failed').length;
        sending.progress.update(outcomes.length, instances.length, failed === 0 ? '' : `${failed} failed`);
      }
      await line.end();
    };
    await Promise.all(Array.from({ length: Math.min(sending.count, waiting.length) }, lane));
  }
  return outcomes;
}

type Line = {
  /** Opens an association where there is none. */
  client(): Promise<DimseClient>;
  /** The association is of no more use. */
  drop(): Promise<void>;
  end(): Promise<void>;
};

/** Associations to a peer, one after the other; a peer that was not reached is not asked again for every file. */
function createLine(options: Parameters<typeof openAssociation>[0]): Line {
  let open: DimseClient | undefined;
  let unreachable: unknown;
  return {
    async client() {
      if (open !== undefined) return open;
      for (let attempt = 1; unreachable === undefined; attempt += 1) {
        try {
          open = await openAssociation(options);
          return open;
        } catch (caught) {
          const isForNow = caught instanceof DicomError && caught.code !== 'refused' && caught.code !== 'aborted';
          if (!isForNow || attempt === ATTEMPTS_MAX) unreachable = caught;
          else await delay(RETRY_MS * 2 ** (attempt - 1), undefined, { signal: options.signal });
        }
      }
      throw unreachable;
    },
    async drop() {
      await open?.abort();
      open = undefined;
    },
    async end() {
      await open?.release();
    },
  };
}

async function sendOne(line: Line, instance: Sendable, signal: AbortSignal): Promise<SendOutcome> {
  const { file } = instance;
  for (let attempt = 1; ; attempt += 1) {
    const tried = await tryOne(line, instance);
    if (tried.kind !== 'again') return { file, ...tried };
    if (attempt === ATTEMPTS_MAX || signal.aborted) return { file, kind: 'failed', reason: tried.reason };
    await delay(RETRY_MS * 2 ** (attempt - 1));
  }
}

type Tried =
  | Omit<Sent, 'file'>
  | Omit<Failed, 'file'>
  /** It may pass. */
  | { readonly kind: 'again'; readonly reason: string };

async function tryOne(line: Line, instance: Sendable): Promise<Tried> {
  let client: DimseClient;
  try {
    client = await line.client();
  } catch (caught) {
    return { kind: 'failed', reason: toAppError(fromDicomError(caught)).message }; // it was tried often enough
  }
  try {
    let bytes = 0;
    const onProgress = (sent: number) => {
      bytes = sent;
    };
    const { status } = await client.store(instance, { onProgress });
    const kind = statusKind(status);
    if (kind === 'success') return { bytes, kind: 'sent' };
    const reason = reasonOf(status);
    if (kind === 'warning') return { bytes, kind, reason };
    return { kind: isForNow(status) ? 'again' : 'failed', reason };
  } catch (caught) {
    await line.drop();
    const error = toAppError(fromDicomError(caught));
    return { kind: error.failureClass === 'permanent' ? 'failed' : 'again', reason: error.message };
  }
}

/** PS3.4 B.2.3: out of resources. */
function isForNow(status: number): boolean {
  return status >>> 8 === STATUS.outOfResources >>> 8;
}

function reasonOf(status: number): string {
  if (status === STATUS.sopClassNotSupported)
    return `the peer takes no such object in its transfer syntax (${statusText(status)})`;
  if (status === STATUS.duplicateSopInstance) return `the peer has other content under its UID (${statusText(status)})`;
  return `the peer answered with status ${statusText(status)}`;
}

function summaryOf(outcomes: readonly SendOutcome[], skipped: readonly Skipped[], tookMs: number) {
  const of = (kind: SendOutcome['kind']) => outcomes.filter((outcome) => outcome.kind === kind);
  const listed = (all: readonly SendOutcome[]) => all.map(({ file, reason }) => ({ file, reason }));
  const bytes = outcomes.reduce((sum, outcome) => sum + ('bytes' in outcome ? outcome.bytes : 0), 0);
  return {
    sent: of('sent').length + of('warning').length,
    bytes,
    tookMs: Math.round(tookMs),
    warnings: listed(of('warning')),
    failed: listed(of('failed')),
    skipped,
  };
}

function textOf({ sent, bytes, tookMs, warnings, failed, skipped }: ReturnType<typeof summaryOf>): string {
  const list = (title: string, all: readonly { file: string; reason?: string | undefined }[]) =>
    all.length === 0 ? [] : [title, ...all.map(({ file, reason }) => `  ${file}: ${reason ?? ''}`)];
  const megabytes = bytes / 1e6;
  return [
    `${sent} files are sent, ${megabytes.toFixed(1)} MB in ${(tookMs / 1000).toFixed(1)} s.`,
    ...list(`${warnings.length} with a warning:`, warnings),
    ...list(`${failed.length} were not taken:`, failed),
    ...list(`${skipped.length} are no DICOM files:`, skipped),
  ].join('\n');
}
