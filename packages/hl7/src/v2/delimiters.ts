/** The delimiters of a message: it names them itself, in MSH-1 and MSH-2 (HL7 v2.8 chapter 2, 2.5.4). */
import { Hl7Error } from '../hl7-error.ts';

export type Delimiters = {
  readonly field: string;
  readonly component: string;
  readonly repetition: string;
  /** Absent where MSH-2 names none: then nothing is escaped. */
  readonly escape: string | undefined;
  readonly subcomponent: string | undefined;
};

export const STANDARD_DELIMITERS: Delimiters = {
  field: '|',
  component: '^',
  repetition: '~',
  escape: '\\',
  subcomponent: '&',
};

/** "MSH", MSH-1, and at least two encoding characters. */
const HEADER = /^(?:MSH|FHS|BHS)([^\r\n])([^\r\n]*)/;

/** Of the header at the beginning of `text`. Throws `malformed`. */
export function readDelimiters(text: string): Delimiters {
  const match = HEADER.exec(text);
  const [, field = '', rest = ''] = match ?? [];
  if (match === null) throw new Hl7Error('malformed', 'The message does not begin with MSH and a field separator.');
  const encoding = rest.split(field, 1)[0] ?? '';
  const [component, repetition, escapeSign, subcomponent] = encoding;
  if (component === undefined || repetition === undefined) {
    throw new Hl7Error('malformed', 'MSH-2: at least the separators of components and repetitions are needed.');
  }
  // A fifth one, of truncation, came with version 2.7; more are not known.
  const all = [field, ...encoding];
  const isKnown = encoding.length <= 5 && all.every(isDelimiter) && new Set(all).size === all.length;
  if (!isKnown) throw new Hl7Error('malformed', 'MSH-1 and MSH-2: delimiters are up to six different ASCII signs.');
  return { field, component, repetition, escape: escapeSign, subcomponent };
}

/** A letter or digit would cut values apart that were not meant to be. */
function isDelimiter(sign: string): boolean {
  return /^[\x21-\x7e]$/.test(sign) && !/[A-Za-z0-9]/.test(sign);
}
