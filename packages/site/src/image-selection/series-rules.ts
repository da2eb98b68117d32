/**
 * Which images of a series a collection takes: rules of which one must fit, and of a rule every condition. What the index knows of a
 * series is asked first; headers are read only where a rule asks for more.
 */
import type { SeriesRule } from '@lantern/contract';
import { type DataSet, type Plane, planeOf, sliceThicknessOf, tagOfKeyword, textsIn } from '@lantern/dicom';

export type SeriesFacts = {
  readonly modality: string;
  readonly seriesDescription: string;
  readonly bodyPartExamined: string;
};

/** What only the header of an image says. */
export type ImageFacts = {
  readonly imageType: readonly string[];
  readonly plane: Plane | undefined;
  /** [mm] */
  readonly sliceThickness: number | undefined;
};

/** Of an image whose header was not looked at, or cannot be read: it fits no rule that asks for one of these. */
export const NO_FACTS: ImageFacts = { imageType: [], plane: undefined, sliceThickness: undefined };

export type Image = { readonly sopClassUid: string; readonly frameCount: number; readonly facts: ImageFacts };

const IMAGE_TYPE = tagOfKeyword('ImageType') ?? 0;

export function imageFactsOf(dataSet: DataSet): ImageFacts {
  const imageType = dataSet.elements.get(IMAGE_TYPE);
  return {
    imageType: imageType === undefined ? [] : textsIn(imageType, []),
    plane: planeOf(dataSet, 0),
    sliceThickness: sliceThicknessOf(dataSet, 0),
  };
}

/** Whether headers have to be looked at to say which images of a series are taken. */
export function asksForFacts(rules: readonly SeriesRule[], series: SeriesFacts): boolean {
  return rules.some((rule) => fitsSeries(rule, series) && isAboutHeaders(rule));
}

/** Those that the rules take, in the order given. */
export function takenImages<I extends Image>(
  rules: readonly SeriesRule[],
  series: SeriesFacts,
  images: readonly I[],
): I[] {
  const taken = new Set<I>();
  for (const rule of rules) {
    if (!fitsSeries(rule, series)) continue;
    const fitting = images.filter((image) => fitsImage(rule, image));
    const sliceCount = fitting.reduce((sum, { frameCount }) => sum + frameCount, 0);
    if (sliceCount >= (rule.sliceCountMin ?? 1)) for (const image of fitting) taken.add(image);
  }
  return images.filter((image) => taken.has(image));
}

function fitsSeries({ modalities, description, bodyParts }: SeriesRule, series: SeriesFacts): boolean {
  if (modalities !== undefined && !modalities.includes(series.modality)) return false;
  if (bodyParts !== undefined && !bodyParts.includes(series.bodyPartExamined.trim().toUpperCase())) return false;
  return description === undefined || isLike(series.seriesDescription.toLowerCase(), description.toLowerCase());
}

function isAboutHeaders({ imageType, orientation, sliceThicknessMm }: SeriesRule): boolean {
  return imageType !== undefined || orientation !== undefined || sliceThicknessMm !== undefined;
}

function fitsImage(rule: SeriesRule, { sopClassUid, facts }: Image): boolean {
  const { sopClassUids, imageType, orientation, sliceThicknessMm } = rule;
  if (sopClassUids !== undefined && !sopClassUids.includes(sopClassUid)) return false;
  if (imageType?.some((value) => !facts.imageType.includes(value)) === true) return false;
  if (orientation !== undefined && facts.plane !== orientation) return false;
  if (sliceThicknessMm === undefined) return true;
  const { sliceThickness } = facts;
  return (
    sliceThickness !== undefined && sliceThickness >= sliceThicknessMm.min && sliceThickness <= sliceThicknessMm.max
  );
}

/**
 * Whether `text` has the form of `pattern`, in which * stands for any characters and ? for one (PS3.4 C.2.2.2.4). Goes back only to the
 * last *, so that no pattern takes longer than the product of both lengths.
 */
export function isLike(text: string, pattern: string): boolean {
  let at = 0;
  let wanted = 0;
  let star = -1;
  let resumeAt = 0;
  while (at < text.length) {
    if (pattern[wanted] === '*') {
      star = wanted;
      wanted += 1;
      resumeAt = at;
    } else if (pattern[wanted] === '?' || pattern[wanted] === text[at]) {
      at += 1;
      wanted += 1;
    } else if (star >= 0) {
      wanted = star + 1;
      resumeAt += 1;
      at = resumeAt;
    } else return false;
  }
  while (pattern[wanted] === '*') wanted += 1;
  return wanted === pattern.length;
}
