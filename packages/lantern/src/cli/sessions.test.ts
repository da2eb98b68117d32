import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { after, before, beforeEach, describe, it } from 'node:test';
import { connect } from './connection.ts';
import { listSessions, removeSession, saveSession } from './sessions.ts';

const SITE = 'http://127.0.0.1:8701';
const LATER = '2099-01-01T00:00:00.000Z';

describe('the sessions of a person', () => {
  let home: string;
  let env: Record<string, string>;
  before(async () => {
    home = await mkdtemp(path.join(os.tmpdir(), 'lantern-home-'));
  });
  after(() => rm(home, { recursive: true }));
  beforeEach(async () => {
    await rm(path.join(home, '.config'), { recursive: true, force: true });
    env = { HOME: home };
  });
  const names = async (url = SITE) => (await listSessions(env, url)).map(({ name }) => name);

  it('lie in a file that only their owner may read, one per server, the newest first', async () => {
    assert.deepEqual(await names(), []);
    await saveSession(env, SITE, { name: 'grace', token: 't1', expiresAt: LATER });
    await saveSession(env, `${SITE}/`, { name: 'dora', token: 't2', expiresAt: LATER });
    await saveSession(env, 'http://127.0.0.1:8700', { name: 'rosa', token: 't3', expiresAt: LATER });
    assert.deepEqual(await names(), ['dora', 'grace']);
    assert.deepEqual(await names('http://127.0.0.1:8700'), ['rosa']);
    const folder = path.join(home, '.config', 'lantern');
    for (const file of await readdir(folder)) assert.equal((await stat(path.join(folder, file))).mode & 0o777, 0o600);
    assert.equal((await stat(folder)).mode & 0o777, 0o700);
  });

  it('are replaced by a new one of the same name and leave no file behind the last', async () => {
    for (const token of ['old', 'new']) await saveSession(env, SITE, { name: 'grace', token, expiresAt: LATER });
    assert.deepEqual(
      (await listSessions(env, SITE)).map(({ token }) => token),
      ['new'],
    );
    await removeSession(env, SITE, 'grace');
    assert.deepEqual(await names(), []);
    assert.deepEqual(await readdir(path.join(home, '.config', 'lantern')), []);
  });

  it('go to XDG_CONFIG_HOME where that is set, and need one of the two', async () => {
    const elsewhere = { XDG_CONFIG_HOME: path.join(home, 'elsewhere') };
    await saveSession(elsewhere, SITE, { name: 'grace', token: 't', expiresAt: LATER });
    assert.equal((await readdir(path.join(home, 'elsewhere', 'lantern'))).length, 1);
    await assert.rejects(saveSession({}, SITE, { name: 'grace', token: 't', expiresAt: LATER }), {
      code: 'config.invalid',
    });
  });

  it('that ended are said to have, instead of acting as the administrator; one that is named must be there', async () => {
    const data = path.join(home, 'site-data');
    await rm(data, { recursive: true, force: true });
    await writeFile(path.join(home, 'admin.token'), 'token of the administrator');
    const options = { url: SITE, data: home };
    (await connect(options, env)).http.close();
    await saveSession(env, SITE, { name: 'grace', token: 't', expiresAt: '2020-01-01T00:00:00.000Z' });
    await assert.rejects(connect(options, env), { code: 'auth.rejected', message: /session of grace ended/ });
    (await connect({ ...options, as: 'admin' }, env)).http.close();
    await assert.rejects(connect({ ...options, as: 'dora' }, env), {
      code: 'auth.missing',
      message: /dora is not signed/,
    });
  });
});
