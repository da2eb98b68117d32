/**
 * Who may read and write records: people by their roles, programs by the scopes of their SMART token. A program comes as a caller
 * with the role below, which no account can have, and its scopes beside it.
 */
import type { UserCaller } from '@lantern/service';
import { FhirFault } from './fhir-fault.ts';

export const SMART_ROLE = 'smart-client';

type RoleAccess = { readonly kind: 'roles'; readonly roles: readonly string[] };

export const RECORD_READERS: RoleAccess = { kind: 'roles', roles: ['admin', 'data-engineer', 'clinician', SMART_ROLE] };
export const RECORD_WRITERS: RoleAccess = { kind: 'roles', roles: ['admin', 'data-engineer', SMART_ROLE] };

/** Of a program: whether its scopes (`system/Observation.read`) cover this. `*`: all types. */
export function scopeGuard({ roles }: Pick<UserCaller, 'roles'>): (type: string, access: 'read' | 'write') => void {
  return (type, access) => {
    if (!roles.includes(SMART_ROLE)) return;
    const isCovered = ['*', type].some((of) => ['*', access].some((what) => roles.includes(`system/${of}.${what}`)));
    if (!isCovered) throw new FhirFault(403, 'forbidden', `The token has no scope system/${type}.${access}.`);
  };
}
