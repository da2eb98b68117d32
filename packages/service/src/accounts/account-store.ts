/** The SQL of accounts, tokens and sign-in attempts, each statement under its name. */
import type { TokenId, User, UserId } from '@lantern/contract';
import { type QueryExecutorProvider, sql } from 'kysely';

export type StoredAccount = User & { readonly passwordHash: string | null };

const accountColumns = sql`user_id AS "userId", name, roles, disabled`;

export async function insertAccount(
  db: QueryExecutorProvider,
  account: StoredAccount & { readonly createdAt: Date },
): Promise<boolean> {
  const { rows } = await sql`
    INSERT INTO account (user_id, name, password_hash, roles, disabled, created_at)
    VALUES (${account.userId}, ${account.name}, ${account.passwordHash}, ${account.roles}, ${account.disabled},
            ${account.createdAt})
    ON CONFLICT (name) DO NOTHING RETURNING user_id`.execute(db);
  return rows.length === 1;
}

export async function findAccountByName(db: QueryExecutorProvider, name: string): Promise<StoredAccount | undefined> {
  const { rows } = await sql<StoredAccount>`
    SELECT ${accountColumns}, password_hash AS "passwordHash" FROM account WHERE name = ${name}`.execute(db);
  return rows[0];
}

export async function listAccounts(db: QueryExecutorProvider): Promise<User[]> {
  const { rows } = await sql<User>`SELECT ${accountColumns} FROM account ORDER BY name`.execute(db);
  return rows;
}

export async function setAccountDisabled(db: QueryExecutorProvider, userId: UserId): Promise<User | undefined> {
  const { rows } = await sql<User>`
    UPDATE account SET disabled = true WHERE user_id = ${userId} RETURNING ${accountColumns}`.execute(db);
  return rows[0];
}

export async function setAccountRoles(
  db: QueryExecutorProvider,
  userId: UserId,
  roles: readonly string[],
): Promise<User | undefined> {
  const { rows } = await sql<User>`
    UPDATE account SET roles = ${roles} WHERE user_id = ${userId} RETURNING ${accountColumns}`.execute(db);
  return rows[0];
}

/** Keeps an account as it is until the transaction ends. */
export async function shareAccount(tx: QueryExecutorProvider, userId: string): Promise<void> {
  await sql`SELECT FROM account WHERE user_id = ${userId} FOR SHARE`.execute(tx);
}

/** False when the password is no longer `oldHash`, or the account is disabled. */
export async function replacePassword(
  db: QueryExecutorProvider,
  change: { readonly userId: UserId; readonly oldHash: string; readonly newHash: string },
): Promise<boolean> {
  const { rows } = await sql`
    UPDATE account SET password_hash = ${change.newHash}
    WHERE user_id = ${change.userId} AND password_hash = ${change.oldHash} AND NOT disabled
    RETURNING user_id`.execute(db);
  return rows.length === 1;
}

/** Revokes every token of an account but one; gives how many still worked. */
export async function revokeOtherTokens(
  db: QueryExecutorProvider,
  revoked: { readonly userId: UserId; readonly keptTokenSha256: string; readonly at: Date },
): Promise<number> {
  const { rows } = await sql<{ alive: boolean }>`
    UPDATE account_token SET revoked_at = ${revoked.at}
    WHERE user_id = ${revoked.userId} AND token_sha256 <> ${revoked.keptTokenSha256} AND revoked_at IS NULL
    RETURNING expires_at > ${revoked.at} AS alive`.execute(db);
  return rows.filter(({ alive }) => alive).length;
}

export type NewStoredToken = {
  readonly tokenId: TokenId;
  readonly userId: UserId;
  readonly tokenSha256: string;
  /** `null`: every role the account has at the time of use. */
  readonly roles: readonly string[] | null;
  /** The hash that was checked; `null` when none was. */
  readonly passwordHash: string | null;
  readonly createdAt: Date;
  readonly expiresAt: Date;
};

/**
 * Also removes the tokens that expired, which bounds the table by the tokens in use. False when the account no longer has
 * the password that was checked for this token: whoever changes it at this moment revokes the token, or prevents it.
 */
export async function insertToken(db: QueryExecutorProvider, token: NewStoredToken): Promise<boolean> {
  const { rows } = await sql`
    WITH expired AS (DELETE FROM account_token WHERE expires_at < ${token.createdAt})
    INSERT INTO account_token (token_id, user_id, token_sha256, roles, created_at, expires_at)
    SELECT ${token.tokenId}, user_id, ${token.tokenSha256}, ${token.roles}::text[], ${token.createdAt}::timestamptz,
           ${token.expiresAt}::timestamptz
    FROM account
    WHERE user_id = ${token.userId} AND password_hash IS NOT DISTINCT FROM coalesce(${token.passwordHash}, password_hash)
    FOR SHARE RETURNING token_id`.execute(db);
  return rows.length === 1;
}

export type TokenHolder = User & {
  readonly tokenRoles: readonly string[] | null;
  readonly expiresAt: Date;
  readonly revokedAt: Date | null;
};

export async function findTokenHolder(
  db: QueryExecutorProvider,
  tokenSha256: string,
): Promise<TokenHolder | undefined> {
  const { rows } = await sql<TokenHolder>`
    SELECT account.user_id AS "userId", account.name, account.roles, account.disabled,
           account_token.roles AS "tokenRoles", account_token.expires_at AS "expiresAt",
           account_token.revoked_at AS "revokedAt"
    FROM account_token JOIN account USING (user_id) WHERE token_sha256 = ${tokenSha256}`.execute(db);
  return rows[0];
}

export async function setTokenRevoked(db: QueryExecutorProvider, tokenSha256: string, at: Date): Promise<boolean> {
  const { rows } = await sql`
    UPDATE account_token SET revoked_at = ${at} WHERE token_sha256 = ${tokenSha256} AND revoked_at IS NULL
    RETURNING token_id`.execute(db);
  return rows.length === 1;
}

/** Whether an account that is not disabled has a role; nobody else learns or changes that until the transaction ends. */
export async function isRoleHeld(tx: QueryExecutorProvider, role: string): Promise<boolean> {
  await sql`SELECT pg_advisory_xact_lock(hashtextextended(${`account-role/${role}`}, 0))`.execute(tx);
  const { rows } = await sql<{ held: boolean }>`
    SELECT EXISTS (SELECT FROM account WHERE NOT disabled AND ${role} = ANY (roles)) AS held`.execute(tx);
  return rows[0]?.held === true;
}

/** Who tries, from which network. */
export type SignInAttempt = { readonly name: string; readonly peer: string };

/** Counts one more attempt and gives the count in the current window; forgets windows that ended. */
export async function countSignInAttempt(
  db: QueryExecutorProvider,
  attempt: SignInAttempt & { readonly at: Date; readonly windowStartMin: Date },
): Promise<number> {
  await sql`
    DELETE FROM sign_in_attempt
    WHERE window_started_at < ${attempt.windowStartMin} AND (name, address) <> (${attempt.name}, ${attempt.peer})`.execute(
    db,
  );
  const { rows } = await sql<{ attempts: number }>`
    INSERT INTO sign_in_attempt AS known (name, address, window_started_at, attempts)
    VALUES (${attempt.name}, ${attempt.peer}, ${attempt.at}, 1)
    ON CONFLICT (name, address) DO UPDATE SET
      attempts = CASE WHEN known.window_started_at < ${attempt.windowStartMin} THEN 1 ELSE known.attempts + 1 END,
      window_started_at =
        CASE WHEN known.window_started_at < ${attempt.windowStartMin} THEN ${attempt.at} ELSE known.window_started_at END
    RETURNING attempts`.execute(db);
  return rows[0]?.attempts ?? 1;
}

export async function forgetSignInAttempts(db: QueryExecutorProvider, { name, peer }: SignInAttempt): Promise<void> {
  await sql`DELETE FROM sign_in_attempt WHERE name = ${name} AND address = ${peer}`.execute(db);
}
