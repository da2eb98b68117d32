/** Blacks out and reads the pixels of an object as judged, and leaves those of all others alone. */
import type { ByteSource } from '../byte-source.ts';
import { type DataSet, type Element, numberOf, type Value } from '../data-set.ts';
import { DicomError } from '../dicom-error.ts';
import type { Part10File } from '../part10.ts';
import { transcoded } from '../pixel/transcode.ts';
import { TAGS } from '../tag.ts';
import { EXPLICIT_LITTLE_ENDIAN } from '../transfer-syntax.ts';
import { commentPatches, patchedSource } from './compressed-comments.ts';
import { decided, type PixelDecision } from './pixel-decision.ts';
import { type PixelGeometry, pixelBytes, pixelGeometryOf } from './pixel-geometry.ts';
import { judgePixels, type PixelJudgement, type QuarantineReason } from './pixel-judgement.ts';
import { blackOut, maskedPixels, withoutUnusedBits } from './pixel-mask.ts';
import type { DeidentificationProfile } from './profile.ts';
import type { Scrubber } from './scrubber.ts';
import { framesToRead, greyFrame, isTelling, type TextReader } from './text-reader.ts';

export type PixelTools = { readonly readText?: TextReader };

/** Pixels are treated in memory, all frames of them; a claim of more is quarantined. */
const PIXEL_BYTES_MAX = 1024 * 1024 * 1024;

/** Pixels in the order of PixelData, with the header that says how they lie. */
type UncompressedPixels = {
  readonly dataSet: DataSet;
  readonly pixelData: Buffer;
  readonly transferSyntaxUid: string;
};

export type CleanedPixels = {
  readonly kind: 'cleaned';
  /** The header, changed where decoding changed it, with the pixels of the output. */
  readonly dataSet: DataSet;
  readonly source: ByteSource;
  readonly transferSyntaxUid: string;
  /** Regions were blacked out, or a reader read the image and found nothing. */
  readonly wasCleaned: boolean;
  /** Labels of the rules that blacked out, and words for what else was changed. */
  readonly rules: readonly string[];
};
export type PixelOutcome =
  | CleanedPixels
  | { readonly kind: 'quarantined'; readonly reasons: readonly QuarantineReason[] };

type Job = {
  readonly file: Part10File;
  readonly profile: DeidentificationProfile;
  readonly tools: PixelTools;
  readonly scrubber: Scrubber;
  readonly decision?: PixelDecision | undefined;
};

export async function cleanPixels(job: Job): Promise<PixelOutcome> {
  const { file, profile, tools, decision } = job;
  const judgement = judgePixels(file.dataSet, profile.pixelRules);
  if (decision !== undefined) return asDecided(job, decided(judgement, decision, profile));
  if (judgement.kind === 'quarantine') return { kind: 'quarantined', reasons: judgement.reasons };
  if (judgement.kind === 'mask') {
    if (profile.pixels === 'untouched') return { kind: 'quarantined', reasons: [...judgement.suspect, 'masking-off'] };
    if (judgement.suspect.length > 0 && tools.readText === undefined)
      return { kind: 'quarantined', reasons: [...judgement.suspect, 'no-reader'] };
  }
  const mustRead = profile.readPixels === 'all' || (judgement.kind === 'mask' && judgement.suspect.length > 0);
  const hasPixels = file.dataSet.elements.has(TAGS.pixelData);
  if (judgement.kind === 'mask' || (mustRead && hasPixels)) return treatPixels(job, judgement);
  return untouched(file);
}

/** A person has looked, so no reader has a say. */
async function asDecided(job: Job, judgement: PixelJudgement): Promise<PixelOutcome> {
  if (judgement.kind === 'quarantine') return { kind: 'quarantined', reasons: judgement.reasons };
  if (judgement.kind === 'mask') return treatPixels({ ...job, tools: {} }, judgement);
  return untouched(job.file);
}

async function treatPixels(job: Job, judgement: PixelJudgement): Promise<PixelOutcome> {
  const { file, tools, scrubber } = job;
  const pixels = uncompressedPixels(file);
  const geometry = pixels === undefined ? undefined : pixelGeometryOf(pixels.dataSet);
  if (pixels === undefined || geometry === undefined || pixels.pixelData.byteLength < pixelBytes(geometry))
    return { kind: 'quarantined', reasons: ['undecodable-pixels'] };
  const { littleEndian } = pixels.dataSet;
  const masks = judgement.kind === 'mask' ? judgement.masks : [];
  const masked = maskedPixels(geometry, masks);
  const pixelData =
    masks.length === 0 ? pixels.pixelData : blackOut(pixels.pixelData, geometry, { masked, littleEndian });
  if (tools.readText !== undefined) {
    const found = await readsText({ pixelData, geometry, littleEndian }, tools.readText, scrubber);
    if (found) return { kind: 'quarantined', reasons: ['text-in-pixels'] };
  }
  const wasRead = tools.readText !== undefined;
  if (masks.length === 0) return { ...untouched(file), wasCleaned: wasRead };
  const elements = new Map(pixels.dataSet.elements);
  elements.set(TAGS.pixelData, pixelElement(pixels.dataSet, pixelData.subarray(0, evenLength(geometry))));
  return {
    kind: 'cleaned',
    dataSet: { ...pixels.dataSet, elements },
    source: file.source,
    transferSyntaxUid: pixels.transferSyntaxUid,
    wasCleaned: true,
    rules: judgement.kind === 'mask' ? judgement.rules : [],
  };
}

async function readsText(
  image: { pixelData: Buffer; geometry: PixelGeometry; littleEndian: boolean },
  readText: TextReader,
  scrubber: Scrubber,
): Promise<boolean> {
  const { pixelData, geometry, littleEndian } = image;
  for (const frame of framesToRead(geometry.frameCount)) {
    const grey = greyFrame(pixelData, geometry, { frame, littleEndian });
    const found = grey === undefined ? [] : await readText(grey);
    if (found.some((text) => isTelling(text, scrubber))) return true;
  }
  return false;
}

/** `undefined` where there are none, or no codec reads them; frames are decoded as they are read. */
function uncompressedPixels(file: Part10File): UncompressedPixels | undefined {
  const isCompressed = file.dataSet.elements.get(TAGS.pixelData)?.value.kind === 'fragments';
  try {
    const { dataSet, source, transferSyntax } = isCompressed ? transcoded(file, EXPLICIT_LITTLE_ENDIAN) : file;
    const value = dataSet.elements.get(TAGS.pixelData)?.value;
    if (value?.kind === 'bytes') return { dataSet, pixelData: value.bytes, transferSyntaxUid: transferSyntax.uid };
    if (value?.kind !== 'range' || value.range.length > PIXEL_BYTES_MAX) return undefined;
    const pixelData = source.bytes(value.range.start, value.range.length);
    return { dataSet, pixelData, transferSyntaxUid: transferSyntax.uid };
  } catch (caught) {
    if (caught instanceof DicomError) return undefined;
    throw caught;
  }
}

/** Untouched but for what is no pixel: data beyond the last frame, overlays in unused bits, comments in compressed frames. */
function untouched(file: Part10File): CleanedPixels {
  const { dataSet, transferSyntax } = file;
  const value = dataSet.elements.get(TAGS.pixelData)?.value;
  const same = {
    kind: 'cleaned',
    dataSet,
    source: file.source,
    transferSyntaxUid: transferSyntax.uid,
    wasCleaned: false,
  } as const;
  if (value?.kind === 'fragments') {
    const patches = commentPatches(file.source, value.fragments.slice(1)); // the first is the offset table
    const rules = patches.length === 0 ? [] : ['comments in compressed frames'];
    return { ...same, source: patchedSource(file.source, patches), rules };
  }
  const geometry = pixelGeometryOf(dataSet);
  if (value === undefined || geometry === undefined || value.kind === 'items') return { ...same, rules: [] };
  const cut = withoutExcess(value, geometry);
  const cleared = hasHiddenOverlay(dataSet) ? withoutHiddenOverlay(cut, file, geometry) : cut;
  if (cleared === value) return { ...same, rules: [] };
  const elements = new Map(dataSet.elements);
  const element = dataSet.elements.get(TAGS.pixelData);
  if (element !== undefined) elements.set(TAGS.pixelData, { ...element, value: cleared });
  return { ...same, dataSet: { ...dataSet, elements }, rules: ['bytes that are no pixels'] };
}

function evenLength(geometry: PixelGeometry): number {
  return 2 * Math.ceil(pixelBytes(geometry) / 2);
}

function withoutExcess(value: Value, geometry: PixelGeometry): Value {
  const length = evenLength(geometry);
  if (value.kind === 'range' && value.range.length > length) return { ...value, range: { ...value.range, length } };
  if (value.kind === 'bytes' && value.bytes.byteLength > length)
    return { ...value, bytes: value.bytes.subarray(0, length) };
  return value;
}

/** OverlayBitPosition other than 0, or bits allocated as for the pixels: the overlay lies in bits of PixelData (retired). */
function hasHiddenOverlay(dataSet: DataSet): boolean {
  for (let group = 0x6000; group <= 0x601e; group += 2) {
    const tag = group * 0x10000;
    if (!dataSet.elements.has(tag + 0x0100) && !dataSet.elements.has(tag + 0x0102)) continue;
    const isInPixels = (numberOf(dataSet, tag + 0x0100) ?? 1) > 1 || (numberOf(dataSet, tag + 0x0102) ?? 0) > 0;
    if (isInPixels) return true;
  }
  return false;
}

function withoutHiddenOverlay(value: Value, { source, dataSet }: Part10File, geometry: PixelGeometry): Value {
  if (value.kind !== 'bytes' && value.kind !== 'range') return value;
  const bytes = value.kind === 'bytes' ? value.bytes : source.bytes(value.range.start, value.range.length);
  return { kind: 'bytes', bytes: withoutUnusedBits(bytes, geometry, dataSet.littleEndian) };
}

function pixelElement(original: DataSet, bytes: Buffer): Element {
  const vr = original.elements.get(TAGS.pixelData)?.vr ?? 'OW';
  return { tag: TAGS.pixelData, vr, value: { kind: 'bytes', bytes } };
}
