/**
 * The tables this site offers. Registering one checks it, writes its typed form into the blob store, and tells the hub its
 * schema; rows and sizes stay here.
 *
 * A dataset of the same name registered again is a new version. Questions see it from then on. A project that was approved before
 * keeps the version that its decision names, until this site decides anew; a run keeps the content it was prepared on.
 */
import { createHmac } from 'node:crypto';
import { createReadStream } from 'node:fs';
import {
  AppError,
  type DatasetOffer,
  type DatasetSchema,
  type DatasetVersion,
  type Digest,
  DigestSchema,
  type NewDataset,
  parse,
  type RegisteredDataset,
  type UploadOffset,
} from '@lantern/contract';
import { type BlobStore, documentDigest, enqueue } from '@lantern/service';
import { JOBS } from '../jobs.ts';
import { audit, type SiteContext } from '../site-context.ts';
import type { SiteDb, SiteTx } from '../tables.ts';
import * as store from './store.ts';
import type { TableEngine } from './table-engine.ts';
import { withTypedTable } from './table-file.ts';

export type DatasetsDeps = SiteContext & {
  readonly engine: TableEngine;
  readonly blobs: BlobStore;
  /** Files on their way to becoming a dataset; apart from `blobs`, so that they can be removed. */
  readonly imports: BlobStore;
  /** The name that stands for the records of this site. */
  readonly recordsName: string | undefined;
  /** Made at this site, never leaves. */
  readonly noiseSecret: string;
  readonly sendOffers: (offers: DatasetOffer[], signal: AbortSignal) => Promise<void>;
};

/** A dataset as the rest of the site sees it. */
export type Dataset = {
  readonly schema: DatasetSchema;
  readonly schemaDigest: Digest;
  readonly contentDigest: Digest;
  readonly feasibility: DatasetOffer['feasibility'];
};

export type Datasets = ReturnType<typeof createDatasets>;

export function createDatasets(deps: DatasetsDeps) {
  return {
    async importOffset(digest: Digest): Promise<UploadOffset> {
      const stat = await deps.imports.stat(digest);
      if (stat !== undefined) return { offset: stat.sizeBytes, complete: true };
      return { offset: await deps.imports.uploadOffset(digest), complete: false };
    },

    async appendImport(
      digest: Digest,
      part: { offset: number; totalBytes: number; body: AsyncIterable<Uint8Array> },
    ): Promise<UploadOffset> {
      if (part.totalBytes === 0) throw new AppError('dataset.invalid', 'The file is empty.');
      return deps.imports.appendUpload(digest, part);
    },

    register: (dataset: NewDataset, by: { name: string; signal: AbortSignal }) => register(deps, dataset, by),

    /** The same of a file that was made here; `onRegistered` belongs to the transaction. */
    registerFile: (file: TableToRegister, by: { name: string; signal: AbortSignal }, onRegistered: OnRegistered) =>
      registerFile(deps, file, { ...by, onRegistered }),

    /** Which version of each of these is offered now, as `versionOf` names it; those that are not offered are left out. */
    async versionsOf(names: readonly string[], db: SiteDb): Promise<DatasetVersion[]> {
      const rows = (await store.listOffered(db)).filter(({ name }) => names.includes(name));
      return rows.map((row) => ({ dataset: row.name, version: versionOf(deps, row.content_digest) }));
    },

    /** A version of a dataset that is offered, be it the newest or an earlier one. */
    async findVersion(name: string, version: Digest): Promise<Dataset | undefined> {
      if ((await store.findOffered(deps.db, name)) === undefined) return undefined;
      const rows = await store.listVersions(deps.db, name);
      const row = rows.find(({ content_digest: contentDigest }) => versionOf(deps, contentDigest) === version);
      return row === undefined ? undefined : asDataset(row);
    },

    async list(): Promise<RegisteredDataset[]> {
      return (await store.listOffered(deps.db)).map(asRegistered);
    },

    async remove(name: string, by: string): Promise<void> {
      await deps.database.transaction(async (tx: SiteTx) => {
        if (!(await store.removeDataset(tx, name, deps.clock.now()))) {
          throw new AppError('not-found', `This site offers no dataset "${name}".`);
        }
        await enqueueOffer(tx);
        await audit(deps, tx, { actor: `user:${by}`, action: 'dataset.remove', object: name });
      });
    },

    /** `undefined`: not offered. */
    async find(name: string, db: SiteDb = deps.db): Promise<Dataset | undefined> {
      const row = await store.findOffered(db, name);
      return row === undefined ? undefined : asDataset(row);
    },

    /** Whether a table has or had this name: the history of its answers is of other patient numbers than those of records. */
    async isKnown(name: string): Promise<boolean> {
      return (await store.findNewest(deps.db, name)) !== undefined;
    },

    /** Job: tells the hub what is offered now. */
    async offer(signal: AbortSignal): Promise<void> {
      await deps.sendOffers((await store.listOffered(deps.db)).map(offerOf), signal);
    },
  };
}

/** One offer after another, so that the hub is never left with an older list than the newest. */
async function enqueueOffer(tx: SiteTx): Promise<void> {
  const name = JOBS.offerDatasets;
  await enqueue(tx, { name, payload: {}, key: name, queueName: name });
}

/** Names the schema that sites must agree on before they train together. */
export function schemaDigestOf(schema: DatasetSchema): Digest {
  return documentDigest(schema.columns);
}

/**
 * The name of a content outside of these walls, as a decision has it: a keyed hash, which nobody without the key can hold against a
 * table that he guesses.
 */
function versionOf({ noiseSecret }: Pick<DatasetsDeps, 'noiseSecret'>, contentDigest: Digest): Digest {
  const keyed = createHmac('sha256', noiseSecret).update(`dataset-version\0${contentDigest}`).digest('hex');
  return parse(DigestSchema, keyed, { what: 'Version of a dataset', code: 'internal' });
}

async function register(
  deps: DatasetsDeps,
  { schema, source, feasibility }: NewDataset,
  by: { name: string; signal: AbortSignal },
): Promise<RegisteredDataset> {
  if (schema.columns.some(({ kind }) => kind === 'image')) {
    const rule = 'Only a dataset that this site builds out of its records has columns of images.';
    throw new AppError('dataset.invalid', rule, { field: '/schema/columns' });
  }
  if (!(await deps.imports.has(source.digest))) {
    throw new AppError('not-found', 'The file has not been imported; upload it first.', { field: '/source/digest' });
  }
  const file = { schema, format: source.format, sourceFile: deps.imports.pathOf(source.digest), feasibility };
  const registered = await registerFile(deps, file, { ...by, onRegistered: async () => undefined });
  await deps.imports.remove(source.digest); // the same rows once more
  return registered;
}

export type TableToRegister = Pick<NewDataset, 'schema' | 'feasibility'> & {
  readonly format: NewDataset['source']['format'];
  readonly sourceFile: string;
};
type OnRegistered = (tx: SiteTx, registered: { contentDigest: Digest }) => Promise<void>;

async function registerFile(
  deps: DatasetsDeps,
  { schema, format, sourceFile, feasibility }: TableToRegister,
  by: { name: string; signal: AbortSignal; onRegistered: OnRegistered },
): Promise<RegisteredDataset> {
  if (schema.name === deps.recordsName) {
    throw new AppError('conflict', `"${schema.name}" is the name of this site's records.`, { field: '/schema/name' });
  }
  const previous = await store.findNewest(deps.db, schema.name);
  const options = {
    schema,
    format,
    sourceFile,
    previous:
      previous === undefined
        ? undefined
        : {
            schema: previous.schema,
            contentDigest: previous.content_digest,
            nextPatientNumber: previous.next_patient_number,
          },
  };
  const kept = await withTypedTable(deps.engine, options, {
    signal: by.signal,
    take: async ({ file, ...sizes }) => {
      const { digest: contentDigest } = await deps.blobs.put(createReadStream(file));
      return { contentDigest, ...sizes };
    },
  });
  const registered = { schema, schemaDigest: schemaDigestOf(schema), feasibility, ...kept };
  const at = deps.clock.now();
  await deps.database.transaction(async (tx: SiteTx) => {
    await store.removeDataset(tx, schema.name, at);
    await store.insertDataset(tx, { ...registered, registeredBy: by.name, at });
    await enqueueOffer(tx);
    await by.onRegistered(tx, registered);
    const { schemaDigest, contentDigest } = registered;
    const details = { schemaDigest, contentDigest, feasibility };
    await audit(deps, tx, { actor: `user:${by.name}`, action: 'dataset.register', object: schema.name, details });
  });
  const row = await store.findOffered(deps.db, schema.name);
  if (row === undefined) throw new AppError('conflict', 'The dataset was removed while it was registered.');
  return asRegistered(row);
}

function asDataset(row: store.DatasetRow): Dataset {
  return {
    schema: row.schema,
    schemaDigest: row.schema_digest,
    contentDigest: row.content_digest,
    feasibility: row.feasibility,
  };
}

function offerOf(row: store.DatasetRow): DatasetOffer {
  return { schema: row.schema, schemaDigest: row.schema_digest, feasibility: row.feasibility };
}

function asRegistered(row: store.DatasetRow): RegisteredDataset {
  return {
    offer: offerOf(row),
    contentDigest: row.content_digest,
    rowCount: row.row_count,
    patientCount: row.patient_count,
    registeredBy: row.registered_by,
    registeredAt: row.registered_at.toISOString(),
  };
}
