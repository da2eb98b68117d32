/**
 * Which of the hospital's people may call which operation. An administrator keeps the machine running and makes accounts; what
 * may leave the hospital is the governance lead's to decide. An administrator makes the first lead's account; every further one
 * is made by a lead (`VOUCHED_ROLES`), so that the token of an administrator does not decide by way of an account of its own,
 * unless it disables the leads first, which they notice.
 *
 * That separates people, not powers over the machine: whoever can install software on it can read `site.key` and sign what he
 * likes. Where these must be kept apart, they are kept apart by who may enter the machine.
 */
import { SITE_ROLES, type SiteRole } from '@lantern/contract';

type RoleAccess = { readonly kind: 'roles'; readonly roles: readonly SiteRole[] };

/** Given by those who hold it, once somebody does. */
export const VOUCHED_ROLES: readonly SiteRole[] = ['governance'];
/** Accounts, CDS clients, the state of the machine. */
export const ADMIN: RoleAccess = { kind: 'roles', roles: ['admin'] };
/** Decisions, grants, deployments: what leaves and what acts on patients. */
export const GOVERNANCE: RoleAccess = { kind: 'roles', roles: ['governance'] };
/** Reading what was decided and recorded. */
export const OVERSIGHT: RoleAccess = { kind: 'roles', roles: ['admin', 'governance'] };
/** Tables and what runs on them. */
export const DATA: RoleAccess = { kind: 'roles', roles: ['admin', 'data-engineer'] };
/** Notes of records, de-identified for a project. */
export const RESEARCH_NOTES: RoleAccess = { kind: 'roles', roles: ['data-engineer'] };
/** Lists that both sides of the house bring: opt-outs, profiles to try. */
export const RESEARCH_DATA: RoleAccess = { kind: 'roles', roles: ['governance', 'data-engineer'] };
/** Whoever works with projects, without deciding. */
export const PROJECT_READERS: RoleAccess = { kind: 'roles', roles: ['admin', 'governance', 'data-engineer'] };
/** Anybody with an account. */
export const EVERYBODY: RoleAccess = { kind: 'roles', roles: SITE_ROLES };
/** Whoever looks at images: those who care for patients, and those who keep the archive. */
export const IMAGE_READERS: RoleAccess = { kind: 'roles', roles: ['admin', 'data-engineer', 'clinician'] };
