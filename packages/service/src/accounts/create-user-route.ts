/**
 * Making an account, and who may give which role.
 *
 * An administrator gives every role, but a *vouched* one only while nobody holds it: from then on it is given by those who hold
 * it. So an administrator's token alone makes no second governance lead beside the first one. It can disable the first one and
 * begin anew, as somebody must when a lead has left; the lead is then locked out and the audit log says why, so it is not done
 * unseen. Whoever controls the machine itself is bound by no role.
 */
import { AppError, COMMON_API, type User } from '@lantern/contract';
import { appendAudit } from '../audit/audit-log.ts';
import { defineRoute, type Principal, type Route } from '../http/route.ts';
import type { AnyTx } from '../postgres/database.ts';
import type { AccountRoutesOptions } from './account-routes-options.ts';

const ADMIN_ROLE = 'admin';

export function createUserRoute(options: AccountRoutesOptions): Route {
  const { accounts, db, clock, vouchedRoles = [] } = options;
  return defineRoute(COMMON_API.createUser)({
    access: { kind: 'roles', roles: [ADMIN_ROLE, ...vouchedRoles] },
    status: 201,
    handler: async ({ body, caller }): Promise<User> => {
      const made = await db.transaction(async (tx) => {
        const refusedRole = await firstNotGiven(options, { caller, roles: body.roles }, tx);
        const user = refusedRole === undefined ? await accounts.createUser(body, tx) : undefined;
        await appendAudit(tx, {
          at: clock.now(),
          actor: caller.userId,
          action: 'account.create',
          object: user?.userId ?? 'account',
          outcome: user === undefined ? 'refused' : 'success',
          details: user === undefined ? {} : { name: user.name, roles: user.roles.join(' ') },
        });
        return { user, refusedRole };
      });
      if (made.user !== undefined) return made.user;
      const giver = vouchedRoles.includes(made.refusedRole ?? '') ? 'somebody who holds it' : 'an administrator';
      throw new AppError('auth.forbidden', `roles: this one is given by ${giver}.`, { field: '/roles' });
    },
  });
}

/** The first of these roles that the caller may not give; `undefined` when all may be given. */
async function firstNotGiven(
  { accounts, vouchedRoles = [] }: AccountRoutesOptions,
  { caller, roles }: { caller: Principal; roles: readonly string[] },
  tx: AnyTx,
): Promise<string | undefined> {
  const isAdmin = caller.roles.includes(ADMIN_ROLE);
  for (const role of roles) {
    const isVouched = vouchedRoles.includes(role);
    if (isVouched && caller.roles.includes(role)) continue;
    if (!isAdmin || (isVouched && (await accounts.isHeld(role, tx)))) return role;
  }
  return undefined;
}
