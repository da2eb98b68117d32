import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { AppError, EGRESS_TABLE, EVERYTHING, HUB_API, PAYLOAD_TYPES, SITE_API, type SiteTask } from '@lantern/contract';
import {
  createHttpClient,
  generateKeyPair,
  loadOrCreateKeyPair,
  manualClock,
  newId,
  openAuditHead,
  openBlobStore,
  publicKeyFromPem,
  sha256,
  signEnvelope,
  systemClock,
} from '@lantern/service';
import { clinicCsv, SCHEMA } from '../../test/documents.ts';
import { type ScriptedHub, startScriptedHub } from '../../test/scripted-hub.ts';
import { settingsFor, startTestSite, type TestSite } from '../../test/site-harness.ts';
import { startSite } from '../main.ts';
import { joinHub } from './join.ts';
import { createOutbound } from './outbound.ts';
import { downloadBlob, uploadBlob } from './transfer.ts';

let hub: ScriptedHub;
let site: TestSite;
let dir: string;

before(async () => {
  hub = await startScriptedHub();
  site = await startTestSite(hub, 'site-hub-link');
  await site.register({ schema: SCHEMA, csv: clinicCsv(60), feasibility: 'any-project' });
  dir = await mkdtemp(path.join(tmpdir(), 'lantern-link-'));
});

after(async () => {
  await site?.close();
  await hub?.close();
  await rm(dir, { recursive: true, force: true });
});

function countTask(change: Partial<Extract<SiteTask, { kind: 'count' }>> = {}): SiteTask {
  return {
    schema: 'lantern.task/1',
    taskId: newId('TaskId'),
    siteId: hub.siteId(),
    projectId: newId('ProjectId'),
    createdAt: new Date().toISOString(),
    kind: 'count',
    dataset: 'clinic',
    filter: EVERYTHING,
    ...change,
  };
}

const link = () => site.as('clinician').call(SITE_API.readHubLink, {});

describe('joining a hub', () => {
  it('makes the key on the site, readable for its owner alone, and keeps who the hub is', async () => {
    const key = path.join(site.settings.dataDir, 'site.key');
    assert.equal((await stat(key)).mode & 0o777, 0o600);
    const kept: unknown = JSON.parse(await readFile(path.join(site.settings.dataDir, 'hub-link.json'), 'utf8'));
    assert.ok(typeof kept === 'object' && kept !== null && 'hubPublicKeyPem' in kept && 'siteId' in kept);
    assert.equal(kept.hubPublicKeyPem, hub.keyPair.publicKeyPem);
    assert.equal(kept.siteId, hub.siteId());
  });

  it('is refused with a wrong code, and may then be tried again with the right one', async () => {
    const other = await startScriptedHub();
    const settings = settingsFor(path.join(dir, 'deep', 'second'), 'postgres://unused');
    const joining = { hubUrl: other.url, siteName: 'Second' };
    await assert.rejects(joinHub(settings, { ...joining, code: 'a-wrong-code-0123456789' }), {
      code: 'enrolment.code-rejected',
    });
    assert.equal(existsSync(path.join(dir, 'deep')), false, 'what the refused attempt made is gone');
    const first = await joinHub(settings, { ...joining, code: other.code });
    assert.equal(first.siteId, other.siteId());
    await assert.rejects(joinHub(settings, { ...joining, code: other.code }), { code: 'conflict' });
    await other.close();
  });

  it('keeps folder and key of a refused attempt that were there before it', async () => {
    const folder = path.join(dir, 'kept');
    const settings = settingsFor(folder, 'postgres://unused');
    const wrong = { hubUrl: hub.url, siteName: 'Kept', code: 'a-wrong-code-0123456789' };
    await mkdir(folder);
    await writeFile(path.join(folder, 'note.txt'), '');
    await assert.rejects(joinHub(settings, wrong), { code: 'enrolment.code-rejected' });
    assert.deepEqual(await readdir(folder), ['note.txt']);
    await loadOrCreateKeyPair(path.join(folder, 'site.key'));
    const key = await readFile(path.join(folder, 'site.key'), 'utf8');
    await assert.rejects(joinHub(settings, wrong), { code: 'enrolment.code-rejected' });
    assert.equal(await readFile(path.join(folder, 'site.key'), 'utf8'), key);
  });

  it('is needed before a site can start', async () => {
    const settings = settingsFor(path.join(dir, 'alone'), 'postgres://unused');
    await assert.rejects(startSite(settings), { code: 'set-up.failed', message: /site join/ });
    assert.equal(existsSync(settings.dataDir), false, 'a misspelt folder is not made');
  });

  it('says that the hub cannot be reached', async () => {
    const settings = settingsFor(path.join(dir, 'lost'), 'postgres://unused');
    await assert.rejects(joinHub(settings, { hubUrl: 'http://127.0.0.1:1', code: hub.code, siteName: 'Lost' }), {
      code: 'peer.unreachable',
    });
  });
});

describe('the door to the hub', () => {
  it('opens for the operations of the egress table and for no other', async () => {
    const outbound = createOutbound(createHttpClient({ baseUrl: hub.url, clock: systemClock }));
    const sentBefore = hub.sentBytes().length;
    const allowed = new Set<string>(EGRESS_TABLE.map(({ operation }) => operation));
    const names = Object.keys(HUB_API).filter((name): name is 'listSites' => !allowed.has(name));
    assert.ok(names.length > 20);
    for (const name of names) {
      await assert.rejects(outbound.call(name, {}), { code: 'policy.refused' }, name);
    }
    assert.equal(hub.sentBytes().subarray(sentBefore).includes('HTTP/1.1\r\nx'), false);
    assert.deepEqual(outbound.sent(), [], 'what was refused was not sent');
    outbound.close();
  });

  it('counts every message that left, by the words of the egress table', async () => {
    const task = countTask();
    const sent = async () => {
      const { messages } = await site.as('governance').call(SITE_API.listSentMessages, {});
      return new Map(messages.map(({ message, count }) => [message, count]));
    };
    const before = await sent();
    hub.send(task);
    await hub.answerTo(task.taskId);
    const after = await sent();
    assert.equal((after.get('count') ?? 0) - (before.get('count') ?? 0), 1);
    assert.ok((after.get('task poll') ?? 0) >= 1);
    const known = new Set(EGRESS_TABLE.map(({ message }) => message));
    for (const message of after.keys()) assert.ok(known.has(message), message);
  });
});

describe('the long poll', () => {
  it('tells that it is connected, and that it is not while the hub is away, and goes on when the hub is back', async () => {
    await hub.until(() => true);
    const task = countTask();
    hub.send(task);
    await hub.answerTo(task.taskId);
    assert.equal((await link()).connected, true);
    await hub.goAway();
    let status = await link();
    while (status.connected) status = await link();
    assert.equal(status.lastError?.code, 'peer.unreachable');
    const whileAway = countTask();
    hub.send(whileAway);
    await hub.comeBack();
    assert.equal((await hub.answerTo(whileAway.taskId)).body.kind, 'count');
    assert.equal((await link()).connected, true);
    assert.equal((await link()).lastError, undefined);
  });

  it('anchors the signed head of the audit chain at the hub', async () => {
    const task = countTask();
    hub.send(task);
    await hub.until(() => hub.anchors.length > 0);
    const key = await readFile(path.join(site.settings.dataDir, 'site.key'), 'utf8');
    const { createPublicKey } = await import('node:crypto');
    const signer = publicKeyFromPem(createPublicKey(key).export({ format: 'pem', type: 'spki' }).toString());
    const [first] = hub.anchors;
    assert.ok(first !== undefined);
    const head = openAuditHead(first, signer);
    const { records } = await site.as('governance').call(SITE_API.listAudit, { query: { limit: 1000 } });
    assert.equal(head.sequence === 0 ? head.hash : records[head.sequence - 1]?.hash, head.hash);
  });

  it('says by how much the clock is wrong when the hub refuses its signature', async () => {
    await site.stop();
    await site.start({ clock: manualClock(new Date(Date.now() + 2 * 3600_000).toISOString()) });
    let status = await link().catch(() => undefined);
    while (status?.lastError === undefined) status = await link().catch(() => undefined);
    assert.equal(status.lastError.code, 'signature.stale');
    assert.match(status.lastError.message, /clock is 7[12]\d\d s ahead/);
    await site.stop();
    await site.start();
  });
});

describe('a task', () => {
  const answered = () => new Set(hub.answers.map(({ taskId }) => taskId));

  const reached = async ({ taskId }: SiteTask, wanted: string) => {
    const read = () => site.db.selectFrom('task').select('state').where('task_id', '=', taskId).executeTakeFirst();
    while ((await read())?.state !== wanted) await new Promise((resolve) => setImmediate(resolve));
  };

  it('that comes twice is performed once, and answered with the same bytes again', async () => {
    const task = countTask();
    hub.send(task);
    hub.send(task);
    await hub.answerTo(task.taskId);
    await reached(task, 'delivered');
    hub.send(task);
    const ofTask = () => hub.answers.filter(({ taskId }) => taskId === task.taskId);
    await hub.until(() => ofTask().length >= 2);
    assert.deepEqual(ofTask()[1], ofTask()[0]);
    const { records } = await site.as('governance').call(SITE_API.listAudit, { query: { limit: 1000 } });
    const performed = records.filter(({ object, action }) => object === task.taskId && action === 'task.answer');
    assert.equal(performed.length, 1);
  });

  it('that was changed, signed by another key, meant for another site, or is no task at all is rejected and recorded', async () => {
    const genuine = countTask();
    const envelope = hub.sign(genuine);
    const payload = Buffer.from(envelope.payload, 'base64').toString('utf8').replace('"clinic"', '"clinik"');
    const bad = [
      { ...envelope, payload: Buffer.from(payload).toString('base64') },
      signEnvelope({ payloadType: PAYLOAD_TYPES.task, payload: countTask(), keyPair: generateKeyPair() }),
      hub.sign(countTask({ siteId: newId('SiteId') })),
      signEnvelope({ payloadType: PAYLOAD_TYPES.task, payload: { ...genuine, command: 'rm' }, keyPair: hub.keyPair }),
      signEnvelope({ payloadType: PAYLOAD_TYPES.decision, payload: genuine, keyPair: hub.keyPair }),
    ];
    for (const one of bad) hub.sendRaw(one);
    const good = countTask();
    hub.send(good);
    await hub.answerTo(good.taskId);
    assert.equal(answered().has(genuine.taskId), false);
    const { records } = await site.as('governance').call(SITE_API.listAudit, { query: { limit: 1000 } });
    assert.equal(records.filter(({ action }) => action === 'task.reject').length, bad.length);
  });

  it('that was changed in the database while it waited is given up, on the record', async () => {
    const task = countTask();
    let tampered = false;
    hub.beforeAnswer = async (answer) => {
      if (answer.taskId !== task.taskId) return;
      if (!tampered) {
        const envelope = hub.sign(countTask({ dataset: 'another' }));
        const changed = { ...hub.sign(task), payload: envelope.payload };
        await site.db
          .updateTable('task')
          .set({ envelope: JSON.stringify(changed) })
          .where('task_id', '=', task.taskId)
          .execute();
        tampered = true;
      }
      throw new AppError('database.unavailable', 'Come back later.');
    };
    hub.send(task);
    await reached(task, 'cancelled');
    hub.beforeAnswer = async () => undefined;
    const { records } = await site.as('governance').call(SITE_API.listAudit, { query: { limit: 1000 } });
    const rejected = records.find(({ object, action }) => object === task.taskId && action === 'task.reject');
    assert.equal(rejected?.details['code'], 'envelope.rejected');
  });

  it('whose answer the hub does not want any more is given up, not sent for ever', async () => {
    const task = countTask();
    hub.beforeAnswer = async (answer) => {
      if (answer.taskId === task.taskId) throw new AppError('not-found', 'No such task.');
    };
    hub.send(task);
    await reached(task, 'cancelled');
    hub.beforeAnswer = async () => undefined;
    const { tasks } = await site.as('data-engineer').call(SITE_API.listActivity, {});
    assert.equal(tasks.find(({ taskId }) => taskId === task.taskId)?.state, 'cancelled');
  });
});

describe('a blob', () => {
  it('that breaks off on the way down goes on where it stopped and is checked as a whole', async () => {
    const bytes = Buffer.from(Array.from({ length: 300_000 }, (_, index) => (index * 31 + (index >> 8)) & 255));
    const digest = sha256(bytes);
    const store = await openBlobStore({ dir: path.join(dir, 'down'), freeBytesMin: 0 });
    const starts: number[] = [];
    const outbound = {
      async readBlob(_digest: unknown, { start }: { start: number }) {
        starts.push(start);
        const { Readable } = await import('node:stream');
        const broken = async function* () {
          yield bytes.subarray(start, start + 100_000);
          if (start + 100_000 < bytes.length) throw new AppError('peer.unreachable', 'The line broke.');
        };
        return { status: 200, headers: {}, body: Readable.from(broken()) };
      },
    };
    const signal = new AbortController().signal;
    await downloadBlob(outbound as never, store, { digest, sizeBytes: bytes.length, signal });
    assert.deepEqual(starts, [0, 100_000, 200_000]);
    assert.deepEqual(await store.readAll(digest, bytes.length), bytes);
  });

  it('whose bytes are not those of its name is not kept', async () => {
    const store = await openBlobStore({ dir: path.join(dir, 'wrong'), freeBytesMin: 0 });
    const outbound = {
      async readBlob() {
        const { Readable } = await import('node:stream');
        return { status: 200, headers: {}, body: Readable.from([Buffer.from('something else')]) };
      },
    };
    const wanted = { digest: sha256('what was asked'), sizeBytes: 14, signal: new AbortController().signal };
    await assert.rejects(downloadBlob(outbound as never, store, wanted), { code: 'input.digest-mismatch' });
    assert.equal(await store.has(wanted.digest), false);
  });

  it('on its way up goes on from what the hub already has', async () => {
    const bytes = Buffer.from('the quick brown fox jumps over the lazy dog');
    const store = await openBlobStore({ dir: path.join(dir, 'up'), freeBytesMin: 0 });
    const { digest, sizeBytes } = await store.put(bytes);
    const parts: { offset: number; text: string }[] = [];
    const outbound = {
      call: async () => ({ offset: 10, complete: false }),
      async appendUpload(_digest: unknown, { offset, body }: { offset: number; body: Uint8Array }) {
        parts.push({ offset, text: Buffer.from(body).toString() });
        return { offset: offset + body.length, complete: true };
      },
    };
    await uploadBlob(outbound as never, store, { digest, sizeBytes, signal: new AbortController().signal });
    assert.deepEqual(parts, [{ offset: 10, text: 'brown fox jumps over the lazy dog' }]);
  });
});
