/**
 * The operating-system user that PostgreSQL runs as. It refuses to run as root, so a process started as root runs it as the
 * user `postgres`, or `nobody` where there is no such user; anybody else runs it as themselves.
 */
import { readFile, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { AppError } from '@lantern/contract';

/** `uid` and `gid` are undefined when the programs run as ourselves. */
export type OsUser = { readonly name: string; readonly switchTo?: { readonly uid: number; readonly gid: number } };

const CANDIDATES = ['postgres', 'nobody'] as const;

/** Ids out of the text of a passwd(5) file. */
export function userFromPasswd(passwd: string, name: string): { uid: number; gid: number } | undefined {
  for (const line of passwd.split('\n')) {
    const fields = line.split(':');
    if (fields[0] !== name) continue;
    const uid = Number(fields[2]);
    const gid = Number(fields[3]);
    if (Number.isInteger(uid) && Number.isInteger(gid) && uid > 0) return { uid, gid };
  }
  return undefined;
}

/**
 * Chooses the user for a cluster folder. An existing cluster stays with its owner, also when a user of higher preference
 * was added to the machine since.
 */
export async function chooseOsUser(clusterDir: string): Promise<OsUser> {
  const cluster = await stat(clusterDir).catch(() => undefined);
  const ownUid = process.getuid?.() ?? -1;
  if (ownUid !== 0) {
    if (cluster !== undefined && cluster.uid !== ownUid) {
      throw new AppError(
        'set-up.failed',
        `The database folder ${clusterDir} belongs to operating-system user ${cluster.uid}; start as that user or as root.`,
      );
    }
    return { name: String(ownUid) };
  }
  if (cluster !== undefined && cluster.uid !== 0) {
    return { name: String(cluster.uid), switchTo: { uid: cluster.uid, gid: cluster.gid } };
  }
  const passwd = await readFile('/etc/passwd', 'utf8').catch(() => '');
  for (const name of CANDIDATES) {
    const ids = userFromPasswd(passwd, name);
    if (ids !== undefined) return { name, switchTo: ids };
  }
  throw new AppError(
    'set-up.failed',
    'PostgreSQL does not run as root and this machine has neither a user "postgres" nor "nobody"; start as an ordinary user.',
  );
}

/**
 * The first folder or file on the way to `path` (inclusive) that `user` may not pass or execute; undefined when all is
 * open. Only the permission bits are read, as access-control lists are rare on the folders in question.
 */
export async function firstUnreachable(path: string, user: OsUser): Promise<string | undefined> {
  if (user.switchTo === undefined) return undefined;
  const { uid, gid } = user.switchTo;
  const steps = [path];
  for (let step = path; dirname(step) !== step; step = dirname(step)) steps.unshift(dirname(step));
  for (const step of steps) {
    const { mode, uid: ownerUid, gid: ownerGid } = await stat(step);
    const bit = ownerUid === uid ? 0o100 : ownerGid === gid ? 0o010 : 0o001;
    if ((mode & bit) === 0) return step;
  }
  return undefined;
}
