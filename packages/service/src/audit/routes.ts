/** Reading the audit log and its signed head: the same at hub and site. */
import { COMMON_API } from '@lantern/contract';
import type { Clock } from '../clock.ts';
import { defineRoute, type Route } from '../http/route.ts';
import type { KeyPair } from '../identity/key-pair.ts';
import type { Database } from '../postgres/database.ts';
import { readAudit, signAuditHead } from './audit-log.ts';

const PAGE_LIMIT_DEFAULT = 100;

/** `readers`: the roles that may read the log. */
export function auditRoutes(options: {
  readonly db: Database;
  readonly keyPair: KeyPair;
  readonly clock: Clock;
  readonly readers: readonly string[];
}): readonly Route[] {
  const { db, readers } = options;
  return [
    defineRoute(COMMON_API.listAudit)({
      access: { kind: 'roles', roles: readers },
      handler: async ({ query }) => ({
        records: await readAudit(db, { after: query.after ?? 0, limit: query.limit ?? PAGE_LIMIT_DEFAULT }),
      }),
    }),
    defineRoute(COMMON_API.auditHead)({
      access: { kind: 'roles', roles: readers },
      handler: async () => signAuditHead(db, options),
    }),
  ];
}
