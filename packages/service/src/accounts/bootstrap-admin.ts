/**
 * The first administrator: an account `admin` without a password, whose API token lies in a file that only the owner of
 * the process may read. Whoever can read that file is on the machine already; the command line there uses it.
 *
 * States: no account (make account, token and file); account and file (renew a token that expires soon or did); account
 * without file, or token revoked (an operator's wish: nothing is done). The file is durable before the account is committed, so a
 * crash in between leaves a file with a token that means nothing, which the next start replaces.
 */
import type { Clock } from '../clock.ts';
import { sha256 } from '../identity/digest.ts';
import { readSecretFile, writeSecretFile } from '../identity/secret-file.ts';
import type { Database } from '../postgres/database.ts';
import { findAccountByName, findTokenHolder } from './account-store.ts';
import { type Accounts, TOKEN_MS_MAX } from './accounts.ts';

const ADMIN_NAME = 'admin';
const ADMIN_ROLES = ['admin'] as const;
const RENEW_BEFORE_MS = 30 * 24 * 60 * 60 * 1000; // a process is restarted at least monthly, by upgrades

export type BootstrapResult = 'created' | 'renewed' | 'present';

/** Makes sure that `file` holds a working admin token, unless an operator removed or revoked it. */
export async function bootstrapAdmin(options: {
  readonly db: Database;
  readonly accounts: Accounts;
  readonly clock: Clock;
  readonly file: string;
}): Promise<BootstrapResult> {
  const { db, accounts, clock, file } = options;
  const reader = db.kysely<unknown>();
  const admin = await findAccountByName(reader, ADMIN_NAME);
  if (admin === undefined) {
    const account = { name: ADMIN_NAME, roles: ADMIN_ROLES, expiresInMs: TOKEN_MS_MAX };
    await db.transaction(async (tx) => {
      const { token } = await accounts.createTokenAccount(account, tx);
      await writeSecretFile(file, `${token}\n`);
    });
    return 'created';
  }
  const token = (await readSecretFile(file))?.trim();
  if (token === undefined || admin.disabled) return 'present';
  const holder = await findTokenHolder(reader, sha256(token));
  if (holder !== undefined) {
    const leftMs = holder.expiresAt.getTime() - clock.now().getTime();
    if (holder.revokedAt !== null || leftMs > RENEW_BEFORE_MS) return 'present';
  }
  await db.transaction(async (tx) => {
    const renewed = await accounts.createToken(admin, { roles: admin.roles, expiresInMs: TOKEN_MS_MAX }, tx);
    await writeSecretFile(file, `${renewed.token}\n`);
  });
  return 'renewed';
}
