/** What a text value may hold (PS3.5 table 6.2-1), for values that we write; values that others wrote are taken as they come. */
import type { Vr } from './vr.ts';

type TextRule = { readonly lengthMax: number; readonly pattern?: RegExp };

/** Lengths in characters of one value; of a name, of one component group. */
const RULES: Readonly<Partial<Record<Vr, TextRule>>> = {
  AE: { lengthMax: 16, pattern: /^[\x20-\x5b\x5d-\x7e]*$/ },
  AS: { lengthMax: 4, pattern: /^\d{3}[DWMY]$/ },
  CS: { lengthMax: 16, pattern: /^[A-Z0-9_ ]*$/ },
  DA: { lengthMax: 8, pattern: /^\d{8}$/ },
  DS: { lengthMax: 16, pattern: /^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/ },
  DT: { lengthMax: 26, pattern: /^\d{4,14}(\.\d{1,6})?([+-]\d{4})?$/ },
  IS: { lengthMax: 12, pattern: /^[+-]?\d+$/ },
  LO: { lengthMax: 64 },
  LT: { lengthMax: 10_240 },
  PN: { lengthMax: 64 },
  SH: { lengthMax: 16 },
  ST: { lengthMax: 1024 },
  TM: { lengthMax: 14, pattern: /^\d{2}(\d{2}(\d{2}(\.\d{1,6})?)?)?$/ },
  UI: { lengthMax: 64, pattern: /^(0|[1-9]\d*)(\.(0|[1-9]\d*))*$/ },
};

/** The long texts may hold line ends and tabs; no other control characters are allowed (PS3.5 6.1.3). */
const MULTI_LINE: ReadonlySet<Vr> = new Set(['LT', 'ST', 'UT']);

/** `undefined` where `text` may be one value of `vr`; else the rule that it breaks, which never quotes it. */
export function brokenTextRule(vr: Vr, text: string): string | undefined {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  const control = MULTI_LINE.has(vr) ? /[\x00-\x08\x0b\x0e-\x1f\x7f]/ : /[\x00-\x1f\x7f\\]/;
  if (control.test(text))
    return `a value of ${vr} holds no control characters, nor a backslash where it separates values`;
  const rule = RULES[vr];
  if (rule === undefined || text === '') return undefined;
  const parts = vr === 'PN' ? text.split('=') : [text];
  if (vr === 'PN' && parts.length > 3) return 'a name has at most three component groups';
  if (parts.some((part) => [...part].length > rule.lengthMax))
    return `a value of ${vr} has at most ${rule.lengthMax} characters`;
  return rule.pattern?.test(text) === false ? `this is not how a value of ${vr} is written` : undefined;
}
