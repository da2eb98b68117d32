/**
 * The identifier of a C-FIND as a query (PS3.4 C.4.1.2, C.6): its level, the unique keys that a hierarchical search wants of the
 * levels above, and its keys. Keys of other levels above restrict the search as well, as peers expect it.
 */
import { AppError } from '@lantern/contract';
import { type DataSet, dicomJson, type JsonDataSet, type JsonElement, SOP_CLASSES } from '@lantern/dicom';
import { type ImageQuery, imageQuery, keysOf } from './query.ts';
import { QUERY_LEVELS, type QueryLevel, queryAttributes, UNIQUE_KEYS } from './query-attributes.ts';

const QUERY_RETRIEVE_LEVEL = '00080052';
const SPECIFIC_CHARACTER_SET = '00080005';
/** What says how a query is meant, and is never matched; nor are group lengths. */
const CONTROLS: ReadonlySet<string> = new Set([QUERY_RETRIEVE_LEVEL, SPECIFIC_CHARACTER_SET]);

const LEVELS_OF_MODEL: Readonly<Record<string, readonly QueryLevel[]>> = {
  [SOP_CLASSES.patientRootFind]: QUERY_LEVELS,
  [SOP_CLASSES.studyRootFind]: QUERY_LEVELS.filter((level) => level !== 'PATIENT'),
};

export type IdentifierQuery = {
  readonly query: ImageQuery;
  /** A match as the peer asked for it: with the level, and with what is not supported, empty. */
  readonly answerOf: (match: JsonDataSet) => JsonDataSet;
  /** Whether a key is not supported. */
  readonly isPartial: boolean;
};

export function isQueryModel(sopClass: string): boolean {
  return Object.hasOwn(LEVELS_OF_MODEL, sopClass);
}

/** Throws `input.unsupported` where level or unique keys do not fit the model, `input.invalid` where a key cannot be read. */
export function queryOfIdentifier(identifier: DataSet, sopClass: string): IdentifierQuery {
  const json = dicomJson(identifier);
  const levels = LEVELS_OF_MODEL[sopClass] ?? [];
  const [named] = json[QUERY_RETRIEVE_LEVEL]?.Value ?? [];
  const level = levels.find((one) => one === named);
  if (level === undefined) throw mismatch('QueryRetrieveLevel', 'is none of this model');
  assertUniqueKeys(json, levels.slice(0, levels.indexOf(level)));
  const keys = keysOf(json).filter(({ tag }) => !CONTROLS.has(tag) && !tag.endsWith('0000'));
  const query = imageQuery({ level, keys, shown: new Set([RETRIEVE_AE_TITLE]), combinesDateTime: false });
  const shown = new Set(query.shown.map(({ tag }) => tag));
  const unknown = keys.filter(({ tag }) => !shown.has(tag) && !isPrivate(tag));
  const frame: JsonDataSet = {
    [QUERY_RETRIEVE_LEVEL]: { vr: 'CS', Value: [level] },
    ...Object.fromEntries(unknown.map(({ tag }) => [tag, { vr: json[tag]?.vr ?? 'UN' }])),
  };
  const items = new Map(keys.flatMap(({ tag, item }) => (item === undefined ? [] : [[tag, item] as const])));
  /** Of the items of a sequence, what its item in the request names; all where that is empty. */
  const asked = ([tag, element]: [string, JsonElement]): [string, JsonElement] => {
    const names = new Set(items.get(tag)?.map((one) => one.tag));
    if (names.size === 0 || element.Value === undefined) return [tag, element];
    const trimmed = element.Value.map((item) =>
      Object.fromEntries(Object.entries(Object(item)).filter(([name]) => names.has(name))),
    );
    return [tag, { ...element, Value: trimmed }];
  };
  return {
    query,
    isPartial: query.ignored.length > 0 || keys.some(({ tag }) => !shown.has(tag)),
    answerOf: (match) => ({ ...frame, ...Object.fromEntries(Object.entries(match).map(asked)) }),
  };
}

const RETRIEVE_AE_TITLE = '00080054';

/** Private elements mean nothing without their creator, which we do not know. */
function isPrivate(tag: string): boolean {
  return Number.parseInt(tag.slice(0, 4), 16) % 2 === 1;
}

function mismatch(field: string, rule: string): AppError {
  return new AppError('input.unsupported', `${field}: ${rule}.`, { field });
}

function assertUniqueKeys(json: JsonDataSet, levelsAbove: readonly QueryLevel[]): void {
  for (const level of levelsAbove) {
    const keyword = UNIQUE_KEYS[level];
    const attribute = [...queryAttributes().values()].find((one) => one.keyword === keyword);
    const values = json[attribute?.tag ?? '']?.Value ?? [];
    const isNamed = values.length > 0 && values.every((value) => typeof value === 'string' && !/[*?]/.test(value));
    if (!isNamed) throw mismatch(keyword, `names the ${level.toLowerCase()} at the levels below it`);
  }
}
