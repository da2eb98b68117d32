/**
 * `lantern dicom pull`: the studies of a list from a peer into a folder. It resumes: what is in the folder is not asked for again.
 * Every entry of the list comes out with what became of it, and none that fails stops the rest.
 */
import { readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { AppError, toAppError } from '@lantern/contract';
import { type DicomServer, isSingleKey, isUid, type StudyKey, startDicomServer } from '@lantern/dicom';
import { makeNamedFolder } from '@lantern/service';
import { Command } from 'commander';
import { type CommandContext, outputOf } from '../cli/command-context.ts';
import { fileReason } from '../cli/file-fault.ts';
import { table } from '../cli/output.ts';
import { type PeerOptions, peerOf, withPeer } from './dicom-peer.ts';
import { createPullFolder } from './pull-folder.ts';
import { type Awaited, type Download, downloadStudy, findWanted, keepAwaited } from './study-download.ts';

const KEY_KINDS = ['accession-number', 'study-instance-uid', 'patient-id'] as const;
const PORT_MAX = 65_535;
const ATTEMPTS_MAX = 4;
const RETRY_MS = 1000; // doubled each time

type PullOptions = PeerOptions & {
  readonly by: string;
  readonly list?: string;
  readonly movePort?: string;
  readonly moveHost: string;
};

type EntryResult = {
  readonly value: string;
  readonly state: 'done' | 'failed' | 'not-found';
  readonly studyInstanceUid?: string;
  readonly expectedCount?: number;
  readonly hereCount?: number;
  readonly earlierCount?: number;
  readonly reason?: string;
};

export function dicomPullCommand(context: CommandContext): Command {
  return withPeer(new Command('pull'))
    .description('the studies of a list from a peer into a folder (C-GET, or C-MOVE); goes on where it was')
    .argument('<folder>', 'where to write study/series/instance.dcm')
    .argument('[values...]', 'accession numbers, or what --by says')
    .option('--by <kind>', `what the values are: ${KEY_KINDS.join(', ')}`, 'accession-number')
    .option('--list <file>', 'further values, one a line')
    .option('--move-port <port>', 'fetch by C-MOVE: the peer sends to this port of ours, under --calling-ae')
    .option('--move-host <address>', 'address of ours that this port is opened on', '0.0.0.0')
    .action(async (address: string, dir: string, given: string[], options: PullOptions) => {
      const output = outputOf(context, options);
      const keys = keysOf([...given, ...(await readList(options.list))], options.by);
      const peer = await peerOf(address, options);
      await makeNamedFolder(dir);
      const progress = output.progress('pull');
      let instanceCount = 0;
      let results: EntryResult[] = [];
      const show = () => progress.update(results.length, keys.length, `${instanceCount} instances`);
      const download: Download = {
        ...{ peer, folder: createPullFolder(dir), signal: context.signal, awaited: new Map() satisfies Awaited },
        ...(options.movePort === undefined ? {} : { moveTo: peer.callingAe }),
        onInstance() {
          instanceCount += 1;
          show();
        },
      };
      const receiver = await startReceiver(download, options);
      try {
        for (const key of keys) {
          results = [...results, ...(await pullEntry(download, key))];
          context.signal.throwIfAborted();
          show();
        }
      } finally {
        await receiver?.close(0);
        progress.end();
      }
      output.result({ instanceCount, entries: results }, textOf(results, instanceCount, dir));
      const bad = results.filter(({ state }) => state !== 'done').length;
      if (bad > 0) throw new AppError('peer.refused', `${bad} of ${results.length} entries are not complete.`);
    });
}

async function readList(file: string | undefined): Promise<string[]> {
  if (file === undefined) return [];
  try {
    return (await readFile(file, 'utf8')).split(/\r?\n/);
  } catch (cause) {
    throw new AppError('input.invalid', `--list: ${file} ${fileReason(cause)}.`, { cause });
  }
}

function keysOf(values: readonly string[], by: string): StudyKey[] {
  const kind = KEY_KINDS.find((one) => one === by);
  if (kind === undefined) throw new AppError('input.invalid', `--by: must be one of ${KEY_KINDS.join(', ')}.`);
  const listed = [...new Set(values.map((value) => value.trim()).filter((value) => value !== ''))];
  if (listed.length === 0) throw new AppError('input.invalid', 'Nothing is listed: give values, or --list FILE.');
  for (const value of listed) {
    if (!isSingleKey(value) || (kind === 'study-instance-uid' && !isUid(value))) {
      throw new AppError('input.invalid', `"${value}" is no ${kind}; wildcards are not taken.`);
    }
  }
  return listed.map((value) => ({ by: kind, value }));
}

async function startReceiver(download: Download, options: PullOptions): Promise<DicomServer | undefined> {
  if (options.movePort === undefined) return undefined;
  const [port, host] = [portOf(options.movePort), options.moveHost];
  const admit = async ({ calledAe }: { readonly calledAe: string }) =>
    calledAe === options.callingAe ? 'accepted' : 'called-ae';
  try {
    return await startDicomServer({
      ...{ port, host, admit },
      handlers: { onStore: (request) => keepAwaited(download, request) },
    });
  } catch (cause) {
    const message = `--move-port ${port} on ${host} cannot be listened on: it is taken, or no address of this machine.`;
    throw new AppError('set-up.failed', message, { cause });
  }
}

function portOf(text: string): number {
  if (/^\d{1,5}$/.test(text) && Number(text) <= PORT_MAX) return Number(text);
  throw new AppError('input.invalid', `--move-port: must be a whole number from 0 to ${PORT_MAX}.`);
}

async function pullEntry(download: Download, key: StudyKey): Promise<EntryResult[]> {
  const { value } = key;
  const studies = await tried(download.signal, () => findWanted(download, key));
  if ('reason' in studies) return [{ value, state: 'failed', ...studies }];
  if (studies.result.length === 0) return [{ value, state: 'not-found', reason: 'The peer has no such study.' }];
  const results: EntryResult[] = [];
  for (const { studyInstanceUid } of studies.result) {
    const pulled = await tried(download.signal, () => downloadStudy(download, studyInstanceUid));
    if ('reason' in pulled) results.push({ value, studyInstanceUid, state: 'failed', ...pulled });
    else results.push({ value, state: pulled.result.reason === undefined ? 'done' : 'failed', ...pulled.result });
  }
  return results;
}

/** Tries again what may pass; gives the reason of what does not. */
async function tried<R>(signal: AbortSignal, work: () => Promise<R>): Promise<{ result: R } | { reason: string }> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return { result: await work() };
    } catch (caught) {
      signal.throwIfAborted();
      const error = toAppError(caught);
      if (error.code === 'internal') throw caught;
      if (error.failureClass === 'permanent' || attempt === ATTEMPTS_MAX) return { reason: error.message };
      await delay(RETRY_MS * 2 ** (attempt - 1), undefined, { signal });
    }
  }
}

function textOf(results: readonly EntryResult[], instanceCount: number, dir: string): string {
  const rows = results.map(({ value, state, hereCount, expectedCount, studyInstanceUid = '', reason = '' }) => [
    value,
    state,
    expectedCount === undefined ? '' : `${hereCount} of ${expectedCount}`,
    studyInstanceUid,
    reason,
  ]);
  const done = results.filter(({ state }) => state === 'done').length;
  return `${table([['entry', 'state', 'instances', 'study', 'reason'], ...rows])}\n\n${done} of ${results.length} entries are complete in ${dir}; ${instanceCount} instances came.`;
}
