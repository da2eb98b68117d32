/**
 * What a site asks de-identification to do: the Basic Application Level Confidentiality Profile of PS3.15 annex E, and which of its
 * options. Left out, a setting has the value that keeps least. A profile is a JSON document, checked as a whole before anything is
 * read; a key that this version does not know is refused, because it might have asked for more protection than it would get.
 */
import { DicomError } from '../dicom-error.ts';
import { type PixelRule, parsePixelRules } from './pixel-rules.ts';

export type DeidentificationProfile = {
  readonly name: string;
  /** Retain UIDs (E.3.9), or replace each by one that only the holder of the key can compute. */
  readonly uids: 'replace' | 'retain';
  /** `shift`: all of a patient by the same number of days (E.3.6, modified dates); `retain`: as they are (full dates). */
  readonly dates: 'remove' | 'shift' | 'retain';
  /** A patient's dates move into the past by 1 to this many days; days, so that times of day and intervals stay. */
  readonly dateShiftDaysMax: number;
  /** `shift` keeps the age in days at each study; needs shifted dates and retained patient characteristics. */
  readonly birthDate: 'remove' | 'shift';
  readonly patientCharacteristics: 'remove' | 'retain';
  /** Ages above are written as this one, and such a patient's birth date is removed [years]. */
  readonly ageYearsMax: number;
  readonly deviceIdentity: 'remove' | 'retain';
  readonly institutionIdentity: 'remove' | 'retain';
  readonly safePrivate: 'remove' | 'retain';
  readonly descriptors: 'remove' | 'clean';
  readonly structuredContent: 'remove' | 'clean';
  readonly graphics: 'remove' | 'clean';
  /** `untouched`: nothing is blacked out, so what would need it is quarantined. */
  readonly pixels: 'clean' | 'untouched';
  /** Which images are read for text: those that are suspect, or all; reading takes a reader, and most of a second per frame. */
  readonly readPixels: 'suspect' | 'all';
  /** Rules of the site's own, tried before the built-in ones. */
  readonly pixelRules: readonly PixelRule[];
};

export const PROFILE_DEFAULT: DeidentificationProfile = {
  name: 'default',
  uids: 'replace',
  dates: 'shift',
  dateShiftDaysMax: 1825,
  birthDate: 'remove',
  patientCharacteristics: 'remove',
  ageYearsMax: 89,
  deviceIdentity: 'remove',
  institutionIdentity: 'remove',
  safePrivate: 'remove',
  descriptors: 'remove',
  structuredContent: 'remove',
  graphics: 'remove',
  pixels: 'clean',
  readPixels: 'suspect',
  pixelRules: [],
};

const REMOVE_OR_RETAIN = ['remove', 'retain'] as const;
const REMOVE_OR_CLEAN = ['remove', 'clean'] as const;
const DATE_SHIFT_DAYS_MAX = 3650; // further back, image dates would precede the machines that made them

/** Throws `profile` with the name of the setting. */
export function parseDeidentificationProfile(document: unknown): DeidentificationProfile {
  if (typeof document !== 'object' || document === null || Array.isArray(document))
    throw refused('The profile', 'must be a JSON object');
  const given = new Map<string, unknown>(Object.entries(document));
  for (const key of given.keys()) assertKnown(key);
  const profile: DeidentificationProfile = {
    name: nameIn(given),
    uids: choiceIn(given, 'uids', ['replace', 'retain'], PROFILE_DEFAULT.uids),
    dates: choiceIn(given, 'dates', ['remove', 'shift', 'retain'], PROFILE_DEFAULT.dates),
    dateShiftDaysMax: wholeNumberIn(given, 'dateShiftDaysMax', { min: 1, max: DATE_SHIFT_DAYS_MAX }, PROFILE_DEFAULT),
    birthDate: choiceIn(given, 'birthDate', ['remove', 'shift'], PROFILE_DEFAULT.birthDate),
    patientCharacteristics: choiceIn(given, 'patientCharacteristics', REMOVE_OR_RETAIN, 'remove'),
    ageYearsMax: wholeNumberIn(given, 'ageYearsMax', { min: 1, max: 150 }, PROFILE_DEFAULT),
    deviceIdentity: choiceIn(given, 'deviceIdentity', REMOVE_OR_RETAIN, 'remove'),
    institutionIdentity: choiceIn(given, 'institutionIdentity', REMOVE_OR_RETAIN, 'remove'),
    safePrivate: choiceIn(given, 'safePrivate', REMOVE_OR_RETAIN, 'remove'),
    descriptors: choiceIn(given, 'descriptors', REMOVE_OR_CLEAN, 'remove'),
    structuredContent: choiceIn(given, 'structuredContent', REMOVE_OR_CLEAN, 'remove'),
    graphics: choiceIn(given, 'graphics', REMOVE_OR_CLEAN, 'remove'),
    pixels: choiceIn(given, 'pixels', ['clean', 'untouched'], PROFILE_DEFAULT.pixels),
    readPixels: choiceIn(given, 'readPixels', ['suspect', 'all'], PROFILE_DEFAULT.readPixels),
    pixelRules: given.has('pixelRules') ? parsePixelRules(given.get('pixelRules')) : [],
  };
  if (profile.birthDate === 'shift' && (profile.dates !== 'shift' || profile.patientCharacteristics !== 'retain'))
    throw refused('birthDate', 'can be shifted only with shifted dates and retained patientCharacteristics');
  return profile;
}

function assertKnown(key: string): void {
  if (key === 'recognizableVisualFeatures')
    throw refused(key, 'is not supported: faces are not removed from images (option 113102)');
  if (!Object.hasOwn(PROFILE_DEFAULT, key)) throw refused(key, 'is not a setting of a profile');
}

function refused(setting: string, rule: string): DicomError {
  return new DicomError('profile', `${setting} ${rule}.`);
}

function nameIn(given: ReadonlyMap<string, unknown>): string {
  const name = given.get('name') ?? PROFILE_DEFAULT.name;
  // It is written into every file.
  if (typeof name !== 'string' || !/^[A-Za-z0-9 ._-]{1,32}$/.test(name))
    throw refused('name', 'must be 1 to 32 letters, digits, spaces, dots, underscores or hyphens');
  return name;
}

function choiceIn<const T extends string>(
  given: ReadonlyMap<string, unknown>,
  key: keyof DeidentificationProfile,
  choices: readonly T[],
  preset: T,
): T {
  const value = given.get(key) ?? preset;
  const choice = choices.find((one) => one === value);
  if (choice === undefined) throw refused(key, `must be one of: ${choices.join(', ')}`);
  return choice;
}

function wholeNumberIn(
  given: ReadonlyMap<string, unknown>,
  key: 'dateShiftDaysMax' | 'ageYearsMax',
  range: { readonly min: number; readonly max: number },
  preset: DeidentificationProfile,
): number {
  const value = given.get(key) ?? preset[key];
  if (typeof value !== 'number' || !Number.isInteger(value) || value < range.min || value > range.max)
    throw refused(key, `must be a whole number from ${range.min} to ${range.max}`);
  return value;
}
