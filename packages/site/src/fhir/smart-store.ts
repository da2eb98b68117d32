/** Rows of programs that are authorised as SMART backend services, and of what they used. */
import type { AnyTx, Database } from '@lantern/service';
import { transactionOf } from '@lantern/service';
import { sql } from 'kysely';

export type FhirClient = {
  readonly clientId: string;
  readonly jwks: { readonly keys: readonly Readonly<Record<string, unknown>>[] };
  readonly scopes: readonly string[];
  readonly addedAt: Date;
};

export async function findClient(database: Database, clientId: string): Promise<FhirClient | undefined> {
  const clients = await listClients(database, clientId);
  return clients[0];
}

export async function listClients(database: Database, clientId?: string): Promise<FhirClient[]> {
  const { rows } = await sql<FhirClient>`
    select client_id as "clientId", jwks, scopes, added_at as "addedAt" from fhir_client
    ${clientId === undefined ? sql`` : sql`where client_id = ${clientId}`} order by client_id`.execute(
    database.kysely(),
  );
  return rows;
}

/** Other keys or scopes end the tokens that were given under the old ones. */
export async function putClient(tx: AnyTx, client: FhirClient & { readonly addedBy: string }): Promise<void> {
  const { clientId, jwks, scopes, addedBy, addedAt } = client;
  await removeClient(tx, clientId);
  await sql`
    insert into fhir_client (client_id, jwks, scopes, added_by, added_at)
    values (${clientId}, ${JSON.stringify(jwks)}::jsonb, ${scopes}::text[], ${addedBy}, ${addedAt})`.execute(
    transactionOf(tx),
  );
}

export async function removeClient(tx: AnyTx, clientId: string): Promise<boolean> {
  const { numAffectedRows } = await sql`delete from fhir_client where client_id = ${clientId}`.execute(
    transactionOf(tx),
  );
  return Number(numAffectedRows) > 0;
}

/** False: it was used before. */
export async function spendAssertion(
  database: Database,
  { clientId, jti, expiresAt }: { readonly clientId: string; readonly jti: string; readonly expiresAt: Date },
): Promise<boolean> {
  const { numAffectedRows } = await sql`
    insert into fhir_client_assertion (client_id, jti, expires_at) values (${clientId}, ${jti}, ${expiresAt})
    on conflict do nothing`.execute(database.kysely());
  return Number(numAffectedRows) > 0;
}

export async function addToken(
  database: Database,
  token: {
    readonly hash: Buffer;
    readonly clientId: string;
    readonly scopes: readonly string[];
    readonly expiresAt: Date;
  },
): Promise<void> {
  await sql`
    insert into fhir_access_token (token_hash, client_id, scopes, expires_at)
    values (${token.hash}, ${token.clientId}, ${token.scopes}::text[], ${token.expiresAt})`.execute(database.kysely());
}

export async function findToken(
  database: Database,
  hash: Buffer,
  now: Date,
): Promise<{ clientId: string; scopes: string[] } | undefined> {
  const { rows } = await sql<{ clientId: string; scopes: string[] }>`
    select client_id as "clientId", scopes from fhir_access_token where token_hash = ${hash} and expires_at > ${now}`.execute(
    database.kysely(),
  );
  return rows[0];
}

export async function sweepExpired(database: Database, now: Date): Promise<void> {
  await sql`delete from fhir_access_token where expires_at <= ${now}`.execute(database.kysely());
  await sql`delete from fhir_client_assertion where expires_at <= ${now}`.execute(database.kysely());
}
