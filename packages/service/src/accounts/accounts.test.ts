import assert from 'node:assert/strict';
import { chmod, mkdtemp, readFile, rm, stat, unlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { AppError, HUB_ROLES } from '@lantern/contract';
import { manualClock } from '../clock.ts';
import { sha256 } from '../identity/digest.ts';
import { migrateService } from '../identity/service-migrations.ts';
import type { Database } from '../postgres/database.ts';
import { openTestDatabase } from '../postgres/test-database.ts';
import { createAccounts, SESSION_MS, TOKEN_MS_MAX } from './accounts.ts';
import { bootstrapAdmin } from './bootstrap-admin.ts';
import { createPasswordHasher } from './password.ts';

const START = '2026-03-01T08:00:00Z';
const DAY_MS = 86_400_000;
const HOUR_MS = 3_600_000;
const PASSWORD = 'correct horse battery';
const CHEAP = { n: 2 ** 10, r: 8, p: 1 }; // the tests are about the rules; the cost has its own test

let db: Database;
before(async () => {
  db = await openTestDatabase('accounts');
  await migrateService(db);
});
after(() => db.close());

function setUp() {
  const clock = manualClock(START);
  return { clock, accounts: createAccounts({ db, clock, roles: HUB_ROLES, passwords: createPasswordHasher(CHEAP) }) };
}

async function signedIn(accounts: ReturnType<typeof setUp>['accounts'], name: string) {
  const result = await accounts.signIn({ name, password: PASSWORD });
  assert.ok(result.kind === 'signed-in');
  return result;
}

describe('an account', () => {
  test('signs in with its password and is recognised by its token for 12 hours', async () => {
    const { accounts, clock } = setUp();
    const user = await accounts.createUser({ name: 'rosa', password: PASSWORD, roles: ['researcher', 'viewer'] });
    const { token, userId } = await signedIn(accounts, 'rosa');
    assert.equal(userId, user.userId);
    assert.equal(token.expiresAt, new Date(Date.parse(START) + SESSION_MS).toISOString());
    const principal = { userId: user.userId, name: 'rosa', roles: ['researcher', 'viewer'] };
    assert.deepEqual(await accounts.authenticate(token.token), principal);
    clock.advanceMs(SESSION_MS - 1);
    assert.deepEqual(await accounts.authenticate(token.token), principal);
    clock.advanceMs(1);
    assert.equal(await accounts.authenticate(token.token), undefined);
  });

  test('is refused with a wrong password, an unknown name or none, and the answer does not say which', async () => {
    const { accounts } = setUp();
    await accounts.createUser({ name: 'emil', password: PASSWORD, roles: ['viewer'] });
    for (const [name, password] of [
      ['emil', `${PASSWORD}s`],
      ['emil', PASSWORD.toUpperCase()],
      ['nobody', PASSWORD],
      ['EMIL', PASSWORD],
    ] as const) {
      assert.equal((await accounts.signIn({ name, password })).kind, 'rejected', `${name}`);
    }
  });

  test('keeps neither password nor token in the database', async () => {
    const { accounts } = setUp();
    await accounts.createUser({ name: 'vault', password: PASSWORD, roles: ['viewer'] });
    const { token } = await signedIn(accounts, 'vault');
    const rows = await db.pool.query(
      'SELECT account::text AS a, account_token::text AS t FROM account JOIN account_token USING (user_id)',
    );
    const text = JSON.stringify(rows.rows);
    assert.ok(!text.includes(PASSWORD) && !text.includes(token.token.slice(8)));
    assert.ok(text.includes(sha256(token.token)) && text.includes('scrypt$1024$8$1$'));
  });

  test('with a name that is taken, an unknown role or a short password is not made', async () => {
    const { accounts } = setUp();
    await accounts.createUser({ name: 'taken', password: PASSWORD, roles: ['viewer'] });
    const make = (change: object) =>
      accounts.createUser({ name: 'fresh', password: PASSWORD, roles: ['viewer'], ...change });
    await assert.rejects(make({ name: 'taken' }), { code: 'conflict', field: '/name' });
    await assert.rejects(make({ roles: ['clinician'] }), { code: 'input.invalid', field: '/roles' });
    await assert.rejects(make({ password: 'short' }), { code: 'input.invalid', field: '/password' });
    await assert.rejects(make({ name: 'Upper' }), { code: 'input.invalid', field: '/name' });
    assert.ok((await accounts.listUsers()).every(({ name }) => name !== 'fresh'));
  });

  test('that is made in a transaction which fails is not there', async () => {
    const { accounts } = setUp();
    const failing = db.transaction(async (tx) => {
      await accounts.createUser({ name: 'ghost', password: PASSWORD, roles: ['viewer'] }, tx);
      throw new RangeError('the rest failed');
    });
    await assert.rejects(failing, RangeError);
    assert.ok((await accounts.listUsers()).every(({ name }) => name !== 'ghost'));
  });

  test('that is disabled loses its tokens at once and cannot sign in', async () => {
    const { accounts } = setUp();
    const { userId } = await accounts.createUser({ name: 'leaver', password: PASSWORD, roles: ['admin'] });
    const { token } = await signedIn(accounts, 'leaver');
    assert.equal((await accounts.disableUser(userId)).disabled, true);
    assert.equal(await accounts.authenticate(token.token), undefined);
    assert.equal((await accounts.signIn({ name: 'leaver', password: PASSWORD })).kind, 'rejected');
    await assert.rejects(accounts.disableUser('user_aaaaaaaaaaaaaaaaaaaaaaaa' as never), { code: 'not-found' });
  });

  test('whose roles change has the new ones on its existing tokens at once', async () => {
    const { accounts } = setUp();
    const { userId } = await accounts.createUser({ name: 'mover', password: PASSWORD, roles: ['admin', 'viewer'] });
    const session = (await signedIn(accounts, 'mover')).token.token;
    const maker = await accounts.authenticate(session);
    assert.ok(maker !== undefined);
    const token = (await accounts.createToken(maker, { roles: ['admin', 'viewer'], expiresInMs: DAY_MS })).token;
    await accounts.changeRoles(userId, ['viewer', 'researcher']);
    assert.deepEqual((await accounts.authenticate(session))?.roles, ['viewer', 'researcher']);
    assert.deepEqual((await accounts.authenticate(token))?.roles, ['viewer'], 'a token is never widened');
    await assert.rejects(accounts.changeRoles(userId, ['root']), { code: 'input.invalid' });
  });
});

describe('a new password', () => {
  const NEW_PASSWORD = 'staple of a new battery';
  const change = { oldPassword: PASSWORD, newPassword: NEW_PASSWORD };

  async function holderOf(accounts: ReturnType<typeof setUp>['accounts'], name: string) {
    const { token } = (await signedIn(accounts, name)).token;
    const holder = await accounts.authenticate(token);
    assert.ok(holder !== undefined);
    return { holder, keptToken: token };
  }

  test('ends every other token of its account, sessions and API tokens, and no token of another', async () => {
    const { accounts } = setUp();
    await accounts.createUser({ name: 'changer', password: PASSWORD, roles: ['viewer'] });
    await accounts.createUser({ name: 'bystander', password: PASSWORD, roles: ['viewer'] });
    const { holder, keptToken } = await holderOf(accounts, 'changer');
    const session = (await signedIn(accounts, 'changer')).token.token;
    const { token } = await accounts.createToken(holder, { roles: ['viewer'], expiresInMs: DAY_MS });
    const bystander = (await signedIn(accounts, 'bystander')).token.token;
    assert.deepEqual(await accounts.changePassword(holder, { ...change, keptToken }), {
      kind: 'changed',
      revokedTokenCount: 2,
    });
    const alive = await Promise.all([keptToken, session, token, bystander].map((one) => accounts.authenticate(one)));
    assert.deepEqual(
      alive.map((principal) => principal?.name),
      ['changer', undefined, undefined, 'bystander'],
    );
    assert.equal((await accounts.signIn({ name: 'changer', password: PASSWORD })).kind, 'rejected');
    assert.equal((await accounts.signIn({ name: 'changer', password: NEW_PASSWORD })).kind, 'signed-in');
  });

  test('is not set without the old one, whose guesses count as attempts to sign in', async () => {
    const { accounts } = setUp();
    await accounts.createUser({ name: 'robbed', password: PASSWORD, roles: ['viewer'] });
    const { holder, keptToken } = await holderOf(accounts, 'robbed');
    for (let index = 0; index < 10; index += 1) {
      const guess = { ...change, oldPassword: `a guess ${index}`, keptToken };
      assert.deepEqual(await accounts.changePassword(holder, guess), { kind: 'rejected' });
    }
    await assert.rejects(accounts.changePassword(holder, { ...change, keptToken }), { code: 'auth.rate-limited' });
  });

  test('is not set for an account that signs in by token alone, nor for one that was disabled', async () => {
    const { accounts } = setUp();
    const account = { name: 'program', roles: ['viewer'], expiresInMs: DAY_MS };
    const { token: keptToken } = await db.transaction((tx) => accounts.createTokenAccount(account, tx));
    const program = await accounts.authenticate(keptToken);
    assert.ok(program !== undefined);
    assert.deepEqual(await accounts.changePassword(program, { ...change, keptToken }), { kind: 'rejected' });
    const { userId } = await accounts.createUser({ name: 'dismissed', password: PASSWORD, roles: ['viewer'] });
    const dismissed = await holderOf(accounts, 'dismissed');
    await accounts.disableUser(userId);
    const { holder } = dismissed;
    const late = { ...change, keptToken: dismissed.keptToken };
    assert.deepEqual(await accounts.changePassword(holder, late), { kind: 'rejected' });
  });

  test('set twice at once is set once', async () => {
    const { accounts } = setUp();
    await accounts.createUser({ name: 'hasty', password: PASSWORD, roles: ['viewer'] });
    const { holder, keptToken } = await holderOf(accounts, 'hasty');
    const both = ['a first new password', 'a second new password'].map((newPassword) =>
      accounts.changePassword(holder, { oldPassword: PASSWORD, newPassword, keptToken }),
    );
    assert.deepEqual((await Promise.all(both)).map(({ kind }) => kind).sort(), ['changed', 'rejected']);
  });

  test('leaves no session behind that is being made from the old one at that moment', async () => {
    const { accounts } = setUp();
    await accounts.createUser({ name: 'raced', password: PASSWORD, roles: ['viewer'] });
    const { holder, keptToken } = await holderOf(accounts, 'raced');
    const changed = Promise.withResolvers<void>();
    const committed = Promise.withResolvers<void>();
    const change1 = db.transaction(async (tx) => {
      await accounts.changePassword(holder, { ...change, keptToken }, tx);
      changed.resolve();
      await committed.promise;
    });
    await changed.promise;
    const late = accounts.signIn({ name: 'raced', password: PASSWORD }); // sees the old password until the change commits
    await waitingForLock();
    committed.resolve();
    await change1;
    assert.equal((await late).kind, 'rejected');
  });

  test('leaves no token behind that is being made at that moment by one that it ends', async () => {
    const { accounts } = setUp();
    await accounts.createUser({ name: 'spied-on', password: PASSWORD, roles: ['viewer'] });
    const { holder, keptToken } = await holderOf(accounts, 'spied-on');
    const { holder: thief, keptToken: presentedToken } = await holderOf(accounts, 'spied-on');
    const changed = Promise.withResolvers<void>();
    const committed = Promise.withResolvers<void>();
    const changing = db.transaction(async (tx) => {
      await accounts.changePassword(holder, { ...change, keptToken }, tx);
      changed.resolve();
      await committed.promise;
    });
    await changed.promise;
    const make = (token: string) =>
      accounts.createToken(thief, { roles: ['viewer'], expiresInMs: DAY_MS, presentedToken: token });
    const late = make(presentedToken); // was recognised before the change commits
    const outcome = late.then(
      () => 'made',
      (error: unknown) => (error instanceof AppError ? error.code : error),
    );
    await waitingForLock();
    committed.resolve();
    await changing;
    assert.equal(await outcome, 'auth.rejected');
    await assert.rejects(make(presentedToken), { code: 'auth.rejected' });
    assert.ok(await accounts.authenticate((await make(keptToken)).token));
  });

  /** Until some statement of this database waits for a row that another transaction holds. */
  async function waitingForLock(): Promise<void> {
    const waiting = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    while ((await db.pool.query(waiting)).rowCount === 0) await new Promise((resolve) => setImmediate(resolve));
  }
});

describe('a token', () => {
  test('has at most the roles its maker holds through the token he uses', async () => {
    const { accounts } = setUp();
    await accounts.createUser({ name: 'maker', password: PASSWORD, roles: ['admin', 'researcher'] });
    const maker = await accounts.authenticate((await signedIn(accounts, 'maker')).token.token);
    assert.ok(maker !== undefined);
    const narrow = await accounts.createToken(maker, { roles: ['researcher'], expiresInMs: DAY_MS });
    const holder = await accounts.authenticate(narrow.token);
    assert.deepEqual(holder?.roles, ['researcher']);
    assert.ok(holder !== undefined);
    await assert.rejects(accounts.createToken(holder, { roles: ['admin'], expiresInMs: DAY_MS }), {
      code: 'auth.forbidden',
    });
    await assert.rejects(accounts.createToken(maker, { roles: ['viewer'], expiresInMs: DAY_MS }), {
      code: 'auth.forbidden',
    });
  });

  test('lives for as long as was asked, a year at most, and not after it was revoked', async () => {
    const { accounts, clock } = setUp();
    await accounts.createUser({ name: 'lasting', password: PASSWORD, roles: ['viewer'] });
    const maker = await accounts.authenticate((await signedIn(accounts, 'lasting')).token.token);
    assert.ok(maker !== undefined);
    const make = (expiresInMs: number) => accounts.createToken(maker, { roles: ['viewer'], expiresInMs });
    for (const wrong of [0, -5, Number.NaN, TOKEN_MS_MAX + 1])
      await assert.rejects(make(wrong), { code: 'input.invalid' });
    const [short, long] = [await make(2 * HOUR_MS), await make(30 * DAY_MS)];
    clock.advanceMs(3 * HOUR_MS);
    assert.equal(await accounts.authenticate(short.token), undefined);
    assert.equal((await accounts.authenticate(long.token))?.name, 'lasting');
    assert.equal(await accounts.revokeToken(long.token), true);
    assert.equal(await accounts.authenticate(long.token), undefined);
    assert.equal(await accounts.revokeToken(long.token), false);
  });

  test('that was guessed or altered is nobody', async () => {
    const { accounts } = setUp();
    await accounts.createUser({ name: 'target', password: PASSWORD, roles: ['admin'] });
    const { token } = (await signedIn(accounts, 'target')).token;
    for (const wrong of ['', 'lantern_', token.slice(0, -1), `${token}=`, sha256(token), token.toUpperCase()]) {
      assert.equal(await accounts.authenticate(wrong), undefined);
    }
  });
});

describe('guessing', () => {
  test('is stopped after ten attempts per name, in parallel too, and forgotten after a quarter of an hour', async () => {
    const { accounts, clock } = setUp();
    await accounts.createUser({ name: 'guessed', password: PASSWORD, roles: ['viewer'] });
    const guesses = await Promise.allSettled(
      Array.from({ length: 14 }, (_, index) => accounts.signIn({ name: 'guessed', password: `wrong ${index}` })),
    );
    assert.equal(guesses.filter(({ status }) => status === 'fulfilled').length, 10);
    const right = () => accounts.signIn({ name: 'guessed', password: PASSWORD });
    await assert.rejects(right(), { code: 'auth.rate-limited' }, 'even the right password');
    assert.equal((await accounts.signIn({ name: 'somebody-else', password: PASSWORD })).kind, 'rejected');
    clock.advanceMs(15 * 60_000 + 1);
    assert.equal((await right()).kind, 'signed-in');
  });

  test('from one network keeps nobody of that name out elsewhere', async () => {
    const { accounts } = setUp();
    await accounts.createUser({ name: 'besieged', password: PASSWORD, roles: ['admin'] });
    const [guesser, home] = ['192.0.2.66', '192.0.2.7'];
    for (let index = 0; index < 30; index += 1) {
      await accounts.signIn({ name: 'besieged', password: `x${index}` }, guesser).catch(() => undefined);
    }
    const right = { name: 'besieged', password: PASSWORD };
    await assert.rejects(accounts.signIn(right, guesser), { code: 'auth.rate-limited' }, 'stopped where it comes from');
    assert.equal((await accounts.signIn(right, home)).kind, 'signed-in');
    await assert.rejects(
      accounts.signIn(right, guesser),
      { code: 'auth.rate-limited' },
      'a success elsewhere changes nothing',
    );
  });

  test('is counted for unknown names as for known ones, and a success starts afresh', async () => {
    const { accounts } = setUp();
    for (let index = 0; index < 10; index += 1) await accounts.signIn({ name: 'unknown-name', password: `x${index}` });
    await assert.rejects(accounts.signIn({ name: 'unknown-name', password: 'x' }), { code: 'auth.rate-limited' });
    await accounts.createUser({ name: 'forgetful', password: PASSWORD, roles: ['viewer'] });
    for (let round = 0; round < 3; round += 1) {
      for (let index = 0; index < 6; index += 1) await accounts.signIn({ name: 'forgetful', password: `x${index}` });
      await signedIn(accounts, 'forgetful');
    }
  });

  test('cannot flood the hashing: what waits is bounded', async () => {
    const passwords = createPasswordHasher(CHEAP);
    const results = await Promise.allSettled(Array.from({ length: 50 }, () => passwords.verify('x', undefined)));
    assert.equal(results.filter(({ status }) => status === 'fulfilled').length, 34, 'two run, 32 wait');
    const refused = results.flatMap((result) => (result.status === 'rejected' ? [result.reason.code] : []));
    assert.deepEqual(new Set(refused), new Set(['auth.rate-limited']));
    assert.equal(await passwords.verify('x', await passwords.hash('x')), true, 'and it goes on afterwards');
  });

  test("takes as long for an unknown name as for a known one, at OWASP's cost", async () => {
    const passwords = createPasswordHasher();
    const stored = await passwords.hash(PASSWORD);
    assert.match(stored, /^scrypt\$131072\$8\$1\$[\w-]{22}\$[\w-]{43}$/);
    const cpuMs = async (work: () => Promise<boolean>) => {
      const before = process.cpuUsage();
      assert.equal(await work(), false);
      return process.cpuUsage(before).user / 1000;
    };
    const known = await cpuMs(() => passwords.verify('wrong', stored));
    const unknown = await cpuMs(() => passwords.verify('wrong', undefined));
    assert.ok(known > 50 && unknown > known / 2 && unknown < known * 2, `${known} ms and ${unknown} ms of CPU`);
  });

  test('RFC 7914 section 12: our stored form verifies a vector of the standard', async () => {
    const expected = 'fdbabe1c9d3472007856e7190d01e9fe7c6ad7cbc8237830e77376634b373162'; // first 32 of 64 bytes
    const [salt, hash] = [
      Buffer.from('NaCl').toString('base64url'),
      Buffer.from(expected, 'hex').toString('base64url'),
    ];
    const passwords = createPasswordHasher(CHEAP);
    assert.equal(await passwords.verify('password', `scrypt$1024$8$16$${salt}$${hash}`), true);
    assert.equal(await passwords.verify('passwore', `scrypt$1024$8$16$${salt}$${hash}`), false);
  });
});

describe('the first administrator', () => {
  let dir: string;
  before(async () => {
    dir = await mkdtemp(join(tmpdir(), 'lantern-admin-'));
  });
  after(() => rm(dir, { recursive: true }));

  test('is made once with a token in a file of its own, which is renewed before it expires', async () => {
    const { accounts, clock } = setUp();
    const file = join(dir, 'admin.token');
    const start = () => bootstrapAdmin({ db, accounts, clock, file });
    const token = async () => (await readFile(file, 'utf8')).trim();
    assert.equal(await start(), 'created');
    assert.equal((await stat(file)).mode & 0o777, 0o600);
    const first = await token();
    assert.deepEqual((await accounts.authenticate(first))?.roles, ['admin']);
    assert.equal(await start(), 'present');
    assert.equal(await token(), first);
    assert.equal((await accounts.signIn({ name: 'admin', password: '' })).kind, 'rejected', 'has no password');

    clock.advanceMs(340 * DAY_MS);
    assert.equal(await start(), 'renewed');
    const second = await token();
    assert.notEqual(second, first);
    assert.equal((await accounts.authenticate(second))?.name, 'admin');

    clock.advanceMs(500 * DAY_MS);
    assert.equal(await accounts.authenticate(second), undefined);
    assert.equal(await start(), 'renewed', 'also after it has expired');
    const third = await token();
    assert.equal((await accounts.authenticate(third))?.name, 'admin');

    await chmod(file, 0o644);
    await assert.rejects(start(), { code: 'set-up.failed' }, 'a token that others could read');
    await chmod(file, 0o600);
    await accounts.revokeToken(third);
    assert.equal(await start(), 'present', 'a revoked token stays revoked');
    await unlink(file);
    assert.equal(await start(), 'present', 'an operator took it away');
    await assert.rejects(stat(file), { code: 'ENOENT' });
  });

  test('is not half made when its file cannot be written', async () => {
    const own = await openTestDatabase('bootstrap');
    try {
      await migrateService(own);
      const clock = manualClock(START);
      const accounts = createAccounts({ db: own, clock, roles: HUB_ROLES, passwords: createPasswordHasher(CHEAP) });
      const at = (file: string) => bootstrapAdmin({ db: own, accounts, clock, file });
      await assert.rejects(at(join(dir, 'absent', 'admin.token')), { code: 'set-up.failed' });
      assert.deepEqual(await accounts.listUsers(), []);
      assert.equal(await at(join(dir, 'second.token')), 'created');
    } finally {
      await own.close();
    }
  });
});
