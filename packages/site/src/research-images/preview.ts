/**
 * What a profile would do to a stored study, before anybody approves it. One image of each series is tried, with a key that is thrown
 * away; nothing is written. Places and rules are shown, never a value.
 */
import { randomBytes } from 'node:crypto';
import { setImmediate } from 'node:timers/promises';
import { AppError, type DeidentificationPreview } from '@lantern/contract';
import {
  createDeidentifier,
  type DataSet,
  type Deidentifier,
  DicomError,
  keywordOf,
  openFileSource,
  readPart10,
  type TextReader,
} from '@lantern/dicom';
import type { Clock, Database, Tx } from '@lantern/service';
import { profileOf } from '../image-selection/collections.ts';
import type { StoredInstance, StoredStudies } from '../image-selection/stored-study.ts';
import { audit } from '../site-context.ts';
import type { SiteTables } from '../tables.ts';

const KEY_BYTES = 32;
/** A study with more is shown with its first. */
const SERIES_COUNT_MAX = 100;

type PreviewDeps = {
  readonly database: Database;
  readonly clock: Clock;
  readonly stored: StoredStudies;
  readonly readText?: TextReader | undefined;
};
type Wanted = { readonly studyInstanceUid: string; readonly profile: Readonly<Record<string, unknown>> };
type SeriesPreview = DeidentificationPreview['series'][number];

export async function previewStudy(deps: PreviewDeps, wanted: Wanted, by: string): Promise<DeidentificationPreview> {
  const profile = profileOf(wanted.profile);
  const study = await deps.stored.find({ studyInstanceUid: wanted.studyInstanceUid });
  if (study === undefined) throw new AppError('not-found', 'There is no such study here.');
  const tools = deps.readText === undefined ? {} : { readText: deps.readText };
  const deidentifier = createDeidentifier({ key: randomBytes(KEY_BYTES), profile, tools });
  const bySeries = Map.groupBy(await deps.stored.instancesOf(study.studyKey), ({ seriesKey }) => seriesKey);
  const series: SeriesPreview[] = [];
  for (const instances of [...bySeries.values()].slice(0, SERIES_COUNT_MAX)) {
    const middle = instances[Math.floor(instances.length / 2)];
    if (middle === undefined) continue;
    const tried = await tryOne(deidentifier, deps.stored.pathOf(middle));
    series.push({ ...tried, ...factsOf(middle), instanceCount: instances.length });
    await setImmediate(); // other work between two series
  }
  const details = { profile: profile.name, seriesCount: series.length };
  await deps.database.transaction((tx: Tx<SiteTables>) =>
    audit(deps, tx, {
      actor: `user:${by}`,
      action: 'deidentification.preview',
      object: `study:${study.studyKey}`,
      details,
    }),
  );
  return { series };
}

function factsOf({ modality, seriesNumber }: StoredInstance) {
  return { modality, ...(seriesNumber === null ? {} : { seriesNumber }) };
}

async function tryOne(
  deidentifier: Deidentifier,
  path: string,
): Promise<Pick<SeriesPreview, 'reasons' | 'report' | 'kept'>> {
  const source = openFileSource(path);
  try {
    const file = readPart10(source);
    const outcome = await deidentifier.deidentify(file);
    const report = {
      ...outcome.report,
      methodCodes: [...outcome.report.methodCodes],
      entries: [...outcome.report.entries],
    };
    const touched = new Set(report.entries.map(({ path: at }) => at.slice(0, TAG_LENGTH)));
    return {
      reasons: outcome.kind === 'quarantined' ? [...outcome.reasons] : [],
      report,
      kept: keptOf(file.dataSet, touched),
    };
  } catch (caught) {
    if (caught instanceof DicomError) return { reasons: [caught.code], kept: [] };
    throw caught;
  } finally {
    source.close();
  }
}

const TAG_LENGTH = '(0010,0010)'.length;

/** Elements of the object itself that the report does not mention, by keyword. */
function keptOf(dataSet: DataSet, touched: ReadonlySet<string>): string[] {
  return [...dataSet.elements.keys()]
    .map((tag) => ({ tag, text: `(${hex(tag >>> 16)},${hex(tag & 0xffff)})` }))
    .filter(({ text }) => !touched.has(text))
    .map(({ tag, text }) => keywordOf(tag) ?? text);
}

function hex(number: number): string {
  return number.toString(16).toUpperCase().padStart(4, '0');
}
