/**
 * Local accounts of a hub or site, and their tokens.
 *
 * Invariants: a password is stored only as scrypt, a token only as SHA-256; what a token may do is what its account may do
 * *now*, narrowed by the token, so a role taken away or an account disabled takes effect on the next request; a token is
 * never given more roles than its maker holds.
 *
 * A new password ends every other token of its account, also one that is being made at that moment, from the old password or
 * from a token that the change ends.
 *
 * Sign-in answers alike, and after the same time, for an unknown name, a disabled account and a wrong password. Attempts
 * are counted per name and network before the password is looked at, so that guessing in parallel gains nothing; asking for the
 * old password counts the same, since whoever found a token could guess there. Counted per name alone, ten wrong passwords from
 * anywhere would keep its owner out. The price: whoever has many networks has ten guesses from each, against passwords of twelve
 * characters or more; and behind a reverse proxy all come from one.
 */
import assert from 'node:assert';
import {
  AppError,
  type NewUser,
  NewUserSchema,
  type PasswordChange,
  PasswordChangeSchema,
  parse,
  type SignIn,
  type Token,
  type User,
  type UserId,
} from '@lantern/contract';
import type { QueryExecutorProvider } from 'kysely';
import type { Clock } from '../clock.ts';
import type { Principal } from '../http/route.ts';
import { sha256 } from '../identity/digest.ts';
import type { AnyTx, Database } from '../postgres/database.ts';
import { newId, newSecret } from '../random.ts';
import {
  countSignInAttempt,
  findAccountByName,
  findTokenHolder,
  forgetSignInAttempts,
  insertAccount,
  insertToken,
  isRoleHeld,
  listAccounts,
  replacePassword,
  revokeOtherTokens,
  type StoredAccount,
  setAccountDisabled,
  setAccountRoles,
  setTokenRevoked,
  shareAccount,
} from './account-store.ts';
import { createPasswordHasher, type PasswordHasher } from './password.ts';

export const SESSION_MS = 12 * 60 * 60 * 1000; // one long shift
export const TOKEN_MS_MAX = 366 * 24 * 60 * 60 * 1000; // a year; then somebody looks whether it is still needed
const TOKEN_BYTES = 32;
const TOKEN_PREFIX = 'lantern_'; // lets secret scanners find a token that was pasted somewhere
const SIGN_IN_ATTEMPTS_MAX = 10; // per name, network and window: enough for a forgetful person, useless for guessing
const SIGN_IN_WINDOW_MS = 15 * 60 * 1000;

export type SignInResult =
  | { readonly kind: 'signed-in'; readonly userId: UserId; readonly token: Token }
  /** `userId` when the account exists: for the audit log, not for the caller. */
  | { readonly kind: 'rejected'; readonly userId: UserId | undefined };

export type PasswordChangeResult =
  | { readonly kind: 'changed'; readonly revokedTokenCount: number }
  /** The old password was wrong, or the account has none. */
  | { readonly kind: 'rejected' };

export type Accounts = {
  /** `conflict` when the name is taken, `input.invalid` for an unknown role. Part of the caller's transaction when given. */
  readonly createUser: (newUser: NewUser, tx?: AnyTx) => Promise<User>;
  readonly listUsers: () => Promise<User[]>;
  /** Its tokens stop working at once. `not-found` for an unknown id. */
  readonly disableUser: (userId: UserId, tx?: AnyTx) => Promise<User>;
  /** Takes effect on existing tokens at once. */
  readonly changeRoles: (userId: UserId, roles: readonly string[], tx?: AnyTx) => Promise<User>;
  /**
   * Changes the password of `holder` and revokes every token of the account but `keptToken`. `auth.rate-limited` after too
   * many attempts for the name from this network, `input.invalid` for a new password that breaks the rules.
   */
  readonly changePassword: (
    holder: Principal,
    change: PasswordChange & { readonly keptToken: string; readonly peer?: string },
    tx?: AnyTx,
  ) => Promise<PasswordChangeResult>;
  /**
   * A token for 12 h with whatever roles the account has. `peer` names the network that tries (peer-network.ts);
   * `auth.rate-limited` after too many attempts for a name from one.
   */
  readonly signIn: (credentials: SignIn, peer?: string) => Promise<SignInResult>;
  /** Whether an account that is not disabled has a role; nobody else is given it before the transaction ends. */
  readonly isHeld: (role: string, tx: AnyTx) => Promise<boolean>;
  /**
   * A token for its maker, with some of the roles the maker holds now. `auth.forbidden` for another role, `auth.rejected` when
   * `presentedToken`, by which the maker is known, was revoked meanwhile.
   */
  readonly createToken: (
    maker: Principal,
    grant: { readonly roles: readonly string[]; readonly expiresInMs: number; readonly presentedToken?: string },
    tx?: AnyTx,
  ) => Promise<Token>;
  /** `undefined`: unknown, revoked, expired, or its account is disabled. */
  readonly authenticate: (token: string) => Promise<Principal | undefined>;
  /** False when there was nothing left to revoke. */
  readonly revokeToken: (token: string, tx?: AnyTx) => Promise<boolean>;
  /** An account without a password and its token, in the caller's transaction: for the first start only. */
  readonly createTokenAccount: (
    account: { readonly name: string; readonly roles: readonly string[]; readonly expiresInMs: number },
    tx: AnyTx,
  ) => Promise<Token>;
};

type Context = {
  readonly db: QueryExecutorProvider;
  readonly clock: Clock;
  readonly roles: readonly string[];
  readonly passwords: PasswordHasher;
};

function checkRoles(context: Context, roles: readonly string[]): void {
  if (roles.every((role) => context.roles.includes(role))) return;
  throw new AppError('input.invalid', `A role is not one of: ${context.roles.join(', ')}.`, { field: '/roles' });
}

function found(user: User | undefined): User {
  if (user === undefined) throw new AppError('not-found', 'There is no account with this id.', { field: '/userId' });
  return user;
}

async function addAccount(
  context: Context,
  account: { name: string; roles: readonly string[]; passwordHash: string | null },
  tx: QueryExecutorProvider,
): Promise<User> {
  const user: User = { userId: newId('UserId'), name: account.name, roles: [...account.roles], disabled: false };
  const { passwordHash } = account;
  const added = await insertAccount(tx, { ...user, passwordHash, createdAt: context.clock.now() });
  if (!added) throw new AppError('conflict', 'An account with this name exists.', { field: '/name' });
  return user;
}

/** `passwordHash`: the one that was checked for this token. `undefined` when it was changed meanwhile. */
async function addToken(
  context: Context,
  grant: { userId: UserId; roles: readonly string[] | null; expiresInMs: number; passwordHash?: string },
  tx: QueryExecutorProvider,
): Promise<{ token: string; expiresAt: string } | undefined> {
  if (!(grant.expiresInMs > 0 && grant.expiresInMs <= TOKEN_MS_MAX)) {
    throw new AppError('input.invalid', 'A token lives between 0 and 366 days.', { field: '/expiresInDays' });
  }
  const token = TOKEN_PREFIX + newSecret(TOKEN_BYTES);
  const createdAt = context.clock.now();
  const expiresAt = new Date(createdAt.getTime() + grant.expiresInMs);
  const { userId, roles, passwordHash = null } = grant;
  const tokenId = newId('TokenId');
  const row = { tokenId, userId, tokenSha256: sha256(token), roles, passwordHash, createdAt, expiresAt };
  return (await insertToken(tx, row)) ? { token, expiresAt: expiresAt.toISOString() } : undefined;
}

type CheckedPassword = { readonly account: StoredAccount | undefined; readonly passwordHash: string | undefined };

/** Counts the attempt and checks it; `passwordHash` is there when the password is right. */
async function checkPassword(context: Context, { name, password }: SignIn, peer = ''): Promise<CheckedPassword> {
  const at = context.clock.now();
  const windowStartMin = new Date(at.getTime() - SIGN_IN_WINDOW_MS);
  const attempts = await countSignInAttempt(context.db, { name, peer, at, windowStartMin });
  if (attempts > SIGN_IN_ATTEMPTS_MAX) {
    const minutes = SIGN_IN_WINDOW_MS / 60_000;
    throw new AppError('auth.rate-limited', `More than ${SIGN_IN_ATTEMPTS_MAX} attempts in ${minutes} minutes.`);
  }
  const account = await findAccountByName(context.db, name);
  const stored = account?.disabled === true ? undefined : (account?.passwordHash ?? undefined);
  if (!(await context.passwords.verify(password, stored))) return { account, passwordHash: undefined };
  await forgetSignInAttempts(context.db, { name, peer });
  return { account, passwordHash: stored };
}

async function signIn(context: Context, credentials: SignIn, peer: string | undefined): Promise<SignInResult> {
  const { account, passwordHash } = await checkPassword(context, credentials, peer);
  if (account === undefined || passwordHash === undefined) return { kind: 'rejected', userId: account?.userId };
  const grant = { userId: account.userId, roles: null, expiresInMs: SESSION_MS, passwordHash };
  const token = await addToken(context, grant, context.db);
  if (token === undefined) return { kind: 'rejected', userId: account.userId };
  return { kind: 'signed-in', userId: account.userId, token: { ...token, roles: account.roles } };
}

async function changePassword(
  context: Context,
  holder: Principal,
  change: PasswordChange & { keptToken: string; peer?: string },
  tx: QueryExecutorProvider,
): Promise<PasswordChangeResult> {
  const { keptToken, peer, ...passwords } = change;
  const { oldPassword, newPassword } = parse(PasswordChangeSchema, passwords, { what: 'password change' });
  if (newPassword === oldPassword) {
    throw new AppError('input.invalid', 'newPassword: is the old one.', { field: '/newPassword' });
  }
  const { userId, name } = holder;
  const { passwordHash: oldHash } = await checkPassword(context, { name, password: oldPassword }, peer);
  if (oldHash === undefined) return { kind: 'rejected' };
  const newHash = await context.passwords.hash(newPassword);
  if (!(await replacePassword(tx, { userId, oldHash, newHash }))) return { kind: 'rejected' };
  const revoked = { userId, keptTokenSha256: sha256(keptToken), at: context.clock.now() };
  return { kind: 'changed', revokedTokenCount: await revokeOtherTokens(tx, revoked) };
}

async function authenticate(context: Context, token: string): Promise<Principal | undefined> {
  const holder = await findTokenHolder(context.db, sha256(token));
  if (holder === undefined || holder.disabled || holder.revokedAt !== null) return undefined;
  if (holder.expiresAt.getTime() <= context.clock.now().getTime()) return undefined;
  const { tokenRoles } = holder;
  const roles = tokenRoles === null ? holder.roles : holder.roles.filter((role) => tokenRoles.includes(role));
  return { userId: holder.userId, name: holder.name, roles };
}

async function createToken(
  context: Context,
  maker: Principal,
  grant: { roles: readonly string[]; expiresInMs: number; presentedToken?: string },
  tx: QueryExecutorProvider,
): Promise<Token> {
  checkRoles(context, grant.roles);
  if (!grant.roles.every((role) => maker.roles.includes(role))) {
    throw new AppError('auth.forbidden', 'A token cannot have a role that its maker does not hold.', {
      field: '/roles',
    });
  }
  const { roles, expiresInMs, presentedToken } = grant;
  if (presentedToken !== undefined) await requireUnrevoked(tx, maker, presentedToken);
  const token = await addToken(context, { userId: maker.userId, roles, expiresInMs }, tx);
  assert(token !== undefined, 'without a password to check, a token of a known account is always made');
  return { ...token, roles: [...roles] };
}

/**
 * A change of the password holds the account until it has revoked the tokens: whoever waits for the account, and looks only
 * then, sees the revocation; a change that comes later revokes the token made here.
 */
async function requireUnrevoked(tx: QueryExecutorProvider, maker: Principal, token: string): Promise<void> {
  await shareAccount(tx, maker.userId);
  const holder = await findTokenHolder(tx, sha256(token));
  if (holder !== undefined && holder.revokedAt === null) return;
  throw new AppError('auth.rejected', 'The token of this request was revoked meanwhile.');
}

/** `roles` are all roles of this side (`HUB_ROLES` or `SITE_ROLES`). Needs the tables of `migrateService`. */
export function createAccounts(options: {
  readonly db: Database;
  readonly clock: Clock;
  readonly roles: readonly string[];
  readonly passwords?: PasswordHasher;
}): Accounts {
  const db = options.db.kysely<unknown>();
  const context: Context = {
    db,
    clock: options.clock,
    roles: options.roles,
    passwords: options.passwords ?? createPasswordHasher(),
  };
  const inTransaction = <T>(work: (tx: AnyTx) => Promise<T>, tx: AnyTx | undefined): Promise<T> =>
    tx === undefined ? options.db.transaction(work) : work(tx);
  return {
    async createUser(newUser, tx) {
      const { name, password, roles } = parse(NewUserSchema, newUser, { what: 'account' });
      checkRoles(context, roles);
      return addAccount(context, { name, roles, passwordHash: await context.passwords.hash(password) }, tx ?? db);
    },
    listUsers: () => listAccounts(db),
    disableUser: async (userId, tx) => found(await setAccountDisabled(tx ?? db, userId)),
    async changeRoles(userId, roles, tx) {
      checkRoles(context, roles);
      return found(await setAccountRoles(tx ?? db, userId, roles));
    },
    signIn: (credentials, peer) => signIn(context, credentials, peer),
    isHeld: (role, tx) => isRoleHeld(tx, role),
    changePassword: (holder, change, tx) => changePassword(context, holder, change, tx ?? db),
    createToken: (maker, grant, tx) => inTransaction((own) => createToken(context, maker, grant, own), tx),
    authenticate: (token) => authenticate(context, token),
    revokeToken: (token, tx) => setTokenRevoked(tx ?? db, sha256(token), options.clock.now()),
    async createTokenAccount({ name, roles, expiresInMs }, tx) {
      checkRoles(context, roles);
      const { userId } = await addAccount(context, { name, roles, passwordHash: null }, tx);
      const token = await addToken(context, { userId, roles: null, expiresInMs }, tx);
      assert(token !== undefined, 'the account was made in this transaction');
      return { ...token, roles: [...roles] };
    },
  };
}
