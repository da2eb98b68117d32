/**
 * What the header says about text in the pixels: nothing suspect, regions to black out, or reasons not to let the object pass.
 *
 * Suspect images (captures of screens, documents, photographs, what declares burned-in annotation) pass only when a rule covers them
 * and a reader finds no text afterwards. Ultrasound keeps what its regions declare as image. Everything else passes as it is unless
 * a rule matches.
 */
import { type DataSet, numbersIn, textOf, textsIn } from '../data-set.ts';
import { TAGS, type Tag } from '../tag.ts';
import type { Mask } from './pixel-mask.ts';
import { matchingRules, type PixelRule, type Region } from './pixel-rules.ts';

/** Why an object waits for a person. */
export type QuarantineReason =
  /** A PDF, CDA or model inside DICOM: its content is not ours to clean. */
  | 'encapsulated-document'
  /** A DICOMDIR: it describes other files. */
  | 'directory'
  /** It lacks the UID of its class or its own, without which it cannot be a file (PS3.10 7.1). */
  | 'no-object'
  | 'burned-in-annotation'
  | 'secondary-capture'
  | 'screen-or-report'
  | 'scanned-or-photographed'
  | 'recognizable-person'
  | 'slide-label'
  | 'ultrasound-without-regions'
  /** It must be blacked out, and the profile leaves pixels untouched. */
  | 'masking-off'
  /** It must be read for text after blacking out, and no reader is there. */
  | 'no-reader'
  /** A reader found text that is more than words of radiology. */
  | 'text-in-pixels'
  /** The pixels cannot be decoded, or do not lie as the header says. */
  | 'undecodable-pixels'
  /** A binary value holds an identifier of the patient. */
  | 'identifier-in-binary';

export type PixelJudgement =
  | { readonly kind: 'pass' }
  | {
      readonly kind: 'mask';
      readonly masks: readonly Mask[];
      readonly rules: readonly string[];
      /** Not to pass unless a reader finds no text afterwards: these reasons stand otherwise. */
      readonly suspect: readonly QuarantineReason[];
    }
  | { readonly kind: 'quarantine'; readonly reasons: readonly QuarantineReason[] };

const SOP_CLASS = 0x00080016;
const IMAGE_TYPE = 0x00080008;
const MODALITY = 0x00080060;
const CONVERSION_TYPE = 0x00080064;
const BURNED_IN_ANNOTATION = 0x00280301;
const RECOGNIZABLE_VISUAL_FEATURES = 0x00280302;
const SPECIMEN_LABEL_IN_IMAGE = 0x00480010;
const ULTRASOUND_REGIONS = 0x00186011;
const STORAGE = '1.2.840.10008.5.1.4.1.1.';
const DIRECTORY = '1.2.840.10008.1.3.10';
const ULTRASOUND: ReadonlySet<string> = new Set(['3', '3.1', '6', '6.1'].map((end) => STORAGE + end));
const PHOTOGRAPHS: ReadonlySet<string> = new Set(['77.1.4', '77.1.4.1'].map((end) => STORAGE + end));
const SECONDARY_CAPTURE = new RegExp(`^${STORAGE.replaceAll('.', '\\.')}7(\\.[1-4])?$`);
const ENCAPSULATED = new RegExp(`^${STORAGE.replaceAll('.', '\\.')}104\\.`);
const SCREEN_OR_REPORT = /SCREEN|SAVE|DOSE|REPORT|DEMOGRAPHIC/i;

export function judgePixels(dataSet: DataSet, ofSite: readonly PixelRule[]): PixelJudgement {
  const sopClass = textOf(dataSet, SOP_CLASS) ?? '';
  if (ENCAPSULATED.test(sopClass) || dataSet.elements.has(0x00420011))
    return { kind: 'quarantine', reasons: ['encapsulated-document'] };
  if (sopClass === DIRECTORY || dataSet.elements.has(0x00041220)) return { kind: 'quarantine', reasons: ['directory'] };
  if (![TAGS.pixelData, 0x7fe00008, 0x7fe00009].some((tag) => dataSet.elements.has(tag))) return { kind: 'pass' };
  const person = recognizablePerson(dataSet, sopClass);
  if (person.length > 0) return { kind: 'quarantine', reasons: person };
  const rules = matchingRules(dataSet, ofSite);
  const masks: Mask[] = rules.map(({ regions }) => ({ regions, where: 'inside' }));
  const labels = rules.map(({ label }) => label);
  if (ULTRASOUND.has(sopClass) || textOf(dataSet, MODALITY) === 'US') {
    const kept = ultrasoundRegions(dataSet);
    if (kept.length > 0) {
      masks.push({ regions: kept, where: 'outside' });
      labels.push('SequenceOfUltrasoundRegions');
      return { kind: 'mask', masks, rules: labels, suspect: [] };
    }
    return withMasks(masks, labels, [...suspicions(dataSet, sopClass), 'ultrasound-without-regions']);
  }
  return withMasks(masks, labels, suspicions(dataSet, sopClass));
}

function withMasks(
  masks: readonly Mask[],
  rules: readonly string[],
  suspect: readonly QuarantineReason[],
): PixelJudgement {
  if (masks.length > 0) return { kind: 'mask', masks, rules, suspect };
  return suspect.length > 0 ? { kind: 'quarantine', reasons: suspect } : { kind: 'pass' };
}

/** No mask helps where the whole image is a likeness. */
function recognizablePerson(dataSet: DataSet, sopClass: string): QuarantineReason[] {
  const declared = textOf(dataSet, RECOGNIZABLE_VISUAL_FEATURES);
  const isPhotograph = PHOTOGRAPHS.has(sopClass) && declared !== 'NO';
  return declared === 'YES' || isPhotograph ? ['recognizable-person'] : [];
}

function suspicions(dataSet: DataSet, sopClass: string): QuarantineReason[] {
  const reasons: QuarantineReason[] = [];
  const imageType = allTexts(dataSet, IMAGE_TYPE);
  const isWholeSlide = sopClass === `${STORAGE}77.1.6`;
  if (textOf(dataSet, BURNED_IN_ANNOTATION) === 'YES') reasons.push('burned-in-annotation');
  if (SECONDARY_CAPTURE.test(sopClass)) reasons.push('secondary-capture');
  if (
    imageType.some((value) => SCREEN_OR_REPORT.test(value)) ||
    ['OT', 'DOC', 'SC', 'SR'].includes(textOf(dataSet, MODALITY) ?? '')
  )
    reasons.push('screen-or-report');
  if (['DF', 'SD', 'SI', 'DV', 'DRW'].includes(textOf(dataSet, CONVERSION_TYPE) ?? ''))
    reasons.push('scanned-or-photographed');
  const showsLabel =
    textOf(dataSet, SPECIMEN_LABEL_IN_IMAGE) === 'YES' || imageType.includes('LABEL') || imageType.includes('OVERVIEW');
  if (isWholeSlide && showsLabel) reasons.push('slide-label');
  return reasons;
}

function allTexts(dataSet: DataSet, tag: Tag): string[] {
  const element = dataSet.elements.get(tag);
  return element === undefined ? [] : textsIn(element, []);
}

/** Both corners belong to a region (PS3.3 C.8.5.5.1.2). */
function ultrasoundRegions(dataSet: DataSet): Region[] {
  const sequence = dataSet.elements.get(ULTRASOUND_REGIONS)?.value;
  if (sequence?.kind !== 'items') return [];
  return sequence.items.flatMap((item) => {
    const [left, top, right, bottom] = [0x00186018, 0x0018601a, 0x0018601c, 0x0018601e].map((tag) => {
      const element = item.elements.get(tag);
      return element === undefined ? undefined : Number(numbersIn(element, item.littleEndian)[0]);
    });
    if (left === undefined || top === undefined || right === undefined || bottom === undefined) return [];
    if (!(right >= left && bottom >= top)) return [];
    return [{ x: left, y: top, width: right - left + 1, height: bottom - top + 1 }];
  });
}
