/**
 * De-identifies a DICOM object by PS3.15 annex E. The outcome is an object from which, by the profile's rules, the patient cannot be
 * told, or a reason why a person must look first. It keeps nothing between objects but the key: what becomes of a quarantined object
 * is the caller's concern.
 */
import type { ByteSource } from '../byte-source.ts';
import { type DataSet, type Element, textOf } from '../data-set.ts';
import type { Part10File } from '../part10.ts';
import { TAGS, type Tag } from '../tag.ts';
import { attributeTypesOf } from './attribute-types.ts';
import { type Cleaners, cleanDataSet, createCleaners, gatherIdentifiers, type Patient } from './data-set-cleaner.ts';
import { yearsBetween } from './dates.ts';
import { type Collector, collectIdentifiers } from './identifiers.ts';
import { methodCodesOf, methodElements } from './method-codes.ts';
import { cleanPixels, type PixelTools } from './pixel-cleaning.ts';
import type { PixelDecision } from './pixel-decision.ts';
import type { QuarantineReason } from './pixel-judgement.ts';
import type { DeidentificationProfile } from './profile.ts';
import { createPseudonyms, type Pseudonyms } from './pseudonyms.ts';
import { type DeidentificationReport, pathOf, type ReportEntry } from './report.ts';
import { createRules } from './rules.ts';
import { createScrubber } from './scrubber.ts';

export type DeidentifiedObject = {
  readonly kind: 'deidentified';
  readonly dataSet: DataSet;
  /** What ranges of `dataSet` refer to. */
  readonly source: ByteSource;
  readonly transferSyntaxUid: string;
  readonly report: DeidentificationReport;
};

export type QuarantinedObject = {
  readonly kind: 'quarantined';
  readonly reasons: readonly QuarantineReason[];
  /** Of the header, as far as it was treated. */
  readonly report: DeidentificationReport;
};

export type Deidentifier = {
  /**
   * `alsoIdentifying`: further texts that identify this patient, from other objects or the hospital's records; each is looked for
   * like the object's own. `decision`: what a person said of its pixels. Throws `DicomError` where the file breaks on the way.
   */
  deidentify(
    file: Part10File,
    alsoIdentifying?: readonly string[],
    decision?: PixelDecision,
  ): Promise<DeidentifiedObject | QuarantinedObject>;
};

/** Of scrubbers, each of one patient: the objects of a study come together. */
const SCRUBBER_COUNT_MAX = 16;

/** `key`: of the project, 32 bytes or more; who has it can link originals and pseudonyms. */
export function createDeidentifier(options: {
  key: Buffer;
  profile: DeidentificationProfile;
  tools?: PixelTools;
}): Deidentifier {
  const { profile, tools = {} } = options;
  const pseudonyms = createPseudonyms(options.key);
  const rules = createRules(profile);
  const cleanersOf = rememberedCleaners();
  return {
    async deidentify(file, alsoIdentifying = [], decision) {
      const { dataSet } = file;
      const types = attributeTypesOf(textOf(dataSet, SOP_CLASS) ?? '');
      const collector = collectIdentifiers(profile, alsoIdentifying);
      gatherIdentifiers(dataSet, collector, { rules, types });
      const cleaners = cleanersOf(collector);
      const pixels = await cleanPixels({ file, profile, tools, scrubber: cleaners.scrubber, decision });
      const treated = pixels.kind === 'cleaned' ? pixels.dataSet : dataSet;
      const patient = patientOf(dataSet, pseudonyms, profile);
      const cleaned = cleanDataSet(treated, {
        profile,
        rules,
        types,
        pseudonyms,
        patient,
        cleaners,
        source: file.source,
      });
      const pixelsCleaned = pixels.kind === 'cleaned' && pixels.wasCleaned;
      const codes = methodCodesOf(profile, { pixelsCleaned });
      const added = [
        ...identityElements(cleaned.dataSet, patient),
        ...methodElements(profile, codes, { around: dataSet, noAnnotation: pixelsCleaned || decision !== undefined }),
      ];
      const entries = [...withoutPaths(cleaned.entries, added), ...added.map(setEntry), ...maskEntries(pixels)];
      const report = { profile: profile.name, methodCodes: codes, entries, keptCount: cleaned.keptCount };
      const reasons = [
        ...(pixels.kind === 'quarantined' ? pixels.reasons : []),
        ...uncleanReasons(cleaned.unclean),
        ...namelessReasons(cleaned.dataSet),
      ];
      if (pixels.kind === 'quarantined' || reasons.length > 0) return { kind: 'quarantined', reasons, report };
      const { source, transferSyntaxUid } = pixels;
      return { kind: 'deidentified', dataSet: withElements(cleaned.dataSet, added), source, transferSyntaxUid, report };
    },
  };
}

const SOP_CLASS = 0x00080016;
const SOP_INSTANCE = 0x00080018;
const STUDY_INSTANCE_UID = 0x0020000d;
const PATIENT_NAME = 0x00100010;
const PATIENT_ID = 0x00100020;
const BIRTH_DATE = 0x00100030;
const AGE = 0x00101010;
const STUDY_DATE = 0x00080020;

function rememberedCleaners(): (collector: Collector) => Cleaners {
  const memory = new Map<string, Cleaners>();
  return (collector) => {
    const key = collector.key();
    const known = memory.get(key);
    if (known !== undefined) return known;
    const cleaners = createCleaners(createScrubber(collector.found()));
    if (memory.size >= SCRUBBER_COUNT_MAX) memory.clear();
    memory.set(key, cleaners);
    return cleaners;
  };
}

/** By PatientID; where that is empty by name and birth date, and without those each study is a patient of its own. */
function patientOf(dataSet: DataSet, pseudonyms: Pseudonyms, profile: DeidentificationProfile): Patient {
  const id = textOf(dataSet, PATIENT_ID);
  const name = textOf(dataSet, PATIENT_NAME);
  const birthDate = textOf(dataSet, BIRTH_DATE);
  const named = name === undefined && birthDate === undefined ? undefined : `name\0${name ?? ''}\0${birthDate ?? ''}`;
  const original = id ?? named ?? `study\0${textOf(dataSet, STUDY_INSTANCE_UID) ?? ''}`;
  const wasShifted = pseudonyms.isPatientId(original);
  return {
    pseudonym: pseudonyms.patientId(original),
    days: profile.dates !== 'shift' || wasShifted ? 0 : -pseudonyms.dateShiftDays(original, profile.dateShiftDaysMax),
    isOld: ageYears(dataSet, birthDate) > profile.ageYearsMax,
  };
}

/** By PatientAge and by the dates, whichever is more; an unknown age counts as the oldest where a birth date stands. */
function ageYears(dataSet: DataSet, birthDate: string | undefined): number {
  const stated = /^(\d{3})Y$/.exec(textOf(dataSet, AGE) ?? '')?.[1];
  const studyDate = textOf(dataSet, STUDY_DATE);
  const counted = birthDate === undefined || studyDate === undefined ? undefined : yearsBetween(birthDate, studyDate);
  if (stated === undefined && counted === undefined) return birthDate === undefined ? 0 : Number.POSITIVE_INFINITY;
  return Math.max(Number(stated ?? 0), counted ?? 0);
}

/** PatientName and PatientID stand in every object, also where they did not before: an object must belong to somebody. */
function identityElements({ elements }: DataSet, { pseudonym }: Patient): Element[] {
  const wanted: readonly [Tag, 'PN' | 'LO'][] = [
    [PATIENT_NAME, 'PN'],
    [PATIENT_ID, 'LO'],
  ];
  return wanted
    .filter(([tag]) => !elements.has(tag))
    .map(([tag, vr]) => ({ tag, vr, value: { kind: 'bytes', bytes: Buffer.from(`${pseudonym} `) } }));
}

function setEntry({ tag }: Element): ReportEntry {
  return { path: pathOf('', tag), action: 'set', rule: 'E.1.1' };
}

/** What is set at the end was not kept, whatever happened to it before. */
function withoutPaths(entries: readonly ReportEntry[], added: readonly Element[]): ReportEntry[] {
  const paths = new Set(added.map(({ tag }) => pathOf('', tag)));
  const top = (path: string) => (path.includes('[') ? path.slice(0, path.indexOf('[')) : path);
  return entries.filter(({ path }) => !paths.has(top(path)));
}

function maskEntries(pixels: Awaited<ReturnType<typeof cleanPixels>>): ReportEntry[] {
  if (pixels.kind === 'quarantined') return [];
  return pixels.rules.map((rule) => ({ path: pathOf('', TAGS.pixelData), action: 'mask', rule }));
}

function uncleanReasons(unclean: readonly string[]): QuarantineReason[] {
  return unclean.length > 0 ? ['identifier-in-binary'] : [];
}

function namelessReasons(dataSet: DataSet): QuarantineReason[] {
  const isNamed = [SOP_CLASS, SOP_INSTANCE].every((tag) => textOf(dataSet, tag) !== undefined);
  return isNamed ? [] : ['no-object'];
}

/** In the order of tags, as they are written (PS3.5 7.1). */
function withElements(dataSet: DataSet, added: readonly Element[]): DataSet {
  const waiting = added.toSorted((one, other) => one.tag - other.tag);
  const replaced = new Set(added.map(({ tag }) => tag));
  const elements = new Map<Tag, Element>();
  let [next, last] = [0, -1];
  const addBefore = (tag: Tag) => {
    for (let element = waiting[next]; element !== undefined && element.tag < tag; element = waiting[next]) {
      elements.set(element.tag, element);
      next += 1;
    }
  };
  for (const [tag, element] of dataSet.elements) {
    if (tag < last) return sorted(dataSet, added); // as some programs write them
    last = tag;
    addBefore(tag);
    if (!replaced.has(tag)) elements.set(tag, element);
  }
  addBefore(Number.POSITIVE_INFINITY);
  return { ...dataSet, elements };
}

function sorted(dataSet: DataSet, added: readonly Element[]): DataSet {
  const elements = new Map(dataSet.elements);
  for (const element of added) elements.set(element.tag, element);
  return { ...dataSet, elements: new Map([...elements].toSorted(([one], [other]) => one - other)) };
}
