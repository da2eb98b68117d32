/** Rows of Bulk Data exports. */
import { BULK_EXPORT_STATES, type BulkExportState, type EventOf, nextState } from '@lantern/contract';
import type { AnyTx, Database } from '@lantern/service';
import { transactionOf } from '@lantern/service';
import { sql } from 'kysely';

export type ExportFile = { readonly type: string; readonly name: string; readonly count: number };

export type Export = {
  readonly exportId: string;
  readonly state: BulkExportState;
  readonly request: string;
  readonly types: readonly string[] | null;
  readonly onlyPatients: boolean;
  readonly since: Date | null;
  readonly untilKey: string;
  readonly requestedBy: string;
  readonly requestedAt: Date;
  readonly files: readonly ExportFile[] | null;
  readonly expiresAt: Date | null;
};

const COLUMNS = sql.raw(`export_id as "exportId", state, request, types, only_patients as "onlyPatients", since,
  until_key::text as "untilKey", requested_by as "requestedBy", requested_at as "requestedAt", files, expires_at as "expiresAt"`);

export type NewExport = Pick<
  Export,
  'exportId' | 'request' | 'types' | 'onlyPatients' | 'since' | 'requestedBy' | 'requestedAt'
>;

/** What is there now is exported: later versions have greater keys. */
export async function addExport(tx: AnyTx, added: NewExport): Promise<void> {
  await sql`
    insert into fhir_export (export_id, state, request, types, only_patients, since, until_key, requested_by, requested_at)
    values (${added.exportId}, 'running', ${added.request}, ${added.types}::text[], ${added.onlyPatients}, ${added.since},
      (select coalesce(max(version_key), 0) from fhir_resource), ${added.requestedBy}, ${added.requestedAt})`.execute(
    transactionOf(tx),
  );
}

export async function findExport(database: Database, exportId: string): Promise<Export | undefined> {
  const { rows } = await sql<Export>`select ${COLUMNS} from fhir_export where export_id = ${exportId}`.execute(
    database.kysely(),
  );
  return rows[0];
}

export async function countRunning(tx: AnyTx): Promise<number> {
  const { rows } = await sql<{ count: number }>`
    select count(*)::int as count from fhir_export where state = 'running'`.execute(transactionOf(tx));
  return rows[0]?.count ?? 0;
}

/** Only where it is still there and running: it may have been cancelled meanwhile. */
export async function endExport(
  database: Database,
  ended: {
    readonly exportId: string;
    readonly event: EventOf<typeof BULK_EXPORT_STATES>;
    readonly files: readonly ExportFile[];
    readonly expiresAt: Date;
  },
): Promise<boolean> {
  const state = nextState(BULK_EXPORT_STATES, 'running', ended.event);
  const { numAffectedRows } = await sql`
    update fhir_export set state = ${state}, files = ${JSON.stringify(ended.files)}::jsonb, expires_at = ${ended.expiresAt}
    where export_id = ${ended.exportId} and state = 'running'`.execute(database.kysely());
  return Number(numAffectedRows) > 0;
}

export async function removeExport(database: Database, exportId: string): Promise<boolean> {
  const { numAffectedRows } = await sql`delete from fhir_export where export_id = ${exportId}`.execute(
    database.kysely(),
  );
  return Number(numAffectedRows) > 0;
}

export async function expiredExports(database: Database, now: Date): Promise<string[]> {
  const { rows } = await sql<{ exportId: string }>`
    select export_id as "exportId" from fhir_export where expires_at <= ${now}`.execute(database.kysely());
  return rows.map(({ exportId }) => exportId);
}
