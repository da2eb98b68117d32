/**
 * Targets of HL7's tables: `participant[1].individual(Practitioner.name)`. A number in brackets is a label that tells occurrences
 * apart, not a position; what stands in parentheses is another resource, to which a reference leads.
 *
 * The tables were written by people: a parenthesis that is not closed, a dot before one, `="value"` at the end, `$value` and `$this`
 * are understood as they are meant. What is not understood gives `undefined`.
 */

export type Step = {
  readonly name: string;
  /** As written: `1`, `each`, `n`; absent where there is none. */
  readonly label: string | undefined;
  readonly reference:
    | { readonly type: string; readonly label: string | undefined; readonly steps: readonly Step[] }
    | undefined;
};

export type Target = {
  /** Of a root that occurs several times: `[2].given`. */
  readonly rootLabel: string | undefined;
  /** None: the root itself. */
  readonly steps: readonly Step[];
  /** `status="finished"`. */
  readonly literal: string | undefined;
};

/** Slips of the tables that have one meaning. */
const SLIPS: readonly (readonly [RegExp, string])[] = [
  [/^; /, ''],
  [/(extension(?:\[\d\])?)\.uri$/, '$1.url'],
  [/coding\.uri$/, 'coding.system'],
  [/coding\.value\b/, 'coding.code'],
  [/\bsytem$/, 'system'],
  [/Practioner/, 'Practitioner'],
  [/\bpractioner/, 'practitioner'],
  [/\borganziation\b/, 'organization'],
  [/\boccurenceTiming/, 'occurrenceTiming'],
  [/\boccurneceTiming/, 'occurrenceTiming'],
  [/\bvaluedateTime$/, 'valueDateTime'],
  [/content(\[\d\])\.(data|url|contentType)$/, 'content$1.attachment.$2'],
];

export function parseTarget(text: string): Target | undefined {
  const mended = SLIPS.reduce((path, [slip, meant]) => path.replace(slip, meant), text.trim());
  const [, path = '', literal] = /^([^=]*)(?:=\s*"([^"]*)"?)?$/.exec(mended) ?? [];
  if (path === '') return undefined;
  if (path === '$value' || path === '$this') return { rootLabel: undefined, steps: [], literal };
  const root = /^\[([^\]]+)\]\.?/.exec(path);
  const reader = { text: root === null ? path : path.slice(root[0].length), at: 0 };
  const steps = readSteps(reader);
  const isWhole = /^\)*$/.test(reader.text.slice(reader.at));
  if (steps === undefined || !isWhole) return undefined;
  return { rootLabel: root?.[1], steps, literal };
}

type Reader = { readonly text: string; at: number };

function take(reader: Reader, pattern: RegExp): RegExpExecArray | undefined {
  const match = pattern.exec(reader.text.slice(reader.at));
  if (match === null || match.index !== 0) return undefined;
  reader.at += match[0].length;
  return match;
}

/** A label; one that was not closed is taken as if it were. */
const LABEL = /^\[([\w-]+)[\]}]?/;

function readSteps(reader: Reader): Step[] | undefined {
  const steps: Step[] = [];
  for (;;) {
    const name = take(reader, /^([A-Za-z]\w*)/)?.[1];
    if (name === undefined) return steps.length === 0 ? undefined : steps;
    const label = take(reader, LABEL)?.[1];
    const reference = take(reader, /^\.?\((?=[A-Za-z])/) === undefined ? undefined : readReference(reader);
    steps.push({ name, label, reference });
    if (take(reader, /^\.(?=[A-Za-z])/) === undefined) return steps;
  }
}

function readReference(reader: Reader): Step['reference'] {
  const type = take(reader, /^([A-Za-z]\w*)/)?.[1] ?? '';
  const label = take(reader, LABEL)?.[1];
  const steps = take(reader, /^\.(?=[A-Za-z])/) === undefined ? [] : (readSteps(reader) ?? []);
  take(reader, /^\)/);
  return { type, label, steps };
}
