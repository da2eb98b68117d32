/** Studies of the archive as research sees them: their instances, and which of them a collection takes. */
import { setImmediate } from 'node:timers/promises';
import { AppError, type SeriesRule } from '@lantern/contract';
import { DicomError, openFileSource, readPart10 } from '@lantern/dicom';
import type { Database } from '@lantern/service';
import { asksForFacts, type Image, type ImageFacts, imageFactsOf, NO_FACTS, takenImages } from './series-rules.ts';
import * as store from './store.ts';

/** Headers are read in one go; between so many the process does other things. */
const HEADERS_AT_ONCE = 32;

export type StoredInstance = store.InstanceRow;
export type StoredStudy = store.StudyRow;

export type StoredStudies = {
  find(where: { studyKey: string } | { studyInstanceUid: string }): Promise<StoredStudy | undefined>;
  instancesOf(studyKey: string): Promise<StoredInstance[]>;
  instance(instanceKey: string): Promise<StoredInstance>;
  /** Those of `instances` that the rules take, series by series. */
  taken(rules: readonly SeriesRule[], instances: readonly StoredInstance[]): Promise<StoredInstance[]>;
  pathOf(instance: StoredInstance): string;
};

type StoredStudiesDeps = { readonly database: Database; readonly files: { pathOf(file: string): string } };

export function createStoredStudies({ database, files }: StoredStudiesDeps): StoredStudies {
  const db = database.kysely<store.CollectionTables>();
  const pathOf = ({ file }: StoredInstance) => files.pathOf(file);
  return {
    pathOf,
    find: (where) => store.findStudy(db, where),
    instancesOf: (studyKey) => store.instancesOf(db, studyKey),
    async instance(instanceKey) {
      const row = await store.findInstance(db, instanceKey);
      if (row === undefined) throw new AppError('not-found', 'The archive has no such instance any more.');
      return row;
    },
    async taken(rules, instances) {
      const taken: StoredInstance[] = [];
      for (const ofSeries of Map.groupBy(instances, ({ seriesKey }) => seriesKey).values()) {
        const [series] = ofSeries;
        if (series === undefined) continue;
        const reads = asksForFacts(rules, series);
        const images: (Image & { readonly instance: StoredInstance })[] = [];
        for (const [index, instance] of ofSeries.entries()) {
          const facts = reads ? factsIn(pathOf(instance)) : NO_FACTS;
          images.push({ instance, sopClassUid: instance.sopClassUid, frameCount: instance.frameCount ?? 1, facts });
          if (reads && index % HEADERS_AT_ONCE === 0) await setImmediate();
        }
        taken.push(...takenImages(rules, series, images).map(({ instance }) => instance));
      }
      return taken;
    },
  };
}

function factsIn(path: string): ImageFacts {
  const source = openFileSource(path);
  try {
    return imageFactsOf(readPart10(source).dataSet);
  } catch (caught) {
    if (caught instanceof DicomError) return NO_FACTS;
    throw caught;
  } finally {
    source.close();
  }
}
