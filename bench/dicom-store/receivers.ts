/** The three that receive: ours, Orthanc and DCMTK's storescp, each as its own process over a folder of its own. */
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
  /** Greatest resident memory of its process so far [bytes]. */
  peakBytes(): number;
  /** When each study was complete, as it logs it [ms since 1970]; ours alone. */
  completedAt(): readonly number[];
  stop(): Promise<void>;
};

export type ReceiverName = 'lantern' | 'orthanc' | 'storescp';

export function startReceiver(name: ReceiverName, folder: string, quietMs = 3_600_000): Promise<Receiver> {
  mkdirSync(folder, { recursive: true });
  if (name === 'lantern') return startLantern(folder, quietMs);
  return name === 'orthanc' ? startOrthanc(folder) : startStorescp(folder);
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

/** As it comes, but for the port: files are synced and SQLite commits (SyncStorageArea is its default). */
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
async function startStorescp(folder: string): Promise<Receiver> {
  const port = await freePort();
  const files = path.join(folder, 'files');
  mkdirSync(files);
  const child = spawn('storescp', ['--fork', '--aetitle', 'BENCH', '--output-directory', files, String(port)], {
    stdio: 'ignore',
    env: { ...process.env, TCP_NODELAY: '1' },
  });
  await listening(port);
  return { ...processOf(child), port, count: () => readdirSync(files).length, completedAt: () => [] };
}

function processOf(child: ChildProcess): Pick<Receiver, 'stop' | 'peakBytes'> {
  const ended = once(child, 'close');
  return {
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
