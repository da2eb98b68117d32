/**
 * The records of a site, wired: what receives, keeps, finds and hands on resources of FHIR. It stands on a database and a folder alone,
 * so that it serves a whole site and `lantern fhir serve` alike.
 */
import path from 'node:path';
import { AppError } from '@lantern/contract';
import { isJsonObject, parseJson, type RecordChange } from '@lantern/hl7';
import type { AnyTx, Clock, Database, Logger, Principal, QueueTask, Route } from '@lantern/service';
import { type BulkExport, createBulkExport } from './fhir/bulk-export.ts';
import { FhirFault } from './fhir/fhir-fault.ts';
import { createFhirStore, type FhirStore, isRepeatable } from './fhir/fhir-store.ts';
import type { InteractionDeps } from './fhir/interactions.ts';
import { FHIR_JSON_LIMITS } from './fhir/limits.ts';
import { applyMessageUpdate, type UpdateWarning } from './fhir/message-update.ts';
import { fhirRoutes } from './fhir/routes.ts';
import { createSmart } from './fhir/smart.ts';
import type { ApplyBundle } from './hl7-feed/processing.ts';
import type { Sweep } from './sweeper.ts';

const EXPORTS_DIR = 'fhir-exports';

export type FhirRecords = {
  readonly store: FhirStore;
  readonly routes: readonly Route[];
  readonly jobs: Readonly<Record<string, QueueTask>>;
  jobFailed: BulkExport['jobFailed'];
  readonly sweeps: readonly Sweep[];
  /** Access tokens of SMART backend services, beside those of accounts. */
  authenticate(token: string): Promise<Principal | undefined>;
  /** Applies what was made of an HL7 message, in the transaction that marks the message as mapped. */
  readonly applyMessage: ApplyBundle;
};

/** References of a message name no server. */
const NO_SERVER = 'urn:lantern:records';

export async function createFhirRecords(deps: {
  readonly database: Database;
  readonly clock: Clock;
  readonly log: Logger;
  readonly dataDir: string;
}): Promise<FhirRecords> {
  const store = createFhirStore(deps);
  const smart = createSmart(deps);
  const bulk = await createBulkExport({ ...deps, dir: path.join(deps.dataDir, EXPORTS_DIR) });
  return {
    store,
    // Paths that name an operation come before those that take any type.
    routes: [...smart.routes, ...bulk.routes, ...fhirRoutes({ ...deps, store })],
    jobs: bulk.jobs,
    jobFailed: bulk.jobFailed,
    sweeps: [...smart.sweeps, ...bulk.sweeps],
    authenticate: smart.authenticate,
    applyMessage: (tx, bundle, { sequence, changes }) =>
      applyMessage({ ...deps, store }, tx, { bundle, changes, source: `urn:lantern:hl7-feed:${sequence}` }),
  };
}

async function applyMessage(
  deps: InteractionDeps,
  tx: AnyTx,
  { bundle, changes, source }: { bundle: unknown; changes: readonly RecordChange[]; source: string },
): Promise<readonly UpdateWarning[]> {
  const parsed = parseJson(JSON.stringify(bundle), FHIR_JSON_LIMITS);
  if (!isJsonObject(parsed)) throw new AppError('internal', 'What was made of a message is no bundle.');
  try {
    return await applyMessageUpdate(deps, tx, { bundle: parsed, changes, base: NO_SERVER, source });
  } catch (caught) {
    if (isRepeatable(caught)) {
      throw new AppError('database.unavailable', 'Another writer was at the same records.', { cause: caught });
    }
    if (!(caught instanceof FhirFault)) throw caught;
    const [issue] = caught.issues;
    const place = issue?.expression === undefined ? '' : `${issue.expression}: `;
    throw new AppError('input.invalid', `${place}${issue?.diagnostics ?? caught.message}`, { cause: caught });
  }
}
