import assert from 'node:assert/strict';
import { chmod, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { createServer as createHttpServer } from 'node:http';
import { createServer } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { AppError } from '@lantern/contract';
import { checkDisk, checkFolder, checkNode, checkPort } from './checks.ts';
import { checkHub, checkKey, clockFinding, keyFinding } from './hub-checks.ts';
import { checkServer } from './server-check.ts';

describe('the doctor', () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(path.join(os.tmpdir(), 'lantern-doctor-'));
  });
  after(async () => {
    await chmod(folder, 0o700);
    await rm(folder, { recursive: true });
  });

  it('knows a Node.js that is too old', () => {
    assert.equal(checkNode('v24.1.0').verdict, 'good');
    assert.equal(checkNode('v22.23.0').verdict, 'bad');
  });

  it('says that a port is taken, and by whom it is not', async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    assert.ok(typeof address === 'object' && address !== null);
    const taken = await checkPort(address.port, '127.0.0.1');
    assert.equal(taken.verdict, 'bad');
    assert.match(taken.says, /another program listens there/);
    await new Promise((resolve) => server.close(resolve));
    assert.equal((await checkPort(address.port, '127.0.0.1')).verdict, 'good');
    assert.match((await checkPort(1, '192.0.2.1')).says, /does not have that address/);
  });

  it('takes a folder that is not there for a spelling mistake, unless it shall be new', async () => {
    const missing = path.join(folder, 'not', 'there', 'yet');
    const typo = await checkFolder(missing);
    assert.equal(typo.verdict, 'bad');
    assert.match(typo.says, /does not exist/);
    assert.match(typo.fix ?? '', /spelling/);
    const fresh = await checkFolder(missing, { isNew: true });
    assert.equal(fresh.verdict, 'good');
    assert.match(fresh.says, /can be made/);
    assert.match((await checkFolder(folder)).says, /is there and writable/);
  });

  it('says of a place where the system makes no folder that none can be made', {
    skip: process.platform !== 'linux' && 'only Linux has /proc',
  }, async () => {
    for (const dataDir of ['/proc/foo', '/proc/foo/below', '/proc']) {
      const finding = await checkFolder(dataDir, { isNew: true });
      assert.equal(finding.verdict, 'bad', finding.says);
      assert.match(finding.says, /^\/proc takes no new file or folder \(ENOENT\)\.$/);
      assert.match(finding.fix ?? '', /--data/);
    }
  });

  it('leaves nothing where it tried whether a folder can be made', async () => {
    const place = await mkdtemp(path.join(folder, 'place-'));
    assert.match((await checkFolder(path.join(place, 'new'), { isNew: true })).says, /can be made/);
    assert.match((await checkFolder(place)).says, /is there and writable/);
    assert.deepEqual(await readdir(place), []);
  });

  it('says how much room the disk has', async () => {
    assert.match((await checkDisk(folder)).says, /GiB free/);
  });

  it('says when this user may not write to the folder', async (t) => {
    if (process.getuid?.() === 0) {
      t.skip('root may write everywhere, so the refusal cannot be provoked');
      return;
    }
    await chmod(folder, 0o500);
    assert.equal((await checkFolder(path.join(folder, 'data'))).verdict, 'bad');
  });

  it('says that nothing runs on a folder, and that a server which left its address does not answer', async () => {
    const silent = path.join(folder, 'silent');
    await mkdir(silent);
    const never = await checkServer(silent);
    assert.equal(never.verdict, 'bad');
    assert.match(never.says, /No hub or site has run/);
    await writeFile(path.join(silent, 'admin.token'), 'x');
    assert.match((await checkServer(silent)).says, /Nothing runs/);
    await writeFile(path.join(silent, 'server.json'), '{"url":"http://127.0.0.1:1"}');
    const gone = await checkServer(silent);
    assert.equal(gone.verdict, 'bad');
    assert.match(gone.says, /127\.0\.0\.1:1 does not answer/);
  });

  it('compares clocks and says which way and how far', () => {
    const now = Date.parse('2026-03-01T12:00:00Z');
    assert.equal(clockFinding(new Date(now - 5000), now).verdict, 'good');
    const ahead = clockFinding(new Date(now - 7_200_000), now);
    assert.equal(ahead.verdict, 'bad');
    assert.match(ahead.says, /7200 s ahead of the hub's/);
    assert.match(clockFinding(new Date(now + 90_000), now).says, /90 s behind/);
    assert.equal(clockFinding(undefined, now).verdict, 'skip');
  });

  it('says that a hub does not answer, with what to look at', async () => {
    const [finding] = await checkHub('http://127.0.0.1:1');
    assert.equal(finding?.verdict, 'bad');
    assert.match(finding?.fix ?? '', /proxy/);
  });

  it('does not ask a hub for a site that has not joined one', async () => {
    const [finding] = await checkKey(folder);
    assert.equal(finding?.verdict, 'skip');
  });

  it('says that the key of a joined site is gone or spoilt, and makes none in its place', async () => {
    const site = path.join(folder, 'site');
    await mkdir(site);
    const hub = createHttpServer((_, response) => response.end('{}'));
    await new Promise<void>((resolve) => hub.listen(0, '127.0.0.1', resolve));
    const address = hub.address();
    assert.ok(typeof address === 'object' && address !== null);
    const link = {
      ...{ schema: 'lantern.hub-link/1', hubUrl: `http://127.0.0.1:${address.port}`, hubName: 'hub' },
      ...{ hubPublicKeyPem: 'x', siteId: 'site_aaaaaaaaaaaaaaaaaaaaaaaa', siteName: 'site' },
      joinedAt: '2026-03-01T12:00:00.000Z',
    };
    await writeFile(path.join(site, 'hub-link.json'), JSON.stringify(link), { mode: 0o600 });
    const gone = (await checkKey(site)).at(-1);
    assert.equal(gone?.verdict, 'bad');
    assert.match(gone?.says ?? '', /site\.key\) is gone/);
    assert.deepEqual(await readdir(site), ['hub-link.json']);
    await writeFile(path.join(site, 'site.key'), 'no key', { mode: 0o600 });
    const spoilt = (await checkKey(site)).at(-1);
    assert.match(spoilt?.says ?? '', /not a private key/);
    await new Promise((resolve) => hub.close(resolve));
    await writeFile(path.join(site, 'hub-link.json'), '{');
    const [cut] = await checkKey(site);
    assert.match(cut?.says ?? '', /hub-link\.json is not JSON/);
    assert.match(cut?.fix ?? '', /backup/);
  });

  it('takes neither a word nor too great a number for a port, nor a file for a folder', async () => {
    for (const port of [Number.NaN, 65_536, -1, 1.5])
      assert.match((await checkPort(port, '127.0.0.1')).says, /no port/);
    const file = path.join(folder, 'a-file');
    await writeFile(file, '');
    for (const isNew of [true, false]) assert.match((await checkFolder(file, { isNew })).says, /a file, not a folder/);
  });

  it("passes on why the hub refuses the site's key, with what to do", () => {
    const finding = keyFinding(new AppError('site.revoked', 'This site was revoked.'));
    assert.match(finding.says, /revoked/);
    assert.match(finding.fix ?? '', /hub administrator/);
  });
});
