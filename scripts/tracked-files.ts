/**
 * What may stand in no file that is given away: addresses of the registry that a lock file was made with, folders of the machine
 * that something was written on, and secrets. A clone must work anywhere and tell nothing about where it was made.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import path from 'node:path';
import { lockFileOffences, refusedScripts } from './lock-file.ts';
import type { Offence } from './source-tree.ts';

/** Larger files are data; reading them for words would only cost time. */
const TEXT_BYTES_MAX = 4 * 1024 * 1024;

/** Folders that many machines have: to name a file in them says nothing about this one. */
const COMMON_FOLDERS: ReadonlySet<string> = new Set([
  '/',
  '/home',
  '/mnt',
  '/opt',
  '/srv',
  '/tmp',
  '/usr',
  '/var',
  '/root',
]);

const FOLDERS_SKIPPED: ReadonlySet<string> = new Set(['node_modules', '.git', '.lantern', 'coverage']);

type Rule = { readonly pattern: RegExp; readonly rule: string };

/** What stands before an absolute path; `<folder>/work/` is none. */
const PATH_START = '(^|["\'`\\s(=:])';

const FIXED_RULES: readonly Rule[] = [
  { pattern: /https?:\/\/registry\b/, rule: 'address of a registry' },
  { pattern: new RegExp(`${PATH_START}/(home|Users)/[a-z][\\w.-]*/`), rule: "folder of one person's machine" },
  {
    pattern: /:_authToken\s*=|\b(ghp|gho|npm)_[A-Za-z0-9]{30,}|\bAKIA[0-9A-Z]{16}\b/,
    rule: 'looks like an access token',
  },
];

/** A key in PEM form that is more than its first line. */
const PRIVATE_KEY = /-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----\s*(?:\\n)?\s*([A-Za-z0-9+/]{40,})/g;

/** The start of the body of private keys that guard nothing, and why they are here. */
const KEYS_WITHOUT_SECRET: Readonly<Record<string, string>> = {
  MC4CAQAwBQYDK2VwBCIEIJ: 'RFC 9421, appendix B.1.4, test-key-ed25519',
  MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgul9XIpO5:
    'TLS for localhost in client.test.ts, which alone trusts it',
};

function* walk(root: string, folder: string): Generator<string> {
  for (const entry of readdirSync(path.join(root, folder), { withFileTypes: true })) {
    const file = path.posix.join(folder, entry.name);
    if (entry.isFile()) yield file;
    else if (entry.isDirectory() && !FOLDERS_SKIPPED.has(entry.name)) yield* walk(root, file);
  }
}

/** What git tracks; every file where the tree is a bare copy without history. */
function trackedFiles(root: string): string[] {
  if (!existsSync(path.join(root, '.git'))) return [...walk(root, '.')];
  // As root in a clone of another user git refuses for fear of its hooks; listing runs none.
  const options = ['-c', `safe.directory=${root}`, 'ls-files', '-z'];
  const listed = execFileSync('git', options, { cwd: root, encoding: 'utf8' });
  return listed.split('\0').filter((file) => file !== '' && existsSync(path.join(root, file)));
}

function escapePattern(text: string): string {
  return text.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&');
}

/** Folders of this very machine: the clone, the folder around it, the home of who runs the check. */
function machineRules(root: string): Rule[] {
  const folders = [root, path.dirname(root), homedir()].filter((folder) => !COMMON_FOLDERS.has(folder));
  const own = folders.filter((folder) => folder !== tmpdir() && folder.length > 1);
  return own.map((folder) => ({
    pattern: new RegExp(`${PATH_START}${escapePattern(folder)}/`),
    rule: 'folder of this machine',
  }));
}

function textOf(root: string, file: string): string | undefined {
  const bytes = readFileSync(path.join(root, file));
  return bytes.length > TEXT_BYTES_MAX || bytes.includes(0) ? undefined : bytes.toString('utf8');
}

function keyOffences(file: string, text: string): Offence[] {
  return [...text.matchAll(PRIVATE_KEY)].flatMap((match) => {
    const body = match[1] ?? '';
    if (Object.keys(KEYS_WITHOUT_SECRET).some((start) => body.startsWith(start))) return [];
    return [{ file, line: text.slice(0, match.index).split('\n').length, rule: 'a private key' }];
  });
}

/** Every offence in the files that a clone of `root` would hold. */
export function checkTrackedFiles(root: string): Offence[] {
  const rules = [...FIXED_RULES, ...machineRules(root)];
  return trackedFiles(root).flatMap((file) => {
    const text = textOf(root, file);
    if (text === undefined) return [];
    const found = text.split('\n').flatMap((content, index) => {
      const broken = rules.filter(({ pattern }) => pattern.test(content));
      return broken.map(({ rule }) => ({ file, line: index + 1, rule }));
    });
    return [...found, ...keyOffences(file, text), ...lockOffences(root, file, text)];
  });
}

function lockOffences(root: string, file: string, text: string): Offence[] {
  if (path.posix.basename(file) !== 'package-lock.json') return [];
  const manifest = path.join(root, path.posix.dirname(file), 'package.json');
  return lockFileOffences(
    file,
    text,
    existsSync(manifest) ? refusedScripts(readFileSync(manifest, 'utf8')) : undefined,
  );
}
