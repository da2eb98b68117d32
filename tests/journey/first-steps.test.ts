/**
 * What a newcomer types: every command of the README and of docs/first-steps.md, as it stands there, with real processes. Only
 * ports are exchanged for free ones, and words in capitals for what an earlier command printed. `npm run lantern --` starts main.ts
 * in the root of the project; so that folders of the walk lie elsewhere, the commands start it themselves, and one goes through npm.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { generateKeyPairSync, type KeyObject, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { chmod, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { text as textOf } from 'node:stream/consumers';
import { describe, it } from 'node:test';
import { postAsRecordSystem } from './record-system.ts';

const ROOT = path.resolve(import.meta.dirname, '../..');
const MAIN = path.join(ROOT, 'packages/lantern/src/main.ts');
const PREFIX = 'npm run lantern -- ';
const PASSWORD = 'correct horse battery';
const ISSUER = 'https://ehr.example';

/** The commands of the `sh` blocks of a document, without their comments. */
async function commandsOf(file: string): Promise<string[]> {
  const blocks = (await readFile(path.join(ROOT, file), 'utf8')).matchAll(/^```sh\n(.*?)^```$/gms);
  return [...blocks]
    .flatMap(([, block = '']) => block.trim().split('\n'))
    .filter((line) => line.startsWith(PREFIX))
    .map((line) => line.slice(PREFIX.length).replace(/ +#.*$/, ''));
}

/** Splits as a shell would for what our documents use: words and double quotes. */
function wordsOf(command: string): string[] {
  return [...command.matchAll(/"([^"]*)"|(\S+)/g)].map(([, quoted, bare]) => quoted ?? bare ?? '');
}

async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  assert.ok(typeof address === 'object' && address !== null);
  server.close();
  await once(server, 'close');
  return address.port;
}

type Said = { readonly command: string; readonly code: number | null; readonly out: string; readonly err: string };

class Newcomer {
  readonly folder: string;
  readonly #ports: ReadonlyMap<string, string>;
  readonly #servers: ChildProcess[] = [];
  readonly #known = new Map<string, string>();

  private constructor(folder: string, ports: ReadonlyMap<string, string>) {
    this.folder = folder;
    this.#ports = ports;
  }

  /** A folder that looks like a fresh clone as far as the commands can see. */
  static async arrive(): Promise<Newcomer> {
    const folder = await mkdtemp(path.join(os.tmpdir(), 'lantern-newcomer-'));
    await chmod(folder, 0o711); // the database may have to run as another user
    await symlink(path.join(ROOT, 'fixtures'), path.join(folder, 'fixtures'));
    return new Newcomer(
      folder,
      new Map([
        ['8700', `${await freePort()}`],
        ['8701', `${await freePort()}`],
      ]),
    );
  }

  get siteUrl(): string {
    return `http://127.0.0.1:${this.#ports.get('8701') ?? ''}`;
  }

  async types(written: string): Promise<Said> {
    const command = written
      .replace(/\b870[01]\b/g, (port) => this.#ports.get(port) ?? port)
      .replace(/\b(CODE|PROJECT|RUN|VERSION)\b/g, (word) => this.#known.get(word) ?? word);
    const isServer = /^(hub|site) --data/.test(command);
    const child = spawn(process.execPath, [MAIN, ...wordsOf(command)], {
      cwd: this.folder,
      env: { PATH: process.env['PATH'], HOME: this.folder },
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    child.stdin.end(`${PASSWORD}\n`);
    if (isServer) return this.#waitUntilReady(child, command);
    const [out, err] = await Promise.all([textOf(child.stdout), textOf(child.stderr), once(child, 'close')]);
    this.#remember(out);
    return { command, code: child.exitCode, out, err };
  }

  async #waitUntilReady(child: ChildProcess, command: string): Promise<Said> {
    this.#servers.push(child);
    assert.ok(child.stdout !== null && child.stderr !== null);
    child.stderr.resume();
    for await (const chunk of child.stdout.iterator({ destroyOnReturn: false }))
      if (/answers at/.test(String(chunk))) return { command, code: 0, out: String(chunk), err: '' };
    return { command, code: child.exitCode, out: '', err: 'it ended' };
  }

  #remember(out: string): void {
    const words = { CODE: /^[\w-]{16,}$/m, PROJECT: /proj_\w{24}/, RUN: /run_\w{24}/, VERSION: /mver_\w{24}/ };
    for (const [word, pattern] of Object.entries(words)) {
      const found = pattern.exec(out)?.[0];
      if (found !== undefined && !this.#known.has(word)) this.#known.set(word, found);
    }
  }

  async leaves(): Promise<void> {
    for (const server of this.#servers.toReversed()) {
      const ended = once(server, 'exit');
      if (server.exitCode === null && server.kill('SIGTERM')) await ended;
    }
    await rm(this.folder, { recursive: true, force: true });
  }
}

async function typeAll(newcomer: Newcomer, file: string, before: (command: string) => Promise<void>): Promise<Said[]> {
  const said: Said[] = [];
  for (const command of await commandsOf(file)) {
    await before(command);
    const result = await newcomer.types(command);
    assert.equal(result.code, 0, `${result.command}\n${result.out}${result.err}`);
    said.push(result);
  }
  return said;
}

/** What a command prints that npm starts, as the documents write it. */
async function throughNpm(newcomer: Newcomer, ...command: string[]): Promise<string> {
  const child = spawn('npm', ['run', 'lantern', '--', ...command], {
    cwd: ROOT,
    env: { PATH: process.env['PATH'], HOME: newcomer.folder, CI: 'true' }, // in CI npm asks nobody for a newer npm
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [out] = await Promise.all([textOf(child.stdout), once(child, 'close')]);
  return out;
}

/** The record system asks about a patient without results and says what the clinician did with the answer. */
async function askAsRecordSystem(siteUrl: string, key: KeyObject): Promise<string> {
  const client = { issuer: ISSUER, key, siteUrl };
  const service = '/cds-services/heart-disease';
  const patient = { resourceType: 'Patient', id: 'p1', gender: 'female', birthDate: '1960-02-03' };
  const asked = {
    hook: 'patient-view',
    hookInstance: randomUUID(),
    context: { userId: 'Practitioner/carl', patientId: 'p1' },
    prefetch: { patient, observations: { resourceType: 'Bundle', type: 'searchset', entry: [] } },
  };
  const { cards } = (await postAsRecordSystem(client, service, asked)) as {
    cards: { uuid: string; summary: string }[];
  };
  const [card] = cards;
  assert.ok(card !== undefined);
  const outcome = { card: card.uuid, outcome: 'overridden', outcomeTimestamp: new Date().toISOString() };
  const feedback = [{ ...outcome, overrideReason: { reason: { code: 'not-useful' } } }];
  await postAsRecordSystem(client, `${service}/feedback`, { feedback });
  return card.summary;
}

describe('a newcomer', () => {
  it('succeeds with the commands of the README as they stand there', async () => {
    const newcomer = await Newcomer.arrive();
    try {
      const said = await typeAll(newcomer, 'README.md', async () => undefined);
      assert.equal(said.length, 8);
      assert.match(
        await throughNpm(newcomer, 'hub', 'sites', '--data', path.join(newcomer.folder, 'hub-data')),
        /St Elsewhere/,
      );
      assert.match(said.at(-1)?.out ?? '', /✔ server: .* is ready.*\n(.*\n)*✔ hub: .*\n(.*\n)*✔ key: /);
    } finally {
      await newcomer.leaves();
    }
  });

  it('goes as administrator, data engineer, researcher, governance lead and clinician through the first steps', async () => {
    const newcomer = await Newcomer.arrive();
    const { publicKey, privateKey } = generateKeyPairSync('ed25519');
    await writeFile(path.join(newcomer.folder, 'ehr.pub.pem'), publicKey.export({ type: 'spki', format: 'pem' }));
    try {
      let summary = '';
      const said = await typeAll(newcomer, 'docs/first-steps.md', async (command) => {
        if (command.startsWith('sign-in carl')) summary = await askAsRecordSystem(newcomer.siteUrl, privateKey);
        if (command.startsWith('site decide')) await decideOtherwiseFirst(newcomer, command);
        if (command.startsWith('model release')) await runWithoutApproval(newcomer);
      });
      const outOf = (start: string) => said.find(({ command }) => command.startsWith(start))?.out ?? '';
      assert.match(outOf('site project '), /batch size +16 rows/);
      assert.match(outOf('site preview '), /network: passes the gate's defaults/);
      assert.match(outOf('site decide '), /verdict +approved by grace at/);
      assert.match(outOf('project ask '), /about \d+/);
      assert.match(outOf('run watch '), /is completed[\s\S]*combined +0\.\d{3}/);
      assert.match(outOf('site deployments'), /heart-disease +heart-disease +1 +live/);
      assert.match(summary, /No risk computed/);
      assert.match(outOf('site consultations'), /input-missing +overridden +not-useful/);
      assert.match(outOf('audit verify'), /\d+ records, unbroken/);
      const sessions = path.join(newcomer.folder, '.config', 'lantern');
      assert.deepEqual(await readdir(sessions), [], 'a session is left after everybody signed out');
    } finally {
      await newcomer.leaves();
    }
  });
});

/** A script that follows a run learns from its exit code that there is no result: here the site has withdrawn. */
async function runWithoutApproval(newcomer: Newcomer): Promise<void> {
  const withdrawn = await newcomer.types(
    'site decide PROJECT --withdraw --reason "The trial is over" --data site-data',
  );
  assert.equal(withdrawn.code, 0, withdrawn.err);
  const started = await newcomer.types('run start PROJECT fixtures/example/plan.json --data hub-data --json');
  assert.equal(started.code, 0, started.err);
  const { runId } = JSON.parse(started.out) as { runId: string };
  const watched = await newcomer.types(`run watch ${runId} --data hub-data`);
  assert.equal(watched.code, 1, watched.out);
  assert.match(watched.out, /is failed: .*withdrew/);
  assert.match(watched.err, /is failed and will not complete/);
}

/** Before the approval of the walk: who may not decide, what cannot be typed, and an approval that allows less. */
async function decideOtherwiseFirst(newcomer: Newcomer, command: string): Promise<void> {
  // Whoever can read the data folder is its administrator and still not its governance lead.
  const refused = await newcomer.types(`${command} --as admin`);
  assert.equal(refused.code, 77);
  assert.match(refused.err, /needs one of the roles: governance/);
  assert.match((await newcomer.types(`${command} --bundle another`)).err, /names no one bundle .* \(network\)/);
  assert.match((await newcomer.types(`${command} --egress rows`)).err, /"rows" is none of counts, cohort-size/);
  const narrow = '--bundle network --egress counts cohort-size --patient-count-min 25 --count-rounding 20';
  const { code, out } = await newcomer.types(`${command} ${narrow}`);
  assert.equal(code, 0);
  assert.match(out, /may leave +counts, cohort-size$/m);
  assert.match(out, /counts +patientCountMin 25, rounding 20, noiseStdDev 6, /);
  const sessions = path.join(newcomer.folder, '.config', 'lantern');
  for (const file of await readdir(sessions)) assert.equal((await stat(path.join(sessions, file))).mode & 0o777, 0o600);
}
