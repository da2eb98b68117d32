/**
 * Questions about another process by its id. An id alone proves nothing: ids are re-used, and a process that was killed
 * stays visible as a zombie until its parent collects it. So identity is id plus start time, or id plus command line.
 */
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** `ps` answers in milliseconds; a machine that needs longer is not going to answer. */
const PS_TIMEOUT_MS = 5_000;

function hasErrorCode(caught: unknown, code: string): boolean {
  return caught instanceof Error && 'code' in caught && caught.code === code;
}

function isSignalled(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (caught) {
    return hasErrorCode(caught, 'EPERM');
  }
}

/** Fields of /proc/<pid>/stat after the command name, which may itself hold spaces and parentheses: proc(5). */
async function statFields(pid: number): Promise<string[]> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8');
  return text.slice(text.lastIndexOf(')') + 2).split(' ');
}

async function ps(pid: number, column: string): Promise<string | undefined> {
  try {
    const { stdout } = await run('ps', ['-ww', '-o', `${column}=`, '-p', String(pid)], { timeout: PS_TIMEOUT_MS });
    return stdout.trim();
  } catch {
    return undefined; // `ps` fails when there is no such process.
  }
}

/** Whether a process with this id runs; a zombie does not. */
export async function isRunning(pid: number): Promise<boolean> {
  if (!isSignalled(pid)) return false;
  if (process.platform !== 'linux') return !((await ps(pid, 'state')) ?? 'Z').startsWith('Z');
  try {
    const [state] = await statFields(pid);
    return state !== 'Z' && state !== 'X';
  } catch {
    return false; // It ended between the two questions.
  }
}

/** What the process was started as, words separated by blanks; undefined when there is none. */
export async function commandLine(pid: number): Promise<string | undefined> {
  if (process.platform !== 'linux') return ps(pid, 'command');
  try {
    return (await readFile(`/proc/${pid}/cmdline`, 'utf8')).replaceAll('\0', ' ').trim();
  } catch {
    return undefined; // No such process.
  }
}

/** When the process started, in a form that only serves for comparing; undefined when there is none. */
export async function startMark(pid: number): Promise<string | undefined> {
  if (process.platform !== 'linux') return ps(pid, 'lstart');
  try {
    const bootId = await readFile('/proc/sys/kernel/random/boot_id', 'utf8');
    return `${bootId.trim()}/${(await statFields(pid))[19]}`;
  } catch {
    return undefined; // No such process.
  }
}
