/** Research copies: describing, approving, reading them, and deciding on what was held back. */
import { type ImageCollection, RESEARCH_IMAGES_API } from '@lantern/contract';
import { type ByteResponse, defineRoute, type Route } from '@lantern/service';
import type { CollectionRow, Collections } from '../image-selection/collections.ts';
import { DATA, GOVERNANCE, PROJECT_READERS, RESEARCH_DATA } from '../roles.ts';
import type { Copies } from './copies.ts';
import type { CopyFailures } from './copy-failures.ts';
import type { previewStudy } from './preview.ts';
import type { Quarantine } from './quarantine.ts';

type RouteDeps = {
  readonly collections: Collections;
  readonly copies: Copies;
  readonly quarantine: Quarantine;
  readonly retry: CopyFailures['retry'];
  readonly preview: (wanted: Parameters<typeof previewStudy>[1], by: string) => ReturnType<typeof previewStudy>;
};

export function researchImageRoutes(deps: RouteDeps): Route[] {
  return [...collectionRoutes(deps), ...copyRoutes(deps), ...quarantineRoutes(deps)];
}

function collectionRoutes({ collections, copies, preview, retry }: RouteDeps): Route[] {
  const shownAll = async (rows: readonly CollectionRow[]) => {
    const counts = await copies.counts(rows.map(({ collection_id: id }) => id));
    return rows.flatMap((row, index) => {
      const count = counts[index];
      return count === undefined ? [] : [shown(row, count)];
    });
  };
  const shownOne = async (row: CollectionRow) => {
    const [one] = await copies.counts([row.collection_id]);
    return shown(row, one ?? NOTHING_YET);
  };
  return [
    defineRoute(RESEARCH_IMAGES_API.createImageCollection)({
      access: DATA,
      status: 201,
      handler: async ({ body, caller }) => shownOne(await collections.create(body, caller.name)),
    }),
    defineRoute(RESEARCH_IMAGES_API.listImageCollections)({
      access: PROJECT_READERS,
      handler: async () => ({ collections: await shownAll(await collections.list()) }),
    }),
    defineRoute(RESEARCH_IMAGES_API.readImageCollection)({
      access: PROJECT_READERS,
      handler: async ({ params }) => shownOne(await collections.require(params.collectionId)),
    }),
    defineRoute(RESEARCH_IMAGES_API.approveImageCollection)({
      access: GOVERNANCE,
      handler: async ({ params, body, caller }) =>
        shownOne(await collections.approve(params.collectionId, { by: caller.name, reason: body.reason })),
    }),
    defineRoute(RESEARCH_IMAGES_API.withdrawImageCollection)({
      access: GOVERNANCE,
      handler: async ({ params, body, caller }) =>
        shownOne(await collections.withdraw(params.collectionId, { by: caller.name, reason: body.reason })),
    }),
    defineRoute(RESEARCH_IMAGES_API.retryImageCollection)({
      access: DATA,
      handler: async ({ params, caller }) => shownOne(await retry(params.collectionId, caller.name)),
    }),
    defineRoute(RESEARCH_IMAGES_API.previewDeidentification)({
      access: RESEARCH_DATA,
      handler: ({ body, caller }) => preview(body, caller.name),
    }),
  ];
}

function copyRoutes({ copies }: RouteDeps): Route[] {
  return [
    defineRoute(RESEARCH_IMAGES_API.listResearchStudies)({
      access: PROJECT_READERS,
      handler: ({ params, query }) => copies.studies(params.collectionId, query.after),
    }),
    defineRoute(RESEARCH_IMAGES_API.readStudyReport)({
      access: GOVERNANCE,
      handler: ({ params }) => copies.report(params.collectionId, params.studyKey),
    }),
    defineRoute(RESEARCH_IMAGES_API.readImageManifest)({
      access: DATA,
      handler: ({ params, query, caller }) => copies.manifest(params.collectionId, caller.name, query.after),
    }),
    defineRoute(RESEARCH_IMAGES_API.readResearchInstance)({
      access: DATA,
      handler: ({ params, caller }) => copies.instance(params.collectionId, params.sopInstanceUid, caller.name),
    }),
    defineRoute(RESEARCH_IMAGES_API.readResearchVolume)({
      access: DATA,
      handler: ({ params, caller, signal }) =>
        copies.volume(params.collectionId, params.seriesInstanceUid, { by: caller.name, signal }),
    }),
  ];
}

function quarantineRoutes({ quarantine }: RouteDeps): Route[] {
  return [
    defineRoute(RESEARCH_IMAGES_API.listQuarantine)({
      access: GOVERNANCE,
      handler: ({ query }) => quarantine.list(query.state, query.after),
    }),
    defineRoute(RESEARCH_IMAGES_API.readQuarantined)({
      access: GOVERNANCE,
      handler: ({ params }) => quarantine.read(params.quarantineId),
    }),
    defineRoute(RESEARCH_IMAGES_API.renderQuarantined)({
      access: GOVERNANCE,
      handler: async ({ params, query, caller }) =>
        pictureAnswer(await quarantine.rendered(params.quarantineId, query.frame ?? 1, caller.name)),
    }),
    defineRoute(RESEARCH_IMAGES_API.releaseQuarantined)({
      access: GOVERNANCE,
      handler: ({ params, body, caller }) => quarantine.release(params.quarantineId, body, caller.name),
    }),
    defineRoute(RESEARCH_IMAGES_API.refuseQuarantined)({
      access: GOVERNANCE,
      handler: ({ params, caller }) => quarantine.refuse(params.quarantineId, caller.name),
    }),
  ];
}

function pictureAnswer(png: Buffer): ByteResponse {
  const body = (async function* () {
    yield png;
  })();
  return { status: 200, body, sizeBytes: png.byteLength, contentType: 'image/png' };
}

const NOTHING_YET: ImageCollection['copies'] = {
  pendingStudies: 0,
  waitingStudies: 0,
  doneStudies: 0,
  optedOutStudies: 0,
  failedStudies: 0,
  copiedInstances: 0,
  heldInstances: 0,
};

function shown(row: CollectionRow, counts: ImageCollection['copies']): ImageCollection {
  const { pendingStudies, waitingStudies, doneStudies, optedOutStudies, failedStudies } = counts;
  const { copiedInstances, heldInstances } = counts;
  return {
    collectionId: row.collection_id,
    name: row.name,
    version: row.version,
    state: row.state,
    profile: row.profile,
    series: row.series,
    studies: row.studies,
    createdBy: row.created_by,
    createdAt: row.created_at.toISOString(),
    ...(row.project_id === null ? {} : { projectId: row.project_id }),
    ...(row.decided_by === null ? {} : { decidedBy: row.decided_by }),
    ...(row.decided_at === null ? {} : { decidedAt: row.decided_at.toISOString() }),
    ...(row.removed_at === null ? {} : { removedAt: row.removed_at.toISOString() }),
    ...(row.fault === null ? {} : { fault: row.fault }),
    copies: {
      ...{ pendingStudies, waitingStudies, doneStudies, optedOutStudies, failedStudies },
      ...{ copiedInstances, heldInstances },
    },
  };
}
