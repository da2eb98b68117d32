/**
 * Proof that a run cleans up: the tests get a temporary folder of their own and a mark in their environment; whatever file is
 * in the folder and whatever process carries the mark when they have ended was left behind.
 */
import { randomUUID } from 'node:crypto';
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

/** A process that was told to stop may still be writing its last page; longer is not stopping. */
const ENDING_MS_MAX = 5_000;
const LOOK_EVERY_MS = 100;

const MARK = 'LANTERN_TEST_RUN';

export type Enclosure = {
  /** For the environment of the tests. */
  readonly environment: Readonly<Record<string, string>>;
  /** Names what was left, after a short wait for what is just ending; then removes it, processes too. */
  clear(): Promise<string[]>;
};

type Process = { readonly pid: number; readonly command: string };

function readProcessFile(pid: number, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8').replaceAll('\0', ' ').trim();
  } catch {
    return ''; // It ended between the listing and the look, or belongs to somebody else.
  }
}

/** A zombie has ended; it only waits for its parent to ask. */
function isAlive(pid: number): boolean {
  const stat = readProcessFile(pid, 'stat');
  return stat !== '' && !/^[ZX]/.test(stat.slice(stat.lastIndexOf(')') + 2));
}

/** Processes with our mark, also those that cleared their environment but were told our folder. Linux only: /proc. */
function ourProcesses(mark: string, folder: string): Process[] {
  if (process.platform !== 'linux') return [];
  const pids = readdirSync('/proc').map(Number).filter(Number.isInteger);
  return pids.flatMap((pid) => {
    if (pid === process.pid || !isAlive(pid)) return [];
    const command = readProcessFile(pid, 'cmdline');
    const isOurs = command.includes(folder) || readProcessFile(pid, 'environ').includes(`${MARK}=${mark}`);
    return isOurs ? [{ pid, command: command.slice(0, 200) }] : [];
  });
}

async function processesAfterWait(mark: string, folder: string): Promise<Process[]> {
  let found = ourProcesses(mark, folder);
  for (let waitedMs = 0; found.length > 0 && waitedMs < ENDING_MS_MAX; waitedMs += LOOK_EVERY_MS) {
    await delay(LOOK_EVERY_MS);
    found = ourProcesses(mark, folder);
  }
  return found;
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It ended by itself in the meantime, which is what we want.
  }
}

export function openEnclosure(): Enclosure {
  const folder = mkdtempSync(path.join(tmpdir(), 'lantern-check-'));
  chmodSync(folder, 0o711); // Servers that refuse to run as root run as another user, who has to pass through.
  const mark = randomUUID();
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
  return {
    environment: { TMPDIR: folder, [MARK]: mark },
    async clear() {
      const processes = await processesAfterWait(mark, folder);
      const files = readdirSync(folder);
      for (const { pid } of processes) kill(pid);
      rmSync(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: LOOK_EVERY_MS });
      return [
        ...processes.map(({ pid, command }) => `process ${pid}: ${command}`),
        ...files.map((file) => `file ${file}`),
      ];
    },
  };
}
