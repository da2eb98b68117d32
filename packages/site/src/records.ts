/**
 * The records of a site, wired: what receives, keeps, finds and hands on resources of FHIR. It stands on a database and a folder alone,
 * so that it serves a whole site and `lantern fhir serve` alike.
 */
import path from 'node:path';
import type { Clock, Database, Logger, Principal, QueueTask, Route } from '@lantern/service';
import { createBulkExport } from './fhir/bulk-export.ts';
import { createFhirStore, type FhirStore } from './fhir/fhir-store.ts';
import { fhirRoutes } from './fhir/routes.ts';
import { createSmart } from './fhir/smart.ts';
import type { Sweep } from './sweeper.ts';

const EXPORTS_DIR = 'fhir-exports';

export type Records = {
  readonly store: FhirStore;
  readonly routes: readonly Route[];
  readonly jobs: Readonly<Record<string, QueueTask>>;
  readonly sweeps: readonly Sweep[];
  /** Access tokens of SMART backend services, beside those of accounts. */
  authenticate(token: string): Promise<Principal | undefined>;
};

export async function createRecords(deps: {
  readonly database: Database;
  readonly clock: Clock;
  readonly log: Logger;
  readonly dataDir: string;
}): Promise<Records> {
  const store = createFhirStore(deps);
  const smart = createSmart(deps);
  const bulk = await createBulkExport({ ...deps, dir: path.join(deps.dataDir, EXPORTS_DIR) });
  return {
    store,
    // Paths that name an operation come before those that take any type.
    routes: [...smart.routes, ...bulk.routes, ...fhirRoutes({ ...deps, store })],
    jobs: bulk.jobs,
    sweeps: [...smart.sweeps, ...bulk.sweeps],
    authenticate: smart.authenticate,
  };
}
