/**
 * Where makers burn identity into pixels: rules by what the header says of machine, kind and size of the image, each with the
 * regions to black out. The built-in table is that of pydicom/deid, which collected those of RSNA's CTP and of Stanford; a site's
 * own rules have the same form and are tried first. Of several rules that match, all regions count.
 */
import { type DataSet, numbersIn, textsIn } from '../data-set.ts';
import { DicomError } from '../dicom-error.ts';
import { tagOfKeyword, vrInDictionary } from '../dictionary.ts';
import { PIXEL_RULE_LINES } from '../generated/pixel-rules.ts';
import type { Tag } from '../tag.ts';
import { vrRule } from '../vr.ts';

/** Whole pixels; x and y count from the upper left corner. */
export type Region = { readonly x: number; readonly y: number; readonly width: number; readonly height: number };

/** `contains`: one of the values as a part, in any case; `equals`: the whole; `missing`, `empty`: no such element, or no value. */
type Condition = {
  readonly how: 'contains' | 'equals' | 'missing' | 'empty';
  readonly tag: Tag;
  readonly values: readonly string[];
};

export type PixelRule = {
  readonly label: string;
  /** Every group must hold; of a group one condition. */
  readonly all: readonly (readonly Condition[])[];
  readonly regions: readonly Region[];
};

const HOWS = ['contains', 'equals', 'missing', 'empty'] as const;
const RULE_COUNT_MAX = 1000;
const REGION_COUNT_MAX = 100;

let builtIn: readonly PixelRule[] | undefined;

function builtInRules(): readonly PixelRule[] {
  builtIn ??= parsePixelRules(PIXEL_RULE_LINES.split('\n').map((line): unknown => JSON.parse(line)));
  return builtIn;
}

type RuleSet = {
  readonly rules: readonly PixelRule[];
  /** What they ask for: a hundred rules ask for ten attributes. */
  readonly tags: readonly Tag[];
  /** Rules that match by what those attributes say: a series says the same in every instance. */
  readonly matching: Map<string, readonly PixelRule[]>;
};
const MATCHING_COUNT_MAX = 200;
/** Ten short values; longer ones are not remembered. */
const KEY_LENGTH_MAX = 2000;
const ruleSets = new WeakMap<readonly PixelRule[], RuleSet>();

function ruleSetOf(ofSite: readonly PixelRule[]): RuleSet {
  const known = ruleSets.get(ofSite);
  if (known !== undefined) return known;
  const rules = [...ofSite, ...builtInRules()];
  const tags = [...new Set(rules.flatMap(({ all }) => all.flat().map(({ tag }) => tag)))];
  const ruleSet = { rules, tags, matching: new Map() };
  ruleSets.set(ofSite, ruleSet);
  return ruleSet;
}

/** The rules that match a header. */
export function matchingRules(dataSet: DataSet, ofSite: readonly PixelRule[]): readonly PixelRule[] {
  const { rules, tags, matching } = ruleSetOf(ofSite);
  const key = keyOf(dataSet, tags);
  const known = key === undefined ? undefined : matching.get(key);
  if (known !== undefined) return known;
  const texts = new Map(tags.map((tag) => [tag, textOfAny(dataSet, tag)?.toLowerCase()]));
  const textOf = (tag: Tag) => texts.get(tag);
  const matches = ({ all }: PixelRule) => all.every((group) => group.some((condition) => holds(condition, textOf)));
  const found = rules.filter(matches);
  if (matching.size >= MATCHING_COUNT_MAX) matching.clear();
  if (key !== undefined) matching.set(key, found);
  return found;
}

/** Their bytes, with what says how to read them; `undefined` where one is no plain value, or all together are long. */
function keyOf({ elements, characterSets, littleEndian }: DataSet, tags: readonly Tag[]): string | undefined {
  let key = `${littleEndian} ${characterSets.join('\\')}`;
  for (const tag of tags) {
    const element = elements.get(tag);
    if (element === undefined) key += '\n-';
    else if (element.value.kind !== 'bytes') return undefined;
    else key += `\n${element.vr}${element.value.bytes.byteLength}:${element.value.bytes.toString('latin1')}`;
    if (key.length > KEY_LENGTH_MAX) return undefined;
  }
  return key;
}

function holds({ how, tag, values }: Condition, textOf: (tag: Tag) => string | undefined): boolean {
  const text = textOf(tag);
  if (how === 'missing') return text === undefined;
  if (how === 'empty') return text === '';
  if (text === undefined) return false;
  return values.some((value) => (how === 'equals' ? text === value : text.includes(value)));
}

/** `undefined` for an element that is not there. */
function textOfAny(dataSet: DataSet, tag: Tag): string | undefined {
  const element = dataSet.elements.get(tag);
  if (element === undefined) return undefined;
  const isNumber = vrRule(vrInDictionary(tag) ?? 'UN').kind === 'number';
  const values = isNumber ? numbersIn(element, dataSet.littleEndian) : textsIn(element, dataSet.characterSets);
  return values.join('\\');
}

/** Throws `profile` where a rule is not of the form. */
export function parsePixelRules(given: unknown): readonly PixelRule[] {
  if (!Array.isArray(given) || given.length > RULE_COUNT_MAX)
    throw refused(`must be a list of at most ${RULE_COUNT_MAX} rules`);
  return given.map(parseRule);
}

function parseRule(given: unknown): PixelRule {
  const rule = fieldsOf(given, ['label', 'all', 'regions']);
  const label = rule.get('label');
  if (typeof label !== 'string' || !/^[\x20-\x7e]{1,64}$/.test(label))
    throw refused('each need a label of 1 to 64 characters');
  const regions = listIn(rule, 'regions').map(parseRegion);
  if (regions.length === 0 || regions.length > REGION_COUNT_MAX)
    throw refused(`each need 1 to ${REGION_COUNT_MAX} regions`);
  const all = listIn(rule, 'all').map((group) => listOf(group, 'all').map(parseCondition));
  if (all.length === 0 || all.some((group) => group.length === 0)) throw refused('each need conditions');
  return { label, all, regions };
}

function parseCondition(given: unknown): Condition {
  const condition = fieldsOf(given, ['how', 'field', 'values']);
  const how = HOWS.find((one) => one === condition.get('how'));
  if (how === undefined) throw refused(`: how must be one of ${HOWS.join(', ')}`);
  const field = condition.get('field');
  const tag = typeof field === 'string' ? tagOfKeyword(field) : undefined;
  if (tag === undefined) throw refused(': field must be the keyword of an attribute, as ManufacturerModelName');
  const values = listIn(condition, 'values').filter((value) => typeof value === 'string' && value !== '');
  const texts = values.map((value) => String(value).toLowerCase());
  if ((how === 'contains' || how === 'equals') && texts.length === 0) throw refused(`: ${how} needs values`);
  return { how, tag, values: texts };
}

function parseRegion(given: unknown): Region {
  const [x, y, width, height] = listOf(given, 'regions').map((number) =>
    Number.isInteger(number) ? Number(number) : -1,
  );
  if (
    x === undefined ||
    y === undefined ||
    width === undefined ||
    height === undefined ||
    Math.min(x, y, width, height) < 0
  )
    throw refused('need regions of four whole numbers: x, y, width, height');
  return { x, y, width, height };
}

function fieldsOf(given: unknown, keys: readonly string[]): ReadonlyMap<string, unknown> {
  if (typeof given !== 'object' || given === null || Array.isArray(given)) throw refused('must be objects');
  const fields = new Map<string, unknown>(Object.entries(given));
  for (const key of fields.keys()) if (!keys.includes(key)) throw refused(`have no setting ${key}`);
  return fields;
}

function listIn(fields: ReadonlyMap<string, unknown>, key: string): readonly unknown[] {
  return listOf(fields.get(key), key);
}

function listOf(given: unknown, name: string): readonly unknown[] {
  if (!Array.isArray(given)) throw refused(`need a list: ${name}`);
  return given;
}

function refused(rule: string): DicomError {
  return new DicomError('profile', `pixelRules ${rule}.`);
}
