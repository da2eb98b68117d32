/**
 * Collections of images for research: what a data engineer describes and the governance lead approves.
 *
 *   draft ──approve──► approved ──approve of a newer version──► superseded
 *     └──────────────────┴────────withdraw──────────────────────┴──► withdrawn        (contract IMAGE_COLLECTION_STATES)
 *
 * A version never changes. Whoever wants another profile or other series makes the next version, which has to be approved again and
 * has copies of its own: what was made under two profiles is never mixed.
 */
import {
  AppError,
  type CollectionFault,
  IMAGE_COLLECTION_STATES,
  type ImageCollectionId,
  type ImageCollectionState,
  type NewImageCollection,
  type ProjectId,
  type SignedEnvelope,
  transition,
} from '@lantern/contract';
import {
  type DeidentificationProfile,
  DicomError,
  PROFILE_DEFAULT,
  parseDeidentificationProfile,
} from '@lantern/dicom';
import {
  type AnyTx,
  type Clock,
  type Database,
  type KeyPair,
  type Logger,
  newId,
  type Tx,
  transactionOf,
} from '@lantern/service';
import { audit } from '../site-context.ts';
import type { SiteTables } from '../tables.ts';
import { createSignedApprovals, type SignedApprovals } from './signed-approval.ts';
import * as store from './store.ts';

export type CollectionRow = store.CollectionRow;

type CollectionsDeps = {
  readonly database: Database;
  readonly clock: Clock;
  readonly log: Logger;
  /** Of the site, which signs what governance approves. */
  readonly keyPair: KeyPair;
  /** Whether this site's decision on a project stands; absent where the node has no hub. */
  readonly projectStands?: ((projectId: ProjectId) => Promise<boolean>) | undefined;
  /** Write the jobs that follow. */
  readonly onApproved: (tx: AnyTx, collectionId: ImageCollectionId) => Promise<void>;
  readonly onWithdrawn: (tx: AnyTx, collectionId: ImageCollectionId) => Promise<void>;
};

type Decision = { readonly by: string; readonly reason: string };
export type Collections = ReturnType<typeof createCollections>;

export function createCollections(deps: CollectionsDeps) {
  const db = deps.database.kysely<store.CollectionTables>();
  const approvals = createSignedApprovals(deps);
  const projectStands = async ({ project_id: projectId }: CollectionRow) =>
    projectId === null || deps.projectStands === undefined || (await deps.projectStands(projectId));
  return {
    /** Of a collection that was approved: whether it may be copied for and read, or why not. */
    async standing(row: CollectionRow): Promise<'stands' | 'approval-not-signed' | 'project-not-approved'> {
      if (!(await approvals.stands(row))) return 'approval-not-signed';
      return (await projectStands(row)) ? 'stands' : 'project-not-approved';
    },
    list: () => store.listCollections(db),
    find: (collectionId: ImageCollectionId) => store.findCollection(db, collectionId),
    require: (collectionId: ImageCollectionId) => requireCollection(db, collectionId),
    create: (wanted: NewImageCollection, by: string) => create(deps, wanted, by),

    async approve(collectionId: ImageCollectionId, decision: Decision): Promise<CollectionRow> {
      if (!(await projectStands(await requireCollection(db, collectionId))))
        throw new AppError('policy.not-approved', "This site's approval of the collection's project does not stand.");
      const row = await deps.database.transaction((tx: Tx<store.CollectionTables>) =>
        approve({ ...deps, approvals }, tx, { collectionId, decision }),
      );
      approvals.approved(row);
      return row;
    },

    async withdraw(collectionId: ImageCollectionId, decision: Decision): Promise<CollectionRow> {
      const row = await deps.database.transaction(async (tx: Tx<store.CollectionTables>) => {
        const row = await requireLocked(tx, collectionId);
        const withdrawn = await move(deps, tx, row, { event: 'withdraw', by: decision.by });
        await deps.onWithdrawn(tx, collectionId);
        await record(deps, tx, row, { action: 'image-collection.withdraw', ...decision });
        return withdrawn;
      });
      approvals.withdrawn(collectionId);
      return row;
    },

    /** Approved collections that take a study which has just ended; what is approved beside `tx` finds the study itself. */
    async taking(tx: AnyTx, arrival: { readonly calledAe: string; readonly studyInstanceUid: string }) {
      const own = transactionOf<store.CollectionTables>(tx);
      await store.lockApprovals(own, 'following');
      return store.collectionsTaking(own, arrival);
    },
    studiesHere: (collectionId: ImageCollectionId, page: { after: string; limit: number }) =>
      store.studiesHere(db, collectionId, page),
    /** The state, which stays so until `tx` ends. */
    holdState: (tx: AnyTx, collectionId: ImageCollectionId): Promise<ImageCollectionState | undefined> =>
      store.holdState(transactionOf<store.CollectionTables>(tx), collectionId),
    markRemoved: (collectionId: ImageCollectionId) => store.setRemoved(db, collectionId, deps.clock.now()),
    setFault: (tx: AnyTx, collectionId: ImageCollectionId, fault: CollectionFault) =>
      store.setFault(transactionOf<store.CollectionTables>(tx), collectionId, fault),
    /** Its fault, which it has no more: whoever takes it sees to it. */
    async takeFault(tx: AnyTx, collectionId: ImageCollectionId): Promise<CollectionFault | undefined> {
      const own = transactionOf<store.CollectionTables>(tx);
      const row = await requireLocked(own, collectionId);
      await store.setFault(own, collectionId, null);
      return row.fault ?? undefined;
    },
  };
}

/** Throws `input.invalid` with the name of the setting. */
export function profileOf(document: Readonly<Record<string, unknown>>): DeidentificationProfile {
  try {
    return parseDeidentificationProfile(document);
  } catch (caught) {
    if (!(caught instanceof DicomError)) throw caught;
    throw new AppError('input.invalid', `profile: ${caught.message}`, { field: 'profile', cause: caught });
  }
}

async function create(deps: CollectionsDeps, wanted: NewImageCollection, by: string): Promise<CollectionRow> {
  const { name, projectId = null, series, studies } = wanted;
  profileOf(wanted.profile);
  return deps.database.transaction(async (tx: Tx<store.CollectionTables>) => {
    const newest = await store.newestVersion(tx, name);
    if (newest !== undefined && newest.project_id !== projectId)
      throw new AppError('conflict', 'A collection of this name belongs to another project.', { field: 'projectId' });
    const row = await store.insertCollection(tx, {
      collection_id: newId('ImageCollectionId'),
      name,
      version: (newest?.version ?? 0) + 1,
      project_id: projectId,
      profile: { ...PROFILE_DEFAULT, ...wanted.profile },
      series,
      studies,
      created_by: by,
      created_at: deps.clock.now(),
    });
    await record(deps, tx, row, { action: 'image-collection.create', by });
    return row;
  });
}

async function approve(
  deps: CollectionsDeps & { readonly approvals: Pick<SignedApprovals, 'sign'> },
  tx: Tx<store.CollectionTables>,
  { collectionId, decision }: { collectionId: ImageCollectionId; decision: Decision },
): Promise<CollectionRow> {
  await store.lockApprovals(tx, 'approving');
  const row = await requireLocked(tx, collectionId);
  const earlier = await store.lockApproved(tx, row.name);
  if (earlier !== undefined && earlier.version > row.version)
    throw new AppError('conflict', `Version ${earlier.version} of this collection is approved already.`);
  const at = deps.clock.now();
  const approval = deps.approvals.sign(row, { ...decision, at });
  const approved = await move(deps, tx, row, { event: 'approve', by: decision.by, at, approval });
  if (earlier !== undefined) await move(deps, tx, earlier, { event: 'supersede', by: decision.by });
  await deps.onApproved(tx, collectionId);
  await record(deps, tx, row, { action: 'image-collection.approve', ...decision });
  return approved;
}

type Move = {
  readonly event: 'approve' | 'supersede' | 'withdraw';
  readonly by: string;
  readonly at?: Date;
  readonly approval?: SignedEnvelope;
};

function move(
  { clock }: CollectionsDeps,
  tx: Tx<store.CollectionTables>,
  row: CollectionRow,
  { event, by, at = clock.now(), approval }: Move,
): Promise<CollectionRow> {
  const state = transition(IMAGE_COLLECTION_STATES, { what: 'image collection', state: row.state, event });
  return store.setState(tx, row.collection_id, { state, by, at, approval });
}

async function record(
  deps: CollectionsDeps,
  tx: Tx<store.CollectionTables>,
  row: CollectionRow,
  line: { action: string; by: string; reason?: string },
): Promise<void> {
  const { name, version, project_id: projectId } = row;
  await audit(deps, transactionOf<SiteTables>(tx), {
    actor: `user:${line.by}`,
    action: line.action,
    object: row.collection_id,
    details: {
      name,
      version,
      ...(projectId === null ? {} : { projectId }),
      ...(line.reason === undefined ? {} : { reason: line.reason }),
    },
  });
}

async function requireCollection(db: store.CollectionDb, collectionId: ImageCollectionId): Promise<CollectionRow> {
  return found(await store.findCollection(db, collectionId));
}

async function requireLocked(tx: Tx<store.CollectionTables>, collectionId: ImageCollectionId): Promise<CollectionRow> {
  return found(await store.lockCollection(tx, collectionId));
}

function found(row: CollectionRow | undefined): CollectionRow {
  if (row === undefined) throw new AppError('not-found', 'There is no such image collection.');
  return row;
}
