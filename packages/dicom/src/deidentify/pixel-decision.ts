/**
 * What a person who looked at the pixels of a quarantined object said of them, and what it changes: suspicion of text yields to it,
 * everything else that held the object back does not.
 */
import type { PixelJudgement, QuarantineReason } from './pixel-judgement.ts';
import type { Region } from './pixel-rules.ts';
import type { DeidentificationProfile } from './profile.ts';

export type PixelDecision =
  /** Nothing in the pixels, as they are, tells who the patient is. */
  | { readonly kind: 'no-burnt-in-text' }
  /** Nothing but what lies in these regions, which are blacked out in every frame. */
  | { readonly kind: 'regions'; readonly regions: readonly Region[] };

const ABOUT_TEXT: ReadonlySet<string> = new Set<QuarantineReason>([
  'burned-in-annotation',
  'secondary-capture',
  'screen-or-report',
  'scanned-or-photographed',
  'slide-label',
  'ultrasound-without-regions',
  'masking-off',
  'no-reader',
  'text-in-pixels',
]);

/** Whether an object with these reasons may pass on the word of a person who looked at its pixels. */
export function yieldsToPixelDecision(reasons: readonly string[]): boolean {
  return reasons.length > 0 && reasons.every((reason) => ABOUT_TEXT.has(reason));
}

export function decided(
  judgement: PixelJudgement,
  decision: PixelDecision,
  { pixels }: Pick<DeidentificationProfile, 'pixels'>,
): PixelJudgement {
  if (judgement.kind === 'quarantine' && !yieldsToPixelDecision(judgement.reasons)) return judgement;
  const byRule = judgement.kind === 'mask' && pixels === 'clean' ? judgement : { masks: [], rules: [] };
  const stated = decision.kind === 'regions' ? [{ regions: decision.regions, where: 'inside' } as const] : [];
  const masks = [...byRule.masks, ...stated];
  if (masks.length === 0) return { kind: 'pass' };
  const rules = stated.length === 0 ? byRule.rules : [...byRule.rules, 'regions stated by a person'];
  return { kind: 'mask', masks, rules, suspect: [] };
}
