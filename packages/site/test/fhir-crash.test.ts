/**
 * A server that is killed, as by `kill -9`, again and again while four senders put resources. Whatever was acknowledged has to be
 * there once, in the version that was acknowledged or a later one, and can be found by its index; nothing is half there.
 *
 * Five cycles; LANTERN_CRASH_CYCLES sets another number.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, it } from 'node:test';
import { type Database, openTestDatabase } from '@lantern/service';

const CYCLES = Number(process.env['LANTERN_CRASH_CYCLES'] ?? 5);
const SENDERS = 4;
const ACKNOWLEDGED_BEFORE_KILL = 30;
const PROGRAM = path.resolve(import.meta.dirname, 'fhir-node-child.ts');

let database: Database;
let dataDir: string;
let child: ChildProcess | undefined;
before(async () => {
  database = await openTestDatabase('fhir-crash');
  dataDir = await mkdtemp(path.join(tmpdir(), 'lantern-fhir-crash-'));
});
after(async () => {
  child?.kill('SIGKILL');
  await database?.close();
  await rm(dataDir, { recursive: true, force: true });
});

async function start(): Promise<{ url: string; kill: () => Promise<void> }> {
  const settings = path.join(dataDir, 'settings.json');
  await writeFile(settings, JSON.stringify({ dataDir, databaseUrl: database.url, logLevel: 'silent' }));
  const started = spawn(process.execPath, [PROGRAM, settings], { stdio: ['ignore', 'pipe', 'inherit'] });
  child = started;
  const [line] = await once(createInterface({ input: started.stdout }), 'line');
  const ended = once(started, 'exit');
  return {
    url: String(line),
    kill: async () => {
      started.kill('SIGKILL');
      await ended;
    },
  };
}

it('a server that is killed loses nothing that it acknowledged, and doubles nothing', async () => {
  const acknowledged = new Map<string, number>();
  for (let cycle = 0; cycle < CYCLES; cycle += 1) {
    const server = await start();
    const token = (await readFile(path.join(dataDir, 'admin.token'), 'utf8')).trim();
    let count = 0;
    let killed: Promise<void> | undefined;
    const send = async (sender: number): Promise<void> => {
      for (let index = 0; killed === undefined; index += 1) {
        const id = `p-${sender}-${index % 25}`;
        const body = JSON.stringify({
          resourceType: 'Patient',
          id,
          name: [{ family: `c${cycle}s${sender}i${index}` }],
        });
        const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/fhir+json' };
        const response = await fetch(`${server.url}/fhir/Patient/${id}`, { method: 'PUT', headers, body }).catch(
          () => undefined,
        );
        if (response === undefined) return;
        assert.ok(response.ok, String(response.status));
        const version = Number(/\d+/.exec(response.headers.get('etag') ?? '')?.[0]);
        acknowledged.set(id, Math.max(version, acknowledged.get(id) ?? 0));
        count += 1;
        if (count >= ACKNOWLEDGED_BEFORE_KILL) killed ??= server.kill();
      }
    };
    await Promise.all(Array.from({ length: SENDERS }, (_, sender) => send(sender)));
    await killed;
  }
  const { rows } = await database.pool.query<{ id: string; version: number; versions: number; found: number }>(`
    select r.id, r.version, (select count(*)::int from fhir_history h where h.type = r.type and h.id = r.id) + 1 as versions,
      (select count(*)::int from fhir_string s where s.version_key = r.version_key) as found
    from fhir_resource r`);
  const stored = new Map(rows.map((row) => [row.id, row]));
  for (const [id, version] of acknowledged)
    assert.ok((stored.get(id)?.version ?? 0) >= version, `${id} lost version ${version}`);
  for (const { id, version, versions, found } of rows) {
    assert.equal(versions, version, `${id} has gaps or doubles in its history`);
    assert.equal(found, 2, `${id} is not found once by its name and its family name`);
  }
  const { rows: left } = await database.pool.query(
    'select from fhir_string where version_key not in (select version_key from fhir_resource)',
  );
  assert.equal(left.length, 0);
});
