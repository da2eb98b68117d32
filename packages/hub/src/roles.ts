/** Which people may call which kind of operation; the roles are those of the contract. */
import { HUB_ROLES, type HubRole } from '@lantern/contract';

type RoleAccess = { readonly kind: 'roles'; readonly roles: readonly HubRole[] };

/** Members, accounts, audit. */
export const ADMIN: RoleAccess = { kind: 'roles', roles: ['admin'] };
/** Bundles, projects, questions, runs, models. Projects: only one's own, unless admin. */
export const RESEARCH: RoleAccess = { kind: 'roles', roles: ['admin', 'researcher'] };
/** Reading. */
export const EVERYBODY: RoleAccess = { kind: 'roles', roles: HUB_ROLES };
