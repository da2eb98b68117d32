/**
 * Images of the archive and their research copies, as a dataset of records takes them: found by study, chosen by the rules of
 * collections, and referred to by what cannot be exchanged unnoticed.
 *
 * A reference is a collection, a new UID and the SHA-256 over the files. It says nothing of a patient, and only this site can resolve
 * it. Invariants: a reference is made of a finished copy in an approved collection; it gives files only while that collection stands
 * for the project that asks and the lists of opt-outs are not too old, and only while the copy is byte for byte what it was.
 */
import { AppError, IdSchema, type ImageCollectionId, type ProjectId, parse, type SeriesRule } from '@lantern/contract';
import type { Clock, Database, Tx } from '@lantern/service';
import type { Collections } from '../image-selection/collections.ts';
import type { StoredStudies } from '../image-selection/stored-study.ts';
import type { OptOuts } from '../opt-outs/opt-outs.ts';
import { audit } from '../site-context.ts';
import type { SiteTables } from '../tables.ts';
import { readable } from './copies.ts';
import type { CopyFiles } from './copy-files.ts';
import {
  type ArchivedStudy,
  archivedStudies,
  type CopiedSeries,
  filesOfSeries,
  finishedSeries,
  type StudyWanted,
} from './series-store.ts';
import type { ResearchTables } from './store.ts';

export type { ArchivedStudy, StudyWanted };

/** Bounds a statement and what it gives. */
const SERIES_AT_ONCE = 500;

export type ResearchSeries = {
  /** Those that are here. */
  studies(wanted: StudyWanted): Promise<ArchivedStudy[]>;
  /** Keys of the series of a study of which an image fits one of the rules. */
  fitting(studyKey: string, rules: readonly SeriesRule[]): Promise<ReadonlySet<string>>;
  /** The approved collection of a name. Throws `policy.not-approved`, `policy.refused` or `envelope.rejected`. */
  collectionOf(name: string): Promise<ImageCollectionId>;
  /** References to finished copies of the series of a study, by the keys of the series. */
  referencesOf(study: { collectionId: ImageCollectionId; studyKey: string }): Promise<ReadonlyMap<string, string>>;
  /** Throws as `collectionOf` and `filesOf` where the collection of one of the references may not be read for the project now. */
  assertReadable(references: readonly string[], projectId: ProjectId): Promise<void>;
  /**
   * Paths of the files of the references that are still what they were; the others are left out. Throws as `collectionOf`, and
   * `policy.refused` where a collection is of another project.
   */
  filesOf(
    references: readonly string[],
    reader: { projectId: ProjectId; runId: string },
  ): Promise<ReadonlyMap<string, readonly string[]>>;
};

type ResearchSeriesDeps = {
  readonly database: Database;
  readonly clock: Clock;
  readonly stored: StoredStudies;
  readonly collections: Collections;
  readonly optOuts: OptOuts;
  readonly files: CopyFiles;
};

export function createResearchSeries(deps: ResearchSeriesDeps): ResearchSeries {
  const db = deps.database.kysely<ResearchTables>();
  return {
    studies: (wanted) => archivedStudies(db, wanted),
    async fitting(studyKey, rules) {
      const taken = await deps.stored.taken(rules, await deps.stored.instancesOf(studyKey));
      return new Set(taken.map(({ seriesKey }) => seriesKey));
    },
    async collectionOf(name) {
      const approved = (await deps.collections.list()).find((row) => row.name === name && row.state === 'approved');
      if (approved === undefined)
        throw new AppError('policy.not-approved', `This site has no approved collection "${name}" of images.`);
      return (await readable(deps, approved.collection_id)).collection_id;
    },
    async referencesOf(study) {
      const finished = await finishedSeries(db, study);
      return new Map([...finished].map(([seriesKey, copy]) => [seriesKey, referenceTo(copy)]));
    },
    async assertReadable(references, projectId) {
      for (const collectionId of new Set(references.map(collectionIn)))
        await assertReadable(deps, collectionId, projectId);
    },
    async filesOf(references, reader) {
      const found = new Map<string, readonly string[]>();
      for (const [collectionId, own] of Map.groupBy(references, collectionIn)) {
        await assertReadable(deps, collectionId, reader.projectId);
        const wanted = new Set(own);
        for (let from = 0; from < own.length; from += SERIES_AT_ONCE) {
          const seriesInstanceUids = own.slice(from, from + SERIES_AT_ONCE).map(seriesIn);
          for (const series of await filesOfSeries(db, { collectionId, seriesInstanceUids })) {
            const reference = referenceTo(series);
            if (!wanted.has(reference)) continue;
            found.set(
              reference,
              series.files.map((file) => deps.files.pathOf(collectionId, file)),
            );
          }
        }
        await recordRead(deps, collectionId, { runId: reader.runId, seriesCount: own.length });
      }
      return found;
    },
  };
}

async function assertReadable(
  deps: ResearchSeriesDeps,
  collectionId: ImageCollectionId,
  projectId: ProjectId,
): Promise<void> {
  const { project_id: owner } = await readable(deps, collectionId);
  if (owner !== null && owner !== projectId)
    throw new AppError('policy.refused', 'The images of this dataset are of a collection of another project.');
}

function referenceTo({ collectionId, seriesInstanceUid, sha256 }: CopiedSeries): string {
  return `${collectionId}/${seriesInstanceUid}/${sha256}`;
}

function collectionIn(reference: string): ImageCollectionId {
  const [collectionId] = reference.split('/');
  return parse(IdSchema('ImageCollectionId'), collectionId, { what: 'Reference to an image', code: 'internal' });
}

function seriesIn(reference: string): string {
  return reference.split('/')[1] ?? '';
}

function recordRead(
  deps: ResearchSeriesDeps,
  collectionId: ImageCollectionId,
  details: { runId: string; seriesCount: number },
): Promise<void> {
  const line = { actor: 'site', action: 'image-collection.read', object: collectionId, details } as const;
  return deps.database.transaction((tx: Tx<SiteTables>) => audit(deps, tx, line));
}
