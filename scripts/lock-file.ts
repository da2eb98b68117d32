/**
 * A lock file must name the packages for every platform, not only for the one it was written on: otherwise `npm ci` refuses it on
 * another platform, and here too as soon as the registry offers what it lacks. npm leaves out what a registry mirror does not have.
 * Such a package has the version that its parent pins, and its platform stands in its name, so its entry can be written without it;
 * only the hash cannot, and npm then installs it without comparing.
 *
 * A package whose install script is refused (`allowScripts` in package.json) must not be marked as having one: npm before 11 knows
 * no `allowScripts`, but every npm runs only scripts that the lock file tells of.
 *
 * `npm run lock` writes the entries that are missing and removes such marks. Run it after each `npm install` that changed a version.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { Offence } from './source-tree.ts';

type Entry = {
  readonly hasInstallScript?: boolean;
  readonly resolved?: string;
  readonly link?: boolean;
  readonly license?: string;
  readonly engines?: object;
  readonly dev?: boolean;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
};

type MissingEntry = { readonly key: string; readonly parent: string; readonly entry: object };

const PLATFORM =
  /(?<os>android|darwin|freebsd|linux|win32|windows)-(?<cpu>arm64|arm|x64|ia32|ppc64|s390x|riscv64)-?(?<libc>musl|glibc)?$/;

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

/** npm writes this file and `npm ci` reads it again; only what is used here is looked at. */
function isEntries(value: unknown): value is Record<string, Entry> {
  return isRecord(value) && Object.values(value).every(isRecord);
}

function parseLock(text: string): { lock: Record<string, unknown>; packages: Record<string, Entry> } {
  const lock: unknown = JSON.parse(text);
  if (!isRecord(lock) || !isEntries(lock['packages'])) throw new Error('not a lock file of npm');
  return { lock, packages: lock['packages'] };
}

function entryFor(name: string, version: string, parent: Entry): object {
  const { os, cpu, libc } = PLATFORM.exec(name)?.groups ?? {};
  if (os === undefined || !/^\d[\w.+-]*$/.test(version))
    throw new Error(`${name}@${version}: not a package for one platform`);
  return {
    version,
    cpu: [cpu],
    ...(parent.dev === true && { dev: true }),
    ...(libc !== undefined && { libc: [libc] }),
    ...(parent.license !== undefined && { license: parent.license }),
    optional: true,
    os: [os === 'windows' ? 'win32' : os],
    ...(parent.engines !== undefined && { engines: parent.engines }),
  };
}

function missingEntries(packages: Record<string, Entry>): MissingEntry[] {
  return Object.entries(packages).flatMap(([parent, entry]) =>
    Object.entries(entry.optionalDependencies ?? {})
      .filter(([name]) => !(`node_modules/${name}` in packages || `${parent}/node_modules/${name}` in packages))
      .map(([name, version]) => ({ key: `node_modules/${name}`, parent, entry: entryFor(name, version, entry) })),
  );
}

/** Packages whose install scripts a package.json refuses. */
export function refusedScripts(packageText: string): ReadonlySet<string> {
  const value: unknown = JSON.parse(packageText);
  const allowed = isRecord(value) ? value['allowScripts'] : undefined;
  return new Set(
    Object.entries(isRecord(allowed) ? allowed : {}).flatMap(([name, may]) => (may === false ? [name] : [])),
  );
}

function isRefused(key: string, refused: ReadonlySet<string>): boolean {
  return refused.has(key.replace(/^.*node_modules\//, ''));
}

/** What is wrong with the text of a lock file: addresses of a registry, packages that are left out, scripts that are refused. */
export function lockFileOffences(file: string, text: string, refused: ReadonlySet<string> = new Set()): Offence[] {
  const { packages } = parseLock(text);
  const scripts = Object.entries(packages).flatMap(([key, { hasInstallScript }]) =>
    hasInstallScript === true && isRefused(key, refused) ? [`${key} would run its install script: npm run lock`] : [],
  );
  const addresses = Object.entries(packages).flatMap(([key, { resolved }]) =>
    /^https?:/.test(resolved ?? '') ? [`lock file holds a download address: ${key}`] : [],
  );
  const missing = missingEntries(packages).map(({ key, parent }) => `${key} of ${parent} is missing: npm run lock`);
  return [...addresses, ...missing, ...scripts].map((rule) => ({ file, line: 0, rule }));
}

/** The text with an entry for each package that was missing, how many there were, and without marks of refused scripts. */
export function completeLock(
  text: string,
  refused: ReadonlySet<string> = new Set(),
): { text: string; addedCount: number } {
  const { lock, packages } = parseLock(text);
  const added = missingEntries(packages);
  const present = Object.entries(packages).map(([key, entry]): [string, object] => {
    const { hasInstallScript: _refused, ...rest } = entry;
    return [key, isRefused(key, refused) ? rest : entry];
  });
  const entries = [...present, ...added.map(({ key, entry }): [string, object] => [key, entry])];
  entries.sort(([left], [right]) => left.localeCompare(right, 'en'));
  return {
    text: `${JSON.stringify({ ...lock, packages: Object.fromEntries(entries) }, undefined, 2)}\n`,
    addedCount: added.length,
  };
}

if (import.meta.main) {
  const file = path.resolve(import.meta.dirname, '../package-lock.json');
  const refused = refusedScripts(readFileSync(path.join(path.dirname(file), 'package.json'), 'utf8'));
  const { text, addedCount } = completeLock(readFileSync(file, 'utf8'), refused);
  writeFileSync(file, text);
  process.stdout.write(`${addedCount} entries added\n`);
}
