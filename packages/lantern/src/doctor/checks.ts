/**
 * What can be wrong with a set-up, each as one question with a plain answer. A check never throws: what goes wrong is its
 * answer. `skip` means that the question does not arise here, and says why.
 */
import { mkdtemp, rmdir, stat } from 'node:fs/promises';
import { createServer } from 'node:net';
import path from 'node:path';
import { FREE_BYTES_MIN, freeBytes } from '@lantern/service';

export type Verdict = 'good' | 'bad' | 'skip';
export type Finding = {
  readonly check: string;
  readonly verdict: Verdict;
  readonly says: string;
  readonly fix?: string;
};

const GIB = 1024 ** 3;
const NODE_MAJOR_MIN = 24;
const PORT_MAX = 65_535;

export function checkNode(version: string): Finding {
  const major = Number(version.replace(/^v/, '').split('.')[0]);
  return major >= NODE_MAJOR_MIN
    ? { check: 'Node.js', verdict: 'good', says: `${version}` }
    : {
        check: 'Node.js',
        verdict: 'bad',
        says: `${version} is too old; Lantern runs on ${NODE_MAJOR_MIN} or newer.`,
        fix: 'Start it by npm (npm run lantern -- …): the right Node.js is one of its packages.',
      };
}

/** The data folder must be there and writable; one that shall be made at the first start (`isNew`) must be possible. */
export async function checkFolder(dataDir: string, { isNew = false } = {}): Promise<Finding> {
  const folder = await nearestExisting(path.resolve(dataDir));
  const found = await stat(folder).catch(() => undefined);
  if (found !== undefined && !found.isDirectory()) {
    return {
      check: 'data folder',
      verdict: 'bad',
      says: `${folder} is a file, not a folder.`,
      fix: 'Choose another folder with --data.',
    };
  }
  if (folder !== path.resolve(dataDir) && !isNew) {
    return {
      check: 'data folder',
      verdict: 'bad',
      says: `${dataDir} does not exist.`,
      fix: 'Check the spelling of --data; before the first start of a hub or site add --new.',
    };
  }
  const refused = await refusalToWrite(folder);
  if (refused === undefined) {
    const state = folder === path.resolve(dataDir) ? 'is there and writable' : 'can be made';
    return { check: 'data folder', verdict: 'good', says: `${dataDir} ${state}.` };
  }
  return {
    check: 'data folder',
    verdict: 'bad',
    says: WITHOUT_RIGHT.has(refused)
      ? `${folder} is not writable for this user.`
      : `${folder} takes no new file or folder (${refused}).`,
    fix: 'Choose another folder with --data, or give this user the right to write there.',
  };
}

const WITHOUT_RIGHT = new Set(['EACCES', 'EPERM', 'EROFS']);

/** Makes a folder in it and removes that again: what a file system refuses, rights alone do not tell. `undefined`: nothing. */
async function refusalToWrite(folder: string): Promise<string | undefined> {
  try {
    await rmdir(await mkdtemp(path.join(folder, '.lantern-doctor-')));
    return undefined;
  } catch (caught) {
    return caught instanceof Error && 'code' in caught ? String(caught.code) : 'unknown reason';
  }
}

export async function checkDisk(dataDir: string): Promise<Finding> {
  const free = await freeBytes(await nearestExisting(path.resolve(dataDir)));
  const says = `${(free / GIB).toFixed(1)} GiB free where ${dataDir} lies.`;
  return free >= FREE_BYTES_MIN
    ? { check: 'disk', verdict: 'good', says }
    : {
        check: 'disk',
        verdict: 'bad',
        says,
        fix: `Free at least ${FREE_BYTES_MIN / 1024 ** 2} MiB; below that new work is refused.`,
      };
}

async function nearestExisting(folder: string): Promise<string> {
  for (let current = folder; ; current = path.dirname(current)) {
    const found = await stat(current).catch(() => undefined);
    if (found !== undefined || current === path.dirname(current)) return current;
  }
}

/** Whether `port` can be listened on at `host`. */
export function checkPort(port: number, host: string): Promise<Finding> {
  if (!Number.isInteger(port) || port < 0 || port > PORT_MAX) {
    const says = 'What --port names is no port.';
    return Promise.resolve({ check: 'port', verdict: 'bad', says, fix: `Give a number from 0 to ${PORT_MAX}.` });
  }
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', (error: NodeJS.ErrnoException) => {
      resolve({
        check: 'port',
        verdict: 'bad',
        says: `${host}:${port} cannot be used: ${reasonOf(error.code)}.`,
        fix: 'Choose another port with --port, or stop the program that uses it.',
      });
    });
    server.listen({ port, host }, () =>
      server.close(() => resolve({ check: 'port', verdict: 'good', says: `${host}:${port} is free.` })),
    );
  });
}

function reasonOf(code: string | undefined): string {
  if (code === 'EADDRINUSE') return 'another program listens there';
  if (code === 'EACCES') return 'this user may not use ports below 1024';
  if (code === 'EADDRNOTAVAIL') return 'this machine does not have that address';
  return code ?? 'unknown reason';
}
