/** The modality worklist as one who asks (PS3.4 annex K): which examinations are planned, and for whom. */
import { type DataSet, itemsOf, textOf } from '../data-set.ts';
import { tagOfKeyword } from '../dictionary.ts';
import type { DimseClient } from './client.ts';
import { queryIdentifier } from './query-keys.ts';
import { SOP_CLASSES } from './sop-classes.ts';

const STEP = 'ScheduledProcedureStepSequence';
const STEP_SEQUENCE = 0x00400100;
const STEP_KEYWORDS = [
  'Modality',
  'ScheduledStationAETitle',
  'ScheduledProcedureStepStartDate',
  'ScheduledProcedureStepStartTime',
  'ScheduledPerformingPhysicianName',
  'ScheduledProcedureStepDescription',
  'ScheduledProcedureStepID',
] as const;
const KEYWORDS = [
  'PatientName',
  'PatientID',
  'PatientBirthDate',
  'PatientSex',
  'AccessionNumber',
  'ReferringPhysicianName',
  'RequestedProcedureID',
  'RequestedProcedureDescription',
  'StudyInstanceUID',
] as const;

/** What a worklist is asked for; absent: any. Dates as YYYYMMDD or a range of them. */
export type WorklistFilter = {
  readonly modality?: string | undefined;
  readonly stationAe?: string | undefined;
  readonly date?: string | undefined;
  /** Further keys, see `queryIdentifier`. */
  readonly keys?: readonly string[];
};

type Keyword = (typeof KEYWORDS)[number] | (typeof STEP_KEYWORDS)[number];
/** One planned step; '' for what the peer does not say. */
export type WorklistEntry = Readonly<Record<Keyword, string>> & { readonly dataSet: DataSet };

/** All that is planned. Throws as `find` does, and `value` for keys that are none. */
export async function queryWorklist(
  client: DimseClient,
  { modality = '', stationAe = '', date = '', keys = [] }: WorklistFilter,
  signal?: AbortSignal,
): Promise<WorklistEntry[]> {
  const identifier = queryIdentifier([
    ...KEYWORDS,
    ...STEP_KEYWORDS.map((keyword) => `${STEP}.${keyword}`),
    `${STEP}.Modality=${modality}`,
    `${STEP}.ScheduledStationAETitle=${stationAe}`,
    `${STEP}.ScheduledProcedureStepStartDate=${date}`,
    ...keys,
  ]);
  const options = { sopClass: SOP_CLASSES.worklistFind, ...(signal === undefined ? {} : { signal }) };
  const entries: WorklistEntry[] = [];
  for await (const dataSet of client.find(identifier, options)) entries.push(entryOf(dataSet));
  return entries;
}

function entryOf(dataSet: DataSet): WorklistEntry {
  const [step] = itemsOf(dataSet, STEP_SEQUENCE);
  const textIn = (from: DataSet | undefined, keyword: Keyword) =>
    (from === undefined ? undefined : textOf(from, tagOfKeyword(keyword) ?? 0)) ?? '';
  const texts = [
    ...KEYWORDS.map((keyword) => [keyword, textIn(dataSet, keyword)]),
    ...STEP_KEYWORDS.map((keyword) => [keyword, textIn(step, keyword)]),
  ];
  return { ...(Object.fromEntries(texts) as Record<Keyword, string>), dataSet };
}
