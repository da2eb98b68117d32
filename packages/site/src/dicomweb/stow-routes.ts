/** STOW-RS (PS3.18 10.5): files of PS3.10, one or many in a request. Metadata with bulk data apart are refused: 415. */
import { AppError, DICOMWEB_TRANSFER_API } from '@lantern/contract';
import { parseMediaType, readMultipart } from '@lantern/dicom';
import {
  appendAudit,
  type ByteResponse,
  type Clock,
  type Database,
  defineRoute,
  type HttpRequest,
  type Logger,
  type Route,
  type Tx,
} from '@lantern/service';
import type { Archive } from '../archive/archive.ts';
import { fromDicomError } from '../dicom-fault.ts';
import type { OwnAe } from '../dimse/dicom-settings.ts';
import { DATA } from '../roles.ts';
import { FAILURE, type StoreOutcome, storeFile, storeParts } from './storing.ts';

/** As much as arrives in the fifteen minutes that a request may take, over a fast link. */
const BODY_BYTES_MAX = 128 * 1024 ** 3;
const DICOM = 'application/dicom';
const ROOT = '/dicom-web/studies';

export type StowDeps = {
  readonly database: Database;
  readonly clock: Clock;
  readonly log: Logger;
  readonly archive: Pick<Archive, 'receive'>;
  /** Under whose title what comes by the web is received. */
  readonly ownAe: OwnAe;
};

type Asked = Pick<HttpRequest, 'headers' | 'bodyStream' | 'origin'> & { readonly caller: { readonly name: string } };

export function stowRoutes(deps: StowDeps): Route[] {
  const options = { access: DATA, stream: true, bodyLimitBytes: BODY_BYTES_MAX } as const;
  return [
    defineRoute(DICOMWEB_TRANSFER_API.storeInstances)({
      ...options,
      handler: (asked) => store(deps, asked, undefined),
    }),
    defineRoute(DICOMWEB_TRANSFER_API.storeInstancesOfStudy)({
      ...options,
      handler: (asked) => store(deps, asked, asked.params.study),
    }),
  ];
}

async function store(deps: StowDeps, asked: Asked, studyInstanceUid: string | undefined): Promise<ByteResponse> {
  const { archive, ownAe, log } = deps;
  const outcomes = await outcomesOf(asked, {
    receive: (instance) => archive.receive(instance),
    callingAe: asked.caller.name,
    calledAe: ownAe.aeTitle,
    lateOpensRevision: ownAe.late !== 'join',
    studyInstanceUid,
  });
  for (const outcome of outcomes) {
    if (outcome.kind === 'failed' && outcome.reason === FAILURE.processing) {
      log.error({ err: outcome.cause }, 'an instance that came by STOW-RS could not be stored');
    }
  }
  await record(deps, asked, outcomes);
  const report = Buffer.from(JSON.stringify(reportOf(outcomes, asked.origin)));
  return {
    status: statusOf(outcomes),
    contentType: 'application/dicom+json',
    sizeBytes: report.byteLength,
    body: only(report),
  };
}

async function outcomesOf(asked: Asked, context: Parameters<typeof storeParts>[1]): Promise<StoreOutcome[]> {
  const type = parseMediaType(asked.headers['content-type'] ?? '');
  const content = type?.name === DICOM ? DICOM : (type?.parameters.get('type') ?? DICOM).toLowerCase();
  if (type === undefined || content !== DICOM) {
    const message = `Whole DICOM files are stored, as ${DICOM}: metadata with bulk data apart are not taken.`;
    throw new AppError('input.unsupported', message, { field: 'content-type' });
  }
  if (type.name === DICOM) return [await storeFile(copied(asked.bodyStream), context)];
  const boundary = type.parameters.get('boundary');
  if (boundary === undefined) {
    throw new AppError('input.invalid', 'The content type names no boundary.', { field: 'content-type' });
  }
  const outcomes = await storeParts(readMultipart(asked.bodyStream, boundary), context).catch((caught: unknown) => {
    throw fromDicomError(caught);
  });
  if (outcomes.length > 0) return outcomes;
  throw new AppError('input.invalid', 'body: there is no part in it.');
}

/** The server uses the memory of a piece again. */
async function* copied(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  for await (const piece of pieces) yield Buffer.from(piece);
}

async function* only(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

/** PS3.18 table 10.5.3-1. */
function statusOf(outcomes: readonly StoreOutcome[]): ByteResponse['status'] {
  const failures = outcomes.flatMap((outcome) => (outcome.kind === 'failed' ? outcome : []));
  if (failures.length === 0) return 200;
  if (failures.length < outcomes.length) return 202;
  if (failures.every(({ reason }) => reason === FAILURE.outOfResources)) return 507;
  return failures.every(({ sopInstanceUid }) => sopInstanceUid === undefined) ? 400 : 409;
}

type Item = Readonly<Record<string, { readonly vr: string; readonly Value: readonly unknown[] }>>;

const RETRIEVE_URL = '00081190';

/** Store Instances Response Module (PS3.18 I.2), in the JSON model. */
function reportOf(outcomes: readonly StoreOutcome[], origin: string): Item {
  const root = `${origin}${ROOT}`;
  const studies = new Set<string>();
  const stored: Item[] = [];
  const failed: Item[] = [];
  const others: Item[] = [];
  for (const outcome of outcomes) {
    const { sopClassUid, sopInstanceUid } = outcome;
    const reference: Item =
      sopClassUid === undefined || sopInstanceUid === undefined
        ? {}
        : { '00081150': value('UI', sopClassUid), '00081155': value('UI', sopInstanceUid) };
    if (outcome.kind === 'failed') {
      const list = sopInstanceUid === undefined ? others : failed;
      list.push({ ...reference, '00081197': value('US', outcome.reason) });
      continue;
    }
    const { studyInstanceUid, seriesInstanceUid } = outcome.received;
    studies.add(studyInstanceUid);
    const url = `${root}/${studyInstanceUid}/series/${seriesInstanceUid}/instances/${sopInstanceUid}`;
    stored.push({ ...reference, [RETRIEVE_URL]: value('UR', url) });
  }
  const [study, ...otherStudies] = studies;
  return {
    ...(study !== undefined && otherStudies.length === 0 ? { [RETRIEVE_URL]: value('UR', `${root}/${study}`) } : {}),
    ...sequence('00081198', failed),
    ...sequence('00081199', stored),
    ...sequence('0008119A', others),
  };
}

const value = (vr: string, one: unknown) => ({ vr, Value: [one] });

/** FailedSOPSequence, ReferencedSOPSequence, OtherFailuresSequence: where there are none, the element is not there. */
function sequence(tag: string, items: readonly Item[]): Item {
  return items.length === 0 ? {} : { [tag]: { vr: 'SQ', Value: items } };
}

async function record({ database, clock, ownAe }: StowDeps, { caller }: Asked, outcomes: readonly StoreOutcome[]) {
  const storedCount = outcomes.filter(({ kind }) => kind === 'stored').length;
  const failedCount = outcomes.length - storedCount;
  await database.transaction((tx: Tx) =>
    appendAudit(tx, {
      at: clock.now(),
      actor: `user:${caller.name}`,
      action: 'images.store',
      object: 'images',
      outcome: storedCount > 0 ? 'success' : 'failure',
      details: { storedCount, failedCount, calledAe: ownAe.aeTitle },
    }),
  );
}
