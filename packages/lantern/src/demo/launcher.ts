/**
 * Whoever started this process, watched from inside it. A terminal that closes and Ctrl-C tell a program to stop; `kill -9` of npm,
 * or of the shell between npm and us, tells nobody. A process that lost its parent is given another, so the loss shows in its
 * parent's id, and the loss of npm in that of the shell.
 */
import { readFile } from 'node:fs/promises';

const LOOK_EVERY_MS = 1_000; // a person who ended it expects to see everything end, and looking costs next to nothing

/** Aborts when the process that started this one is gone, or the one that started that. `stop` ends the watch. */
export async function watchLauncher(): Promise<{ readonly signal: AbortSignal; stop(): void }> {
  const gone = new AbortController();
  const parent = process.ppid;
  const grandparent = await parentOf(parent);
  const look = async (): Promise<void> => {
    if (process.ppid !== parent || (await parentOf(parent)) !== grandparent) gone.abort();
  };
  const timer = setInterval(() => void look(), LOOK_EVERY_MS).unref();
  return { signal: gone.signal, stop: () => clearInterval(timer) };
}

/** Field 4 of /proc/<pid>/stat, proc(5); `undefined` where there is no /proc. */
async function parentOf(pid: number): Promise<number | undefined> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined);
  if (text === undefined) return undefined;
  return Number(text.slice(text.lastIndexOf(')') + 2).split(' ')[1]);
}
