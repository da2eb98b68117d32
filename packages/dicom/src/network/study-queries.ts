/**
 * What is asked of an archive before studies are fetched: which there are, and what is in each (PS3.4 C.6.2, study root). A peer
 * that does not know a key ignores it and answers with everything it has (C.2.2.1.3), so what comes back is compared again.
 */
import { type DataSet, numberOf, textOf } from '../data-set.ts';
import { DicomError } from '../dicom-error.ts';
import { type ElementBuilder, textElement } from '../element-values.ts';
import type { DimseClient } from './client.ts';
import { identifierOf } from './identifier.ts';
import { SOP_CLASSES } from './sop-classes.ts';

const TAG = {
  accessionNumber: 0x00080050,
  sopClassUid: 0x00080016,
  sopInstanceUid: 0x00080018,
  patientId: 0x00100020,
  studyInstanceUid: 0x0020000d,
  seriesInstanceUid: 0x0020000e,
  instanceCount: 0x00201208,
} as const;

export type StudyKey =
  | { readonly by: 'accession-number'; readonly value: string }
  | { readonly by: 'study-instance-uid'; readonly value: string }
  | { readonly by: 'patient-id'; readonly value: string };

const KEYWORDS = {
  'accession-number': ['AccessionNumber', TAG.accessionNumber],
  'study-instance-uid': ['StudyInstanceUID', TAG.studyInstanceUid],
  'patient-id': ['PatientID', TAG.patientId],
} as const satisfies Record<StudyKey['by'], readonly [string, number]>;

export type FoundStudy = {
  readonly studyInstanceUid: string;
  /** NumberOfStudyRelatedInstances, which a peer need not tell. */
  readonly instanceCount: number | undefined;
};

export type FoundInstance = {
  readonly seriesInstanceUid: string;
  readonly sopInstanceUid: string;
  /** '' where the peer does not tell. */
  readonly sopClassUid: string;
};

/** Whether a key names one value: wildcards and lists (PS3.4 C.2.2.2) would fetch what nobody listed. */
export function isSingleKey(value: string): boolean {
  return value.length > 0 && value.length <= 64 && !/[*?\\\p{Cc}]/u.test(value);
}

/** The studies whose key is exactly `value`. Throws as `find` does. */
export async function findStudies(client: DimseClient, key: StudyKey, signal?: AbortSignal): Promise<FoundStudy[]> {
  const [keyword, tag] = KEYWORDS[key.by];
  const wanted: Record<string, string> = {
    AccessionNumber: '',
    PatientID: '',
    StudyInstanceUID: '',
    [keyword]: key.value,
  };
  const found = new Map<string, FoundStudy>();
  const identifier = identifierOf([
    textElement('QueryRetrieveLevel', 'STUDY'),
    ...Object.entries(wanted).map(([name, value]) => textElement(name, value)),
    textElement('NumberOfStudyRelatedInstances', ''),
  ]);
  for await (const match of client.find(identifier, { sopClass: SOP_CLASSES.studyRootFind, ...withSignal(signal) })) {
    const studyInstanceUid = textOf(match, TAG.studyInstanceUid);
    if (studyInstanceUid === undefined || textOf(match, tag)?.trim() !== key.value) continue;
    found.set(studyInstanceUid, { studyInstanceUid, instanceCount: numberOf(match, TAG.instanceCount) });
  }
  return [...found.values()];
}

/**
 * Everything in a study: the series, then the instances of each, as a hierarchical search has to (PS3.4 C.4.1.3.1.1). A peer that
 * has to open its files to tell of what class they are fails where one is gone; it is then asked without.
 */
export async function listInstances(
  client: DimseClient,
  studyInstanceUid: string,
  signal?: AbortSignal,
): Promise<FoundInstance[]> {
  const study = textElement('StudyInstanceUID', studyInstanceUid);
  const ask = (level: string, ...keys: ElementBuilder[]) => {
    const identifier = identifierOf([textElement('QueryRetrieveLevel', level), study, ...keys]);
    return client.find(identifier, { sopClass: SOP_CLASSES.studyRootFind, ...withSignal(signal) });
  };
  const listSeries = async (seriesInstanceUid: string, ...keys: ElementBuilder[]) => {
    const series = textElement('SeriesInstanceUID', seriesInstanceUid);
    const found: FoundInstance[] = [];
    for await (const match of ask('IMAGE', series, textElement('SOPInstanceUID', ''), ...keys)) {
      const instance = instanceIn(match, seriesInstanceUid);
      if (instance !== undefined) found.push(instance);
    }
    return found;
  };
  const series = new Set<string>();
  for await (const match of ask('SERIES', textElement('SeriesInstanceUID', ''))) {
    series.add(textOf(match, TAG.seriesInstanceUid) ?? '');
  }
  const instances = new Map<string, FoundInstance>();
  for (const uid of series) {
    const found = await listSeries(uid, textElement('SOPClassUID', '')).catch((error: unknown) => {
      if (error instanceof DicomError && error.code === 'refused') return listSeries(uid);
      throw error;
    });
    for (const instance of found) instances.set(instance.sopInstanceUid, instance);
  }
  return [...instances.values()];
}

function instanceIn(match: DataSet, seriesInstanceUid: string): FoundInstance | undefined {
  const sopInstanceUid = textOf(match, TAG.sopInstanceUid);
  if (sopInstanceUid === undefined) return undefined;
  return { seriesInstanceUid, sopInstanceUid, sopClassUid: textOf(match, TAG.sopClassUid) ?? '' };
}

function withSignal(signal: AbortSignal | undefined): { signal?: AbortSignal } {
  return signal === undefined ? {} : { signal };
}
