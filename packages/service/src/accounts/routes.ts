/** The operations on local accounts that hub and site offer alike. Every change and every sign-in is in the audit log. */
import { AppError, COMMON_API } from '@lantern/contract';
import { appendAudit } from '../audit/audit-log.ts';
import { bearerToken } from '../http/authentication.ts';
import { defineRoute, type Route } from '../http/route.ts';
import type { AccountRoutesOptions } from './account-routes-options.ts';
import { createUserRoute } from './create-user-route.ts';

const DAY_MS = 24 * 60 * 60 * 1000;
const ADMIN = { kind: 'roles', roles: ['admin'] } as const;

export function accountRoutes(options: AccountRoutesOptions): readonly Route[] {
  const { accounts, db, clock } = options;
  return [
    signInRoute(options),
    createUserRoute(options),
    defineRoute(COMMON_API.listUsers)({
      access: { kind: 'roles', roles: [...ADMIN.roles, ...(options.vouchedRoles ?? [])] },
      handler: async () => ({ users: await accounts.listUsers() }),
    }),
    defineRoute(COMMON_API.disableUser)({
      access: ADMIN,
      handler: async ({ params, caller }) =>
        db.transaction(async (tx) => {
          const user = await accounts.disableUser(params.userId, tx);
          const event = { action: 'account.disable', object: user.userId, outcome: 'success' } as const;
          await appendAudit(tx, { at: clock.now(), actor: caller.userId, ...event });
          return user;
        }),
    }),
    passwordRoute(options),
    revokeTokenRoute(options),
    defineRoute(COMMON_API.createToken)({
      access: { kind: 'roles', roles: options.roles },
      status: 201,
      handler: async ({ body, caller, headers }) =>
        db.transaction(async (tx) => {
          const presentedToken = bearerToken(headers.authorization) ?? '';
          const grant = { roles: body.roles, expiresInMs: body.expiresInDays * DAY_MS, presentedToken };
          const token = await accounts.createToken(caller, grant, tx);
          const details = { roles: token.roles.join(' '), expiresAt: token.expiresAt };
          const event = { action: 'token.create', object: caller.userId, outcome: 'success', details } as const;
          await appendAudit(tx, { at: clock.now(), actor: caller.userId, ...event });
          return token;
        }),
    }),
  ];
}

/** Whoever holds a token may end it, whosever it is: it can only do less harm afterwards. */
function revokeTokenRoute({ accounts, db, clock, roles }: AccountRoutesOptions): Route {
  return defineRoute(COMMON_API.revokeToken)({
    access: { kind: 'roles', roles },
    handler: ({ body, caller }) =>
      db.transaction(async (tx) => {
        const revoked = await accounts.revokeToken(body.token, tx);
        const event = { action: 'token.revoke', object: caller.userId, outcome: 'success' } as const;
        if (revoked) await appendAudit(tx, { at: clock.now(), actor: caller.userId, ...event });
        return { revoked };
      }),
  });
}

function passwordRoute(options: AccountRoutesOptions): Route {
  const { accounts, db, clock } = options;
  return defineRoute(COMMON_API.changePassword)({
    access: { kind: 'roles', roles: options.roles },
    handler: async ({ body, caller, headers, peer }) => {
      const keptToken = bearerToken(headers.authorization) ?? '';
      const result = await db.transaction(async (tx) => {
        const changed = await accounts.changePassword(caller, { ...body, keptToken, peer }, tx);
        const outcome = changed.kind === 'changed' ? 'success' : 'refused';
        const event = { action: 'account.change-password', object: caller.userId, outcome } as const;
        await appendAudit(tx, { at: clock.now(), actor: caller.userId, ...event });
        return changed;
      });
      if (result.kind === 'changed') return { revokedTokenCount: result.revokedTokenCount };
      throw new AppError('input.invalid', 'oldPassword: is not the password of this account.', {
        field: '/oldPassword',
      });
    },
  });
}

/** A name that no account has may be a mistyped password, so it is not written down. */
function signInRoute(options: AccountRoutesOptions): Route {
  return defineRoute(COMMON_API.signIn)({
    access: { kind: 'public', why: 'this is how one signs in; limited per name and network' },
    handler: async ({ body, peer }) => {
      const result = await options.accounts.signIn(body, peer);
      const object = result.userId ?? 'unknown account';
      const outcome = result.kind === 'signed-in' ? 'success' : 'refused';
      const event = { at: options.clock.now(), actor: object, action: 'session.sign-in', object, outcome } as const;
      await options.db.transaction((tx) => appendAudit(tx, event));
      if (result.kind === 'rejected') throw new AppError('auth.rejected', 'The name or the password is wrong.');
      return result.token;
    },
  });
}
