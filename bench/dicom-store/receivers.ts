/**
 * Those that receive: ours, Orthanc and DCMTK's storescp, each as its own process over a folder of its own; and storescp told to
 * keep nothing, for what sender and machine could do at most.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { freePort, listening } from '../../tests/peers/dicom-programs.ts';

const MAIN = path.resolve(import.meta.dirname, '../../packages/lantern/src/main.ts');

export type Receiver = {
  readonly port: number;
  /** Instances that it has on disk. */
  count(): number;
  /** Processor time of its process and all below it so far, in hundredths of a second [ms]. */
  processorMs(): number;
  /** Greatest resident memory of its process so far [bytes]. */
  peakBytes(): number;
  /** When each study was complete, as it logs it [ms since 1970]; ours alone. */
  completedAt(): readonly number[];
  stop(): Promise<void>;
};

export type ReceiverName = 'lantern' | 'orthanc' | 'storescp' | 'sink';

export function startReceiver(name: ReceiverName, folder: string, quietMs = 3_600_000): Promise<Receiver> {
  mkdirSync(folder, { recursive: true });
  switch (name) {
    case 'lantern':
      return startLantern(folder, quietMs);
    case 'orthanc':
      return startOrthanc(folder);
    case 'storescp':
      return startStorescp(folder);
    case 'sink':
      return startStorescp(folder, ['--ignore']);
    default:
      return name satisfies never;
  }
}

async function startLantern(folder: string, quietMs: number): Promise<Receiver> {
  const config = path.join(folder, 'config.json');
  const dicom = { port: 0, aeTitles: [{ aeTitle: 'BENCH', quietMs }], openHosts: ['127.0.0.1'] };
  writeFileSync(config, JSON.stringify({ logLevel: 'info', dicom }));
  const child = spawn(process.execPath, [MAIN, 'dicom', 'serve', path.join(folder, 'node'), '--config', config], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const completed: number[] = [];
  const port = Promise.withResolvers<number>();
  const read = (line: string) => {
    const listening = /^DICOM: .*:(\d+)$/.exec(line)?.[1];
    if (listening !== undefined) port.resolve(Number(listening));
    if (!line.includes('a study is complete')) return;
    const { time } = JSON.parse(line) as { time: number | string };
    completed.push(typeof time === 'number' ? time : Date.parse(time));
  };
  for (const stream of [child.stdout, child.stderr]) createInterface({ input: stream }).on('line', read);
  child.once('close', () => port.reject(new Error('The image node ended before it listened.')));
  const images = path.join(folder, 'node', 'images');
  return {
    ...processOf(child),
    port: await port.promise,
    count: () => dicomFiles(images),
    completedAt: () => completed,
  };
}

/**
 * As it comes, but for the port and one thread for each association. Files are synced (SyncStorageArea is its default); its index
 * is SQLite with a log written ahead and "synchronous = NORMAL", so that a commit is not synced: after a loss of power files may
 * lie there that it does not know.
 */
async function startOrthanc(folder: string): Promise<Receiver> {
  const port = await freePort();
  const config = path.join(folder, 'orthanc.json');
  const storage = path.join(folder, 'storage');
  const settings = {
    StorageDirectory: storage,
    IndexDirectory: storage,
    DicomAet: 'BENCH',
    DicomPort: port,
    HttpServerEnabled: false,
    SyncStorageArea: true,
    DicomAlwaysAllowStore: true,
    DicomThreadsCount: 8,
    ConcurrentJobs: 2,
  };
  writeFileSync(config, JSON.stringify(settings));
  const env = { ...process.env, TCP_NODELAY: '1' }; // DCMTK holds its answers back otherwise, 40 ms each
  const child = spawn('Orthanc', [config], { stdio: 'ignore', cwd: folder, env });
  await listening(port);
  return { ...processOf(child), port, count: () => orthancFiles(storage), completedAt: () => [] };
}

/** `--fork`: a process for each association, as it takes one at a time otherwise. */
async function startStorescp(folder: string, more: readonly string[] = []): Promise<Receiver> {
  const port = await freePort();
  const files = path.join(folder, 'files');
  mkdirSync(files);
  const args = ['--fork', '--aetitle', 'BENCH', '--output-directory', files, ...more, String(port)];
  const child = spawn('storescp', args, {
    stdio: 'ignore',
    env: { ...process.env, TCP_NODELAY: '1' },
  });
  await listening(port);
  return { ...processOf(child), port, count: () => readdirSync(files).length, completedAt: () => [] };
}

export type Floor = {
  readonly port: number;
  processorMs(): number;
  stop(): Promise<void>;
};

/** What receives bytes, and keeps them as safely as we do, without DICOM. */
export async function startFloor(folder: string, instanceBytes: number): Promise<Floor> {
  mkdirSync(folder);
  const program = path.join(import.meta.dirname, 'floor-child.ts');
  const child = spawn(process.execPath, [program, folder, String(instanceBytes)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [line] = await once(createInterface({ input: child.stdout }), 'line');
  return { ...processOf(child), port: Number(line) };
}

function processOf(child: ChildProcess): Pick<Receiver, 'stop' | 'peakBytes' | 'processorMs'> {
  const ended = once(child, 'close');
  return {
    processorMs: () => treeMs(child.pid ?? 0),
    peakBytes() {
      const peak = /VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))?.[1];
      return Number(peak) * 1024;
    },
    async stop() {
      child.kill('SIGTERM');
      await ended;
    },
  };
}

function dicomFiles(folder: string): number {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.dcm')).length;
}

/** One file named by a UUID for each instance. */
function orthancFiles(folder: string): number {
  const names = readdirSync(folder, { recursive: true, encoding: 'utf8' });
  return names.filter((file) => /[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(file)).length;
}

type ProcessTimes = { readonly parent: number; readonly ownMs: number; readonly endedChildrenMs: number };
const TICK_MS = 10; // USER_HZ of Linux

/** proc_pid_stat(5): the name stands in parentheses and may hold anything. `undefined` for a process that is gone. */
function timesOf(pid: number): ProcessTimes | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = text
      .slice(text.lastIndexOf(')') + 2)
      .split(' ')
      .map(Number);
    const [parent = 0, user = 0, system = 0, childUser = 0, childSystem = 0] = [1, 11, 12, 13, 14].map(
      (at) => fields[at],
    );
    return { parent, ownMs: TICK_MS * (user + system), endedChildrenMs: TICK_MS * (childUser + childSystem) };
  } catch {
    return undefined; // it ended while we looked
  }
}

/** Of a process, of all below it, and of those of them that have ended. */
function treeMs(root: number): number {
  const all = new Map<number, ProcessTimes>();
  for (const name of readdirSync('/proc')) {
    const times = /^\d+$/.test(name) ? timesOf(Number(name)) : undefined;
    if (times !== undefined) all.set(Number(name), times);
  }
  const isBelow = (pid: number): boolean => pid === root || (all.has(pid) && isBelow(all.get(pid)?.parent ?? 0));
  let ms = 0;
  for (const [pid, { ownMs, endedChildrenMs }] of all) if (isBelow(pid)) ms += ownMs + endedChildrenMs;
  return ms;
}

/** Processor time of our children that have ended [ms]. */
export function endedChildrenMs(): number {
  return timesOf(process.pid)?.endedChildrenMs ?? Number.NaN;
}
