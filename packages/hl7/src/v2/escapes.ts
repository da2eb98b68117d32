/**
 * Escape sequences (HL7 v2.8 chapter 2, 2.7): what stands between two escape characters.
 *
 *   \F\ \S\ \T\ \R\ \E\ \P\   the delimiters themselves, by what they are and not by which sign they have
 *   \Xdd..\                   bytes in hexadecimal, of the character set of the message
 *   \H\ \N\                   highlighting: has no place in a plain value and is left out
 *   \.br\ \.sp\ \.sp n\       lines of formatted text; further commands (\.in\, \.ti\, \.fi\, \.nf\, \.sk\, \.ce\) as far as they move text
 *   \Cxxyy\ \Mxxyyzz\ \Z..\   switches of character set and local ones: kept as they are, since nobody can say what they mean
 *
 * A sequence that is not closed, or not known, stays as it is: a value is never shortened.
 */
import type { Delimiters } from './delimiters.ts';

export type DecodeBytes = (bytes: Uint8Array) => string;

const SPACE_COUNT_MAX = 1000; // a command of formatting that would blow a value up

export function resolveEscapes(raw: string, delimiters: Delimiters, decode: DecodeBytes): string {
  const { escape: sign } = delimiters;
  if (sign === undefined || !raw.includes(sign)) return raw;
  let result = '';
  let from = 0;
  for (;;) {
    const open = raw.indexOf(sign, from);
    const close = open === -1 ? -1 : raw.indexOf(sign, open + 1);
    if (close === -1) return result + raw.slice(from);
    const meant = meaning(raw.slice(open + 1, close), delimiters, decode);
    result += raw.slice(from, open);
    if (meant === undefined) {
      result += sign; // none of ours: the next sign may begin one
      from = open + 1;
    } else {
      result += meant;
      from = close + 1;
    }
  }
}

function meaning(sequence: string, delimiters: Delimiters, decode: DecodeBytes): string | undefined {
  switch (sequence) {
    case 'F':
      return delimiters.field;
    case 'S':
      return delimiters.component;
    case 'T':
      return delimiters.subcomponent ?? '&';
    case 'R':
      return delimiters.repetition;
    case 'E':
      return delimiters.escape;
    case 'P':
      return '#';
    case 'H':
    case 'N':
      return '';
    default:
      return sequence.startsWith('.') ? formatting(sequence) : hexadecimal(sequence, decode);
  }
}

function hexadecimal(sequence: string, decode: DecodeBytes): string | undefined {
  if (!/^X(?:[0-9A-Fa-f]{2})+$/.test(sequence)) return undefined;
  return decode(Buffer.from(sequence.slice(1), 'hex'));
}

/** 2.7.6. Indents and justification say how text looks, and go. */
function formatting(sequence: string): string | undefined {
  const match = /^\.(br|sp|sk|in|ti|fi|nf|ce) ?\+?(-?\d{0,4})$/i.exec(sequence);
  if (match === null) return undefined;
  const [, command = '', digits = ''] = match;
  const count = Math.min(Math.max(Number(digits === '' ? 1 : digits), 0), SPACE_COUNT_MAX);
  switch (command.toLowerCase()) {
    case 'br':
      return '\n';
    case 'sp':
      return '\n'.repeat(count);
    case 'ce':
      return '\n';
    case 'sk':
      return ' '.repeat(count);
    default:
      return '';
  }
}

/** Signs that are no delimiters, whatever these are. */
const PLAIN = /^[A-Za-z0-9 ]*$/;

/** A value as it stands in a message: delimiters escaped, line ends as `\.br\`, other control characters in hexadecimal. */
export function escapeValue(value: string, delimiters: Delimiters): string {
  if (PLAIN.test(value)) return value;
  const { field, component, repetition, escape: escapeSign = '\\', subcomponent = '&' } = delimiters;
  const names = new Map([
    [field, 'F'],
    [component, 'S'],
    [repetition, 'R'],
    [escapeSign, 'E'],
    [subcomponent, 'T'],
    ['\n', '.br'],
  ]);
  let result = '';
  for (const sign of value.replaceAll('\r\n', '\n').replaceAll('\r', '\n')) {
    const name = names.get(sign) ?? (sign < ' ' ? `X${sign.charCodeAt(0).toString(16).padStart(2, '0')}` : undefined);
    result += name === undefined ? sign : `${escapeSign}${name}${escapeSign}`;
  }
  return result;
}
