/**
 * Bulk Data Access (HL7 FHIR Bulk Data 2): an export is asked for, made by a durable job, polled, fetched as one file of JSON lines per
 * type, and forgotten after a day.
 *
 *   running ──► done ──► (removed: expired or told to)
 *      ├──► failed ──► (removed)
 *      └──► (cancelled: removed, and the job finds nothing to do)
 *
 * It holds what was there when it was asked for, as far as it has not changed since: a resource that changes meanwhile is left out and
 * is in the next export with `_since`.
 */
import { randomUUID } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { AppError, FHIR_API } from '@lantern/contract';
import { isResourceType, patientCompartment, writeJson } from '@lantern/hl7';
import {
  type ByteResponse,
  type Clock,
  type Database,
  defineRoute,
  enqueue,
  type FailedJob,
  makePrivateFolder,
  type QueueTask,
  type Route,
  type Tx,
  type UserCaller,
} from '@lantern/service';
import type { Sweep } from '../sweeper.ts';
import { recordAccess } from './access-record.ts';
import { answerOf, type FhirAnswer } from './answer.ts';
import { writeNdjson } from './export-files.ts';
import * as store from './export-store.ts';
import { FhirFault } from './fhir-fault.ts';
import { RECORD_READERS, scopeGuard } from './record-access.ts';
import { type Asked, answered, baseOf, outcomeBody } from './routes.ts';

const EXPORT_JOB = 'fhir-export';
const KEPT_MS = 24 * 3_600_000; // a night and a day to fetch it
const SWEEP_MS = 60_000;
const RUNNING_COUNT_MAX = 10; // each reads the whole store; more at once only wait for each other
const RETRY_AFTER_S = 2;

export type BulkExportDeps = { readonly database: Database; readonly clock: Clock; readonly dir: string };

export type BulkExport = {
  readonly routes: readonly Route[];
  readonly jobs: Readonly<Record<string, QueueTask>>;
  /** For the queue: an export that will not be tried again says so to who waits for it. */
  jobFailed(job: FailedJob): Promise<void>;
  readonly sweeps: readonly Sweep[];
};

export async function createBulkExport(deps: BulkExportDeps): Promise<BulkExport> {
  await makePrivateFolder(deps.dir);
  return {
    routes: exportRoutes(deps),
    jobs: { [EXPORT_JOB]: (payload, { signal }) => runExport(deps, payload, signal) },
    jobFailed: (job) => giveUp(deps, job),
    sweeps: [{ name: 'expired FHIR exports', everyMs: SWEEP_MS, run: () => sweep(deps) }],
  };
}

/** A job that is cancelled may still write into it, which makes it not empty again; it goes with that job at the latest. */
async function removeFolder(folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 20 });
}

async function sweep({ database, clock, dir }: BulkExportDeps): Promise<void> {
  for (const exportId of await store.expiredExports(database, clock.now())) {
    await store.removeExport(database, exportId);
    await removeFolder(path.join(dir, exportId));
  }
}

async function kickOff(deps: BulkExportDeps, asked: Asked, onlyPatients: boolean): Promise<FhirAnswer> {
  const { searchParams: query, caller, headers } = asked;
  if (!/respond-async/.test(String(headers['prefer'] ?? ''))) {
    throw new FhirFault(400, 'invalid', 'Prefer: an export needs respond-async.');
  }
  const types = query.get('_type')?.split(',') ?? null;
  const since = query.get('_since');
  for (const name of query.keys()) {
    if (!['_type', '_since', '_outputFormat'].includes(name)) {
      throw new FhirFault(
        400,
        'not-supported',
        'Of the parameters of $export _type, _since and _outputFormat are supported.',
      );
    }
  }
  const format = query.get('_outputFormat') ?? 'ndjson';
  if (!['application/fhir+ndjson', 'application/ndjson', 'ndjson'].includes(format.replace(' ', '+'))) {
    throw new FhirFault(400, 'not-supported', '_outputFormat: application/fhir+ndjson is supported.');
  }
  if (types?.some((type) => !isResourceType(type)))
    throw new FhirFault(400, 'invalid', '_type: FHIR R4 has no such type.');
  if (since !== null && Number.isNaN(Date.parse(since)))
    throw new FhirFault(400, 'invalid', '_since: it is an instant.');
  const guard = scopeGuard(caller);
  for (const type of types ?? ['*']) guard(type, 'read');
  const exportId = randomUUID();
  await deps.database.transaction(async (tx: Tx) => {
    if ((await store.countRunning(tx)) >= RUNNING_COUNT_MAX) {
      throw new AppError('auth.rate-limited', `At most ${RUNNING_COUNT_MAX} exports run at once.`);
    }
    await store.addExport(tx, {
      exportId,
      request: `${baseOf(asked)}/${onlyPatients ? 'Patient/' : ''}$export${query.size === 0 ? '' : `?${query}`}`,
      types,
      onlyPatients,
      since: since === null ? null : new Date(since),
      requestedBy: caller.name,
      requestedAt: deps.clock.now(),
    });
    await enqueue(tx, { name: EXPORT_JOB, payload: { exportId } });
  });
  return answerOf(202, '', { 'content-location': `${baseOf(asked)}/$export-status/${exportId}` });
}

/** Types that belong to patients, and the patients. */
function patientTypes(): string[] {
  return ['Patient', ...Object.keys(patientCompartment())];
}

function exportIdOf(payload: unknown): string {
  return typeof payload === 'object' && payload !== null && 'exportId' in payload ? String(payload.exportId) : '';
}

async function giveUp({ database, clock, dir }: BulkExportDeps, { name, payload }: FailedJob): Promise<void> {
  if (name !== EXPORT_JOB) return;
  const exportId = exportIdOf(payload);
  const expiresAt = new Date(clock.now().getTime() + KEPT_MS);
  await store.endExport(database, { exportId, event: 'fail', files: [], expiresAt });
  await removeFolder(path.join(dir, exportId));
}

async function runExport(
  { database, clock, dir }: BulkExportDeps,
  payload: unknown,
  signal: AbortSignal,
): Promise<void> {
  const exportId = exportIdOf(payload);
  const found = await store.findExport(database, exportId);
  if (found === undefined || found.state !== 'running') return;
  const folder = path.join(dir, exportId);
  await removeFolder(folder); // of an attempt that was cut off
  await makePrivateFolder(folder);
  const files = await writeFiles({ database, folder, found, signal });
  const expiresAt = new Date(clock.now().getTime() + KEPT_MS);
  const isWanted = await store.endExport(database, { exportId, event: 'finish', files, expiresAt });
  if (!isWanted) await removeFolder(folder);
}

async function writeFiles({
  database,
  folder,
  found,
  signal,
}: {
  readonly database: Database;
  readonly folder: string;
  readonly found: store.Export;
  readonly signal: AbortSignal;
}): Promise<store.ExportFile[]> {
  const ofPatients = found.onlyPatients ? patientTypes() : undefined;
  const types = found.types === null ? ofPatients : found.types.filter((type) => ofPatients?.includes(type) ?? true);
  const counts = await writeNdjson(database, folder, { types, until: found.untilKey, since: found.since, signal });
  return [...counts].map(([type, count]) => ({ type, name: `${type}.ndjson`, count }));
}

/** An export is its requester's: what one program may read another may not. */
async function ownExport({ database }: BulkExportDeps, exportId: string, caller: UserCaller): Promise<store.Export> {
  const found = await store.findExport(database, exportId);
  if (found !== undefined && found.requestedBy === caller.name) return found;
  throw new FhirFault(404, 'not-found', 'There is no such export; it may have expired.');
}

function statusAnswer(found: store.Export, base: string): FhirAnswer {
  if (found.state === 'running') {
    return answerOf(202, '', { 'x-progress': 'running', 'retry-after': String(RETRY_AFTER_S) });
  }
  if (found.state === 'failed') {
    throw new AppError('internal', 'The export failed and is not tried again; the log of the site says why.');
  }
  const output = (found.files ?? []).map(({ type, name, count }) => ({
    type,
    url: `${base}/$export-files/${found.exportId}/${name}`,
    count,
  }));
  const manifest = {
    transactionTime: found.requestedAt.toISOString(),
    request: found.request,
    requiresAccessToken: true,
    output,
    error: [],
  };
  return answerOf(200, writeJson(manifest), { expires: (found.expiresAt ?? found.requestedAt).toUTCString() });
}

async function fileAnswer(deps: BulkExportDeps, found: store.Export, name: string): Promise<ByteResponse> {
  const file = found.files?.find((one) => one.name === name);
  if (file === undefined) throw new AppError('not-found', 'The export has no such file.');
  const location = path.join(deps.dir, found.exportId, file.name);
  const { size } = await stat(location);
  return { status: 200, contentType: 'application/fhir+ndjson', sizeBytes: size, body: createReadStream(location) };
}

function exportRoutes(deps: BulkExportDeps): Route[] {
  const reading = { access: RECORD_READERS, errorBody: outcomeBody } as const;
  const start = (asked: Asked, onlyPatients: boolean): Promise<ByteResponse> =>
    answered(() =>
      recordAccess(
        deps,
        { caller: asked.caller, action: 'export', type: '*', parameters: [...asked.searchParams.keys()] },
        () => kickOff(deps, asked, onlyPatients),
      ),
    );
  return [
    defineRoute(FHIR_API.exportSystem)({ ...reading, handler: (asked) => start(asked, false) }),
    defineRoute(FHIR_API.exportPatients)({ ...reading, handler: (asked) => start(asked, true) }),
    defineRoute(FHIR_API.exportStatus)({
      ...reading,
      handler: (asked) =>
        answered(async () => statusAnswer(await ownExport(deps, asked.params.exportId, asked.caller), baseOf(asked))),
    }),
    defineRoute(FHIR_API.exportCancel)({
      ...reading,
      handler: (asked) =>
        answered(async () => {
          const { exportId } = await ownExport(deps, asked.params.exportId, asked.caller);
          await store.removeExport(deps.database, exportId);
          await removeFolder(path.join(deps.dir, exportId));
          return answerOf(202, '');
        }),
    }),
    defineRoute(FHIR_API.exportFile)({
      ...reading,
      handler: async (asked) => {
        const found = await ownExport(deps, asked.params.exportId, asked.caller).catch(() => undefined);
        if (found === undefined) throw new AppError('not-found', 'There is no such export; it may have expired.');
        return fileAnswer(deps, found, asked.params.file);
      },
    }),
  ];
}
