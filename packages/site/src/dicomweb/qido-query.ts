/**
 * The query string of QIDO-RS (PS3.18 8.3.4, 10.6.1) as a query over the index: which elements are matched, which are shown, and
 * which page of the results is wanted. What cannot be done is named in a warning where the standard has one, and refused otherwise.
 */
import { AppError } from '@lantern/contract';
import { tagOfKeyword } from '@lantern/dicom';
import { type ImageQuery, imageQuery, KEY_COUNT_MAX, type QueryKey } from '../image-query/query.ts';
import { hexTag, isWithin, type QueryLevel, queryAttributes } from '../image-query/query-attributes.ts';

/** The most results of one answer, some five megabytes; a client gets the rest by `offset`. */
const RESULT_COUNT_MAX = 5000;
const OFFSET_MAX = 1_000_000_000;

/** Levels whose attributes are shown: that of the resource, and those above which the path does not name. */
export type QidoResource = {
  readonly level: Exclude<QueryLevel, 'PATIENT'>;
  readonly shownLevels: readonly QueryLevel[];
  /** Unique keys that the path names, by keyword. */
  readonly path: Readonly<Record<string, string>>;
};

export type QidoQuery = {
  readonly query: ImageQuery;
  readonly limit: number;
  readonly offset: number;
  /** What was not done as asked. */
  readonly warnings: readonly string[];
};

/** PS3.18 tables 10.6.3-3 to 10.6.3-5: shown whatever is asked for. */
const ALWAYS_SHOWN: Readonly<Record<QueryLevel, readonly string[]>> = {
  PATIENT: ['PatientName', 'PatientID', 'PatientBirthDate', 'PatientSex'],
  STUDY: [
    'StudyDate',
    'StudyTime',
    'AccessionNumber',
    'ModalitiesInStudy',
    'ReferringPhysicianName',
    'StudyInstanceUID',
    'StudyID',
    'NumberOfStudyRelatedSeries',
    'NumberOfStudyRelatedInstances',
  ],
  SERIES: [
    'Modality',
    'SeriesDescription',
    'SeriesInstanceUID',
    'SeriesNumber',
    'NumberOfSeriesRelatedInstances',
    'PerformedProcedureStepStartDate',
    'PerformedProcedureStepStartTime',
    'RequestAttributesSequence',
  ],
  IMAGE: ['SOPClassUID', 'SOPInstanceUID', 'InstanceNumber', 'Rows', 'Columns', 'NumberOfFrames'],
};
const SHOWN_AT_EVERY_LEVEL = ['InstanceAvailability', 'TimezoneOffsetFromUTC', 'RetrieveURL'];

/** Neither matched nor shown. `accept` and `charset` are of PS3.18 8.3.3. */
const CONTROLS: ReadonlySet<string> = new Set([
  'limit',
  'offset',
  'includefield',
  'fuzzymatching',
  'emptyvaluematching',
  'multiplevaluematching',
  'accept',
  'charset',
]);

const WARNINGS: Readonly<Record<string, string>> = {
  fuzzymatching: 'The fuzzymatching parameter is not supported. Only literal matching has been performed.',
  emptyvaluematching: 'The emptyvaluematching parameter is not supported. Empty Value Matching has not been performed.',
};

/** Throws `input.invalid`, naming the parameter. */
export function qidoQuery(search: URLSearchParams, resource: QidoResource): QidoQuery {
  const keys = [...keysOf(search), ...Object.entries(resource.path).map(([name, uid]) => pathKey(name, uid))];
  const fields = includedFields(search);
  const query = imageQuery({
    level: resource.level,
    keys,
    shown: new Set([...tagsOf(SHOWN_AT_EVERY_LEVEL), ...shownTags(resource, fields)]),
    combinesDateTime: true,
  });
  const wanted = wholeNumber(search, 'limit') ?? RESULT_COUNT_MAX;
  return {
    query,
    limit: Math.min(wanted, RESULT_COUNT_MAX),
    offset: wholeNumber(search, 'offset') ?? 0,
    warnings: [...warningsOf(search), ...ignoredWarning(query.ignored)],
  };
}

function shownTags({ level, shownLevels }: QidoResource, fields: ReadonlySet<string> | 'all'): string[] {
  if (fields !== 'all') return [...tagsOf(shownLevels.flatMap((shown) => ALWAYS_SHOWN[shown])), ...fields];
  const all = [...queryAttributes().values()];
  return all.filter((attribute) => isWithin(attribute, level)).map(({ tag }) => tag);
}

function tagsOf(keywords: readonly string[]): string[] {
  return keywords.map((keyword) => attributeTag(keyword, keyword));
}

function pathKey(keyword: string, uid: string): QueryKey {
  return { tag: attributeTag(keyword, keyword), values: [uid] };
}

function wrong(field: string, rule: string): AppError {
  return new AppError('input.invalid', `query: ${field} ${rule}.`, { field });
}

/** A keyword of PS3.6, or eight hex digits. What is quoted back is no longer than a keyword may be. */
function attributeTag(name: string, parameter: string): string {
  if (/^[0-9A-Fa-f]{8}$/.test(name)) return name.toUpperCase();
  const tag = tagOfKeyword(name);
  if (tag === undefined) throw wrong(quoted(parameter), 'is neither a keyword nor a tag');
  return hexTag(tag);
}

function quoted(parameter: string): string {
  return parameter.replace(/[^A-Za-z0-9.]/g, '?').slice(0, 64);
}

function keysOf(search: URLSearchParams): QueryKey[] {
  const names = [...new Set(search.keys())].filter((name) => !CONTROLS.has(name));
  if (names.length > KEY_COUNT_MAX)
    throw new AppError('input.invalid', `query: more than ${KEY_COUNT_MAX} parameters.`);
  const whole: QueryKey[] = [];
  const nested = new Map<string, Omit<QueryKey, 'item'>[]>();
  for (const name of names) {
    const [text = '', ...more] = search.getAll(name);
    if (more.length > 0) throw wrong(quoted(name), 'may not be repeated');
    const [first = '', second, ...deeper] = name.split('.').map((part) => attributeTag(part, name));
    if (deeper.length > 0) throw wrong(quoted(name), 'leads deeper than an item of a sequence');
    if (second === undefined) whole.push({ tag: first, values: valuesOf(first, text) });
    else nested.set(first, [...(nested.get(first) ?? []), { tag: second, values: [text] }]);
  }
  return [...whole, ...[...nested].map(([tag, item]) => ({ tag, values: [], item }))];
}

/** Lists of UIDs are separated by commas, as are codes, which hold none; DICOM itself separates values by a backslash. */
function valuesOf(tag: string, text: string): string[] {
  const vr = queryAttributes().get(tag)?.vr;
  return text.split(vr === 'UI' || vr === 'CS' ? /[,\\]/ : '\\');
}

function includedFields(search: URLSearchParams): ReadonlySet<string> | 'all' {
  const names = search
    .getAll('includefield')
    .flatMap((list) => list.split(','))
    .map((name) => name.trim());
  if (names.includes('all')) return 'all';
  if (names.length > KEY_COUNT_MAX) throw wrong('includefield', `names more than ${KEY_COUNT_MAX} attributes`);
  // An element of a sequence is shown by showing the sequence.
  return new Set(names.filter((name) => name !== '').map((name) => attributeTag(name.split('.', 1)[0] ?? '', name)));
}

function wholeNumber(search: URLSearchParams, name: 'limit' | 'offset'): number | undefined {
  const [text, ...more] = search.getAll(name);
  if (text === undefined) return undefined;
  if (more.length > 0) throw wrong(name, 'may not be repeated');
  if (!/^\d{1,10}$/.test(text) || Number(text) > OFFSET_MAX)
    throw wrong(name, `is no whole number up to ${OFFSET_MAX}`);
  return Number(text);
}

function warningsOf(search: URLSearchParams): string[] {
  return Object.entries(WARNINGS).flatMap(([name, warning]) => (search.get(name) === 'true' ? [warning] : []));
}

function ignoredWarning(ignored: readonly string[]): string[] {
  if (ignored.length === 0) return [];
  return [`The following attributes are not supported here and have not been matched: ${ignored.join(' ')}`];
}
