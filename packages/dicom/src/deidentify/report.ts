/** What was done to an object, element by element: places and rules, never a value. */
import { type Tag, tagText } from '../tag.ts';
import type { ActionKind } from './rules.ts';

export type ReportedAction =
  | Exclude<ActionKind, 'keep' | 'private' | 'words'>
  /** Text from which identifiers were cut. */
  | 'scrub'
  /** Text reduced to known words. */
  | 'clean'
  /** Added or set to tell what was done. */
  | 'set'
  /** Pixels outside or inside regions became black. */
  | 'mask';

export type ReportEntry = {
  /** (0040,A730)[2]/(0040,A160): items count from 1. */
  readonly path: string;
  readonly action: ReportedAction;
  readonly rule: string;
};

export type DeidentificationReport = {
  readonly profile: string;
  /** CID 7050 codes of what was done. */
  readonly methodCodes: readonly string[];
  readonly entries: readonly ReportEntry[];
  /** Elements that stayed as they were, at all depths. */
  readonly keptCount: number;
};

export function pathOf(around: string, tag: Tag): string {
  return around === '' ? tagText(tag) : `${around}/${tagText(tag)}`;
}
