/**
 * Whether a collection is approved, by the signature of this site. Its row only says where to look: what governance signed names the
 * collection by its id and by a digest over everything that decides which images are copied and how, so that a row that somebody
 * changed stands for nothing. A list of studies may be longer than an envelope, hence the digest.
 *
 * What the row alone could still undo is taken from the audit chain, once per process and from then on from memory: a collection
 * that was withdrawn is never approved again, and of a name no version takes more copies once a later one was approved.
 */
import { DigestSchema, IdSchema, type ImageCollectionId, PAYLOAD_TYPES, type SignedEnvelope } from '@lantern/contract';
import {
  type Clock,
  type Database,
  documentDigest,
  type KeyPair,
  type Logger,
  openEnvelope,
  signEnvelope,
  type Tx,
} from '@lantern/service';
import { Type } from 'typebox';
import { audit } from '../site-context.ts';
import type { SiteTables } from '../tables.ts';
import * as store from './store.ts';

const ApprovalSchema = Type.Object(
  {
    schema: Type.Literal('lantern.image-approval/1'),
    collectionId: IdSchema('ImageCollectionId'),
    collectionDigest: DigestSchema,
    reason: Type.String(),
    decidedBy: Type.String(),
    decidedAt: Type.String({ format: 'date-time' }),
  },
  { additionalProperties: false },
);

export type SignedApprovals = {
  sign(row: store.CollectionRow, decision: { by: string; reason: string; at: Date }): SignedEnvelope;
  /** Whether a row that says `approved` or `superseded` is what was signed last. What is not is audited, once per process. */
  stands(row: store.CollectionRow): Promise<boolean>;
  /** Of decisions that were committed just now. */
  approved(row: store.CollectionRow): void;
  withdrawn(collectionId: ImageCollectionId): void;
};

type ApprovalDeps = {
  readonly database: Database;
  readonly clock: Clock;
  readonly log: Logger;
  readonly keyPair: KeyPair;
};

/** What the audit chain says was decided. */
type Record = { readonly withdrawn: Set<ImageCollectionId>; readonly newestApproved: Map<string, number> };

export function createSignedApprovals(deps: ApprovalDeps): SignedApprovals {
  const db = deps.database.kysely<store.CollectionTables>();
  const rejected = new Set<ImageCollectionId>();
  let reading: Promise<Record> | undefined;
  const recorded = () => {
    reading ??= readRecord(db).catch((caught: unknown) => {
      reading = undefined; // the database was away; the next question reads again
      throw caught;
    });
    return reading;
  };
  const note = (change: (record: Record) => void) => void reading?.then(change).catch(() => undefined); // else it is read with the rest
  return {
    sign: (row, decision) => signed(row, decision, deps.keyPair),
    approved: ({ name, version }) => note(({ newestApproved }) => raise(newestApproved, name, version)),
    withdrawn: (collectionId) => note((record) => record.withdrawn.add(collectionId)),
    async stands(row) {
      const fault = faultOf(row, deps.keyPair, await recorded());
      if (fault === undefined) return true;
      // A decision may have been committed after the row was read: then it is no longer what it was, and nobody changed it.
      const now = await store.findCollection(db, row.collection_id);
      if (now === undefined || now.state !== row.state) return false;
      if (!rejected.has(row.collection_id)) await noteRejected(deps, row.collection_id, fault);
      rejected.add(row.collection_id);
      return false;
    },
  };
}

async function readRecord(db: store.CollectionDb): Promise<Record> {
  const record: Record = { withdrawn: new Set(), newestApproved: new Map() };
  for (const { action, collectionId, name, version } of await store.readAuditedDecisions(db)) {
    if (action === 'image-collection.withdraw') record.withdrawn.add(collectionId);
    else raise(record.newestApproved, name, version);
  }
  return record;
}

function raise(newest: Map<string, number>, name: string, version: number): void {
  newest.set(name, Math.max(version, newest.get(name) ?? 0));
}

function digestOf({ name, version, project_id: projectId, profile, series, studies }: store.CollectionRow) {
  return documentDigest({ name, version, projectId, profile, series, studies });
}

function signed(
  row: store.CollectionRow,
  { by, reason, at }: { by: string; reason: string; at: Date },
  keyPair: KeyPair,
): SignedEnvelope {
  const payload = {
    schema: 'lantern.image-approval/1',
    collectionId: row.collection_id,
    collectionDigest: digestOf(row),
    reason,
    decidedBy: by,
    decidedAt: at.toISOString(),
  };
  return signEnvelope({ payloadType: PAYLOAD_TYPES.imageApproval, payload, keyPair });
}

/** Pure but for the signature check: why a row is not what was signed last. */
function faultOf(row: store.CollectionRow, signer: KeyPair, record: Record): string | undefined {
  if (record.withdrawn.has(row.collection_id)) return 'The collection was withdrawn.';
  if (row.state === 'approved' && row.version < (record.newestApproved.get(row.name) ?? 0))
    return 'A later version was approved.';
  if (row.approval === null) return 'The approval is not signed.';
  try {
    const payloadType = PAYLOAD_TYPES.imageApproval;
    const approval = openEnvelope(row.approval, { payloadType, schema: ApprovalSchema, signer });
    if (approval.collectionId !== row.collection_id) return 'The approval is of another collection.';
    return approval.collectionDigest === digestOf(row) ? undefined : 'The collection is not the one that was approved.';
  } catch {
    return 'The approval is not what this site signed.'; // whatever was done to it
  }
}

async function noteRejected(deps: ApprovalDeps, collectionId: ImageCollectionId, reason: string): Promise<void> {
  deps.log.error(
    { collectionId, reason },
    'an image collection is not what this site signed; nothing is copied for it',
  );
  await deps.database.transaction((tx: Tx<SiteTables>) =>
    audit(deps, tx, {
      actor: 'site',
      action: 'image-collection.reject',
      object: collectionId,
      outcome: 'failure',
      details: { code: 'envelope.rejected', reason },
    }),
  );
}
