import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { COMMON_API, createApiClient, HUB_ROLES, type HubRole } from '@lantern/contract';
import { openAuditHead, readAudit } from '../audit/audit-log.ts';
import { verifyAudit } from '../audit/audit-verifier.ts';
import { auditRoutes } from '../audit/routes.ts';
import { systemClock } from '../clock.ts';
import { createHttpClient } from '../http/client.ts';
import { assertRouteAuthorisation } from '../http/route-authorisation-check.ts';
import { createHttpServer, type HttpServer } from '../http/server.ts';
import { generateKeyPair } from '../identity/key-pair.ts';
import { migrateService } from '../identity/service-migrations.ts';
import { createLogger } from '../log.ts';
import { createMetrics } from '../metrics.ts';
import type { Database } from '../postgres/database.ts';
import { openTestDatabase } from '../postgres/test-database.ts';
import { type Accounts, createAccounts } from './accounts.ts';
import { createPasswordHasher } from './password.ts';
import { accountRoutes } from './routes.ts';

const PASSWORD = 'correct horse battery';
const keyPair = generateKeyPair();

describe('the account and audit operations', () => {
  let db: Database;
  let accounts: Accounts;
  let server: HttpServer;
  let url: string;
  const tokens: Record<string, string> = {};
  const metrics = createMetrics('test');

  before(async () => {
    db = await openTestDatabase('account-routes');
    await migrateService(db);
    const clock = systemClock;
    accounts = createAccounts({
      db,
      clock,
      roles: HUB_ROLES,
      passwords: createPasswordHasher({ n: 1024, r: 8, p: 1 }),
    });
    server = await createHttpServer({
      routes: [
        ...accountRoutes({ accounts, db, clock, roles: HUB_ROLES }),
        ...auditRoutes({ db, keyPair, clock, readers: ['admin', 'viewer'] }),
      ],
      authenticators: { token: accounts.authenticate },
      log: createLogger({ name: 'test', level: 'silent' }),
      metrics,
      clock,
      title: 'Hub',
      version: '1',
    });
    url = await server.listen({ host: '127.0.0.1', port: 0 });
    for (const role of HUB_ROLES) {
      await accounts.createUser({ name: `only-${role}`, password: PASSWORD, roles: [role] });
      tokens[role] = (
        await callAs().call(COMMON_API.signIn, { body: { name: `only-${role}`, password: PASSWORD } })
      ).token;
    }
  });
  after(async () => {
    await server.close();
    await metrics.close();
    await db.close();
  });

  const callAs = (role?: HubRole) => {
    const token = role === undefined ? undefined : tokens[role];
    const options = { baseUrl: url, clock: systemClock, ...(token === undefined ? {} : { token }) };
    return createApiClient(createHttpClient(options).transport);
  };
  const audited = async () => (await callAs('admin').call(COMMON_API.listAudit, { query: { limit: 1000 } })).records;

  test('answer every credential as they declare', async () => {
    assert.equal(await assertRouteAuthorisation({ server, url, tokensByRole: tokens }), (7 + 2 + 4) * 5);
  });

  test('let an administrator make an account, which then signs in, and write both down', async () => {
    const body = { name: 'ines', password: PASSWORD, roles: ['researcher'] };
    const user = await callAs('admin').call(COMMON_API.createUser, { body });
    const { roles } = await callAs().call(COMMON_API.signIn, { body: { name: 'ines', password: PASSWORD } });
    assert.deepEqual(roles, ['researcher']);
    const [created, signedIn] = (await audited()).filter(({ object }) => object === user.userId);
    assert.deepEqual(created?.details, { name: 'ines', roles: 'researcher' });
    assert.deepEqual([created?.action, created?.outcome], ['account.create', 'success']);
    assert.deepEqual([signedIn?.action, signedIn?.actor], ['session.sign-in', user.userId]);
    await assert.rejects(callAs('admin').call(COMMON_API.createUser, { body }), { code: 'conflict' });
  });

  test('limit guesses at a name by where they come from: over the wire it is one network', async () => {
    await accounts.createUser({ name: 'wired', password: PASSWORD, roles: ['viewer'] });
    const signIn = (password: string) => callAs().call(COMMON_API.signIn, { body: { name: 'wired', password } });
    for (let index = 0; index < 10; index += 1) await assert.rejects(signIn(`x${index}`), { code: 'auth.rejected' });
    await assert.rejects(signIn(PASSWORD), { code: 'auth.rate-limited' });
    const { rows } = await db.pool.query("SELECT address FROM sign_in_attempt WHERE name = 'wired'");
    assert.deepEqual(rows, [{ address: '127.0.0.1' }]);
    assert.equal((await accounts.signIn({ name: 'wired', password: PASSWORD }, '192.0.2.7')).kind, 'signed-in');
  });

  test('write down a refused sign-in, but never what was typed for a name that no account has', async () => {
    const typed = 'hunter2hunter2';
    await assert.rejects(callAs().call(COMMON_API.signIn, { body: { name: typed, password: 'x' } }), {
      code: 'auth.rejected',
    });
    await assert.rejects(callAs().call(COMMON_API.signIn, { body: { name: 'only-viewer', password: 'x' } }), {
      code: 'auth.rejected',
    });
    const refused = (await audited()).filter(({ outcome }) => outcome === 'refused');
    const viewer = (await accounts.listUsers()).find(({ name }) => name === 'only-viewer');
    assert.deepEqual(refused.map(({ object }) => object).slice(-2), ['unknown account', viewer?.userId]);
    assert.ok(!JSON.stringify(await audited()).includes(typed));
  });

  test('give a token with fewer roles, and an account that is disabled none', async () => {
    const leaver = await accounts.createUser({ name: 'leaver', password: PASSWORD, roles: ['admin', 'viewer'] });
    const session = await callAs().call(COMMON_API.signIn, { body: { name: 'leaver', password: PASSWORD } });
    const own = createApiClient(createHttpClient({ baseUrl: url, clock: systemClock, token: session.token }).transport);
    const made = await own.call(COMMON_API.createToken, { body: { roles: ['viewer'], expiresInDays: 7 } });
    assert.deepEqual((await accounts.authenticate(made.token))?.roles, ['viewer']);
    const daysLeft = (Date.parse(made.expiresAt) - Date.now()) / 86_400_000;
    assert.ok(daysLeft > 6.99 && daysLeft < 7.01, String(daysLeft));
    const disabled = await callAs('admin').call(COMMON_API.disableUser, { params: { userId: leaver.userId } });
    assert.equal(disabled.disabled, true);
    await assert.rejects(own.call(COMMON_API.listUsers, {}), { code: 'auth.rejected' });
  });

  test('let anybody sign out: the token stops working at once, which is written down once', async () => {
    const body = { name: 'omar', password: PASSWORD, roles: ['viewer'] };
    const { userId } = await callAs('admin').call(COMMON_API.createUser, { body });
    const { token } = await callAs().call(COMMON_API.signIn, { body: { name: 'omar', password: PASSWORD } });
    const own = createApiClient(createHttpClient({ baseUrl: url, clock: systemClock, token }).transport);
    assert.deepEqual(await own.call(COMMON_API.revokeToken, { body: { token: 'lantern_of-nobody' } }), {
      revoked: false,
    });
    assert.deepEqual(await own.call(COMMON_API.revokeToken, { body: { token } }), { revoked: true });
    await assert.rejects(own.call(COMMON_API.revokeToken, { body: { token } }), { code: 'auth.rejected' });
    const records = (await audited()).filter(({ action }) => action === 'token.revoke');
    assert.deepEqual(
      records.map(({ actor, object }) => [actor, object]),
      [[userId, userId]],
    );
  });

  test('let anybody change the own password, with the old one, and write down that it was changed and not to what', async () => {
    const body = { name: 'nora', password: PASSWORD, roles: ['viewer'] };
    const { userId } = await callAs('admin').call(COMMON_API.createUser, { body });
    const signIn = (password: string) => callAs().call(COMMON_API.signIn, { body: { name: 'nora', password } });
    const [here, elsewhere] = [await signIn(PASSWORD), await signIn(PASSWORD)];
    const clientOf = (token: string) =>
      createApiClient(createHttpClient({ baseUrl: url, clock: systemClock, token }).transport);
    const change = (oldPassword: string, newPassword: string) =>
      clientOf(here.token).call(COMMON_API.changePassword, { body: { oldPassword, newPassword } });
    const secret = 'staple of a new battery';
    await assert.rejects(change('not the old one', secret), { code: 'input.invalid', field: '/oldPassword' });
    await assert.rejects(change(PASSWORD, 'short'), { code: 'input.invalid', field: '/newPassword' });
    await assert.rejects(change(PASSWORD, PASSWORD), { code: 'input.invalid', field: '/newPassword' });
    assert.deepEqual(await change(PASSWORD, secret), { revokedTokenCount: 1 });
    await assert.rejects(signIn(PASSWORD), { code: 'auth.rejected' });
    await signIn(secret);
    assert.equal((await accounts.authenticate(here.token))?.name, 'nora', 'the session that asked goes on');
    assert.equal(await accounts.authenticate(elsewhere.token), undefined);
    const records = (await audited()).filter(({ action }) => action === 'account.change-password');
    assert.deepEqual(
      records.map(({ actor, object, outcome }) => [actor, object, outcome]),
      ['refused', 'success'].map((outcome) => [userId, userId, outcome]),
    );
    assert.ok(!JSON.stringify(await audited()).includes(secret));
  });

  test('read the log page by page and sign its head', async () => {
    const all = await audited();
    const page = await callAs('viewer').call(COMMON_API.listAudit, { query: { after: 2, limit: 3 } });
    assert.deepEqual(page.records, all.slice(2, 5));
    const head = await callAs('viewer').call(COMMON_API.auditHead, {});
    assert.equal(openAuditHead(head.envelope, keyPair).hash, head.hash);
    assert.equal((await verifyAudit(db, [head])).ok, true);
  });

  test('leave their durations in the metrics, by route pattern', async () => {
    const response = await fetch(`${url}/metrics`, { headers: { authorization: `Bearer ${tokens['admin']}` } });
    const text = await response.text();
    assert.match(
      text,
      /http_server_request_duration\w*_count\{[^}]*http_route="\/api\/v1\/users\/:userId\/disable"[^}]*\} [1-9]/,
    );
    assert.ok(!text.includes('user_'));
  });
});

describe('a vouched role', () => {
  test('is given by an administrator while nobody has it, then by those who have it, and again when they are disabled', async () => {
    const db = await openTestDatabase('vouched-roles');
    await migrateService(db);
    const clock = systemClock;
    const roles = ['admin', 'governance', 'clinician'];
    const accounts = createAccounts({ db, clock, roles, passwords: createPasswordHasher({ n: 1024, r: 8, p: 1 }) });
    const metrics = createMetrics('test');
    const server = await createHttpServer({
      routes: accountRoutes({ accounts, db, clock, roles, vouchedRoles: ['governance'] }),
      authenticators: { token: accounts.authenticate },
      log: createLogger({ name: 'test', level: 'silent' }),
      metrics,
      clock,
      title: 'Site',
      version: '1',
    });
    const url = await server.listen({ host: '127.0.0.1', port: 0 });
    const api = (token?: string) =>
      createApiClient(createHttpClient({ baseUrl: url, clock, ...(token === undefined ? {} : { token }) }).transport);
    const add = (token: string, name: string, given: string[]) =>
      api(token).call(COMMON_API.createUser, { body: { name, password: PASSWORD, roles: given } });
    try {
      const root = { name: 'root', roles: ['admin'], expiresInMs: 60_000 };
      const { token: admin } = await db.transaction((tx) => accounts.createTokenAccount(root, tx));
      const races = await Promise.allSettled(['grace', 'greta'].map((name) => add(admin, name, ['governance'])));
      const first = races.flatMap((race) => (race.status === 'fulfilled' ? [race.value] : []));
      assert.equal(first.length, 1, 'of two at once, one is the first');
      const [lead] = first;
      assert.ok(lead !== undefined);
      await assert.rejects(add(admin, 'own-lead', ['governance']), { code: 'auth.forbidden', field: '/roles' });
      const { token } = await api().call(COMMON_API.signIn, { body: { name: lead.name, password: PASSWORD } });
      await add(token, 'second', ['governance']);
      await assert.rejects(add(token, 'helper', ['clinician']), { code: 'auth.forbidden' });
      const { users } = await api(token).call(COMMON_API.listUsers, {});
      assert.deepEqual(users.map(({ name }) => name).sort(), [lead.name, 'root', 'second'].sort());
      for (const { userId, roles: held } of users) {
        if (held.includes('governance')) await api(admin).call(COMMON_API.disableUser, { params: { userId } });
      }
      await add(admin, 'successor', ['governance']);
      const records = await readAudit(db, { after: 0, limit: 100 });
      const made = records.filter(({ action }) => action === 'account.create').map(({ outcome }) => outcome);
      assert.deepEqual(made.sort(), ['refused', 'refused', 'refused', 'success', 'success', 'success']);
    } finally {
      await server.close();
      await metrics.close();
      await db.close();
    }
  });
});
