/**
 * The free text of a resource: plain text that is attached (DocumentReference, DiagnosticReport), conclusions, values and remarks that
 * are text (Observation), narratives of a Composition's sections. What is attached in another form or lies elsewhere is counted, not read.
 */
import { type Json, member, members, textOf } from '../omop-etl/fhir-json.ts';

export const NOTE_TYPES = ['DocumentReference', 'DiagnosticReport', 'Observation', 'Composition'] as const;
/** Of one note. A longer one is no note but an archive of them. */
const NOTE_LENGTH_MAX = 1_000_000;
const SECTION_DEPTH_MAX = 8;

export type NoteTexts = {
  readonly kind: string;
  /** YYYY-MM-DD of the resource. */
  readonly date: string | undefined;
  /** `place`: where in the resource, so that the same text has the same name each time. */
  readonly texts: readonly { readonly place: string; readonly text: string }[];
  readonly unread: number;
};

export function noteTextsOf(resource: Json): NoteTexts {
  const kind = textOf(resource, 'resourceType') ?? '';
  const found = [...partsOf(kind, resource)];
  const texts = found.flatMap(({ place, text }) =>
    text === undefined || text.trim() === '' || text.length > NOTE_LENGTH_MAX ? [] : [{ place, text }],
  );
  const unread = found.filter(({ text }) => text === undefined || text.length > NOTE_LENGTH_MAX).length;
  return { kind, date: dateOf(resource), texts, unread };
}

/** `text` is undefined where there is something that is not read. */
type Part = { readonly place: string; readonly text: string | undefined };

function partsOf(kind: string, resource: Json): Part[] {
  switch (kind) {
    case 'DocumentReference':
      return members(resource, 'content').map((content, index) => ({
        place: `content[${index}]`,
        text: attached(member(content, 'attachment')),
      }));
    case 'DiagnosticReport': {
      const forms = members(resource, 'presentedForm').map((form, index) => ({
        place: `presentedForm[${index}]`,
        text: attached(form),
      }));
      const said = textParts(resource, ['conclusion']);
      // A narrative says again what the rest says; where there is no rest, it is all there is.
      return forms.length + said.length > 0 ? [...forms, ...said] : narrative(resource, 'text');
    }
    case 'Observation':
      return [
        ...textParts(resource, ['valueString']),
        ...members(resource, 'note').map((note, index) => ({
          place: `note[${index}]`,
          text: textOf(note, 'text') ?? '',
        })),
      ];
    case 'Composition': {
      const sections = sectionParts(members(resource, 'section'), { place: 'section', depth: 0 });
      return sections.length > 0 ? sections : narrative(resource, 'text');
    }
    default:
      return [];
  }
}

function textParts(resource: Json, names: readonly string[]): Part[] {
  return names.flatMap((place) => {
    const text = textOf(resource, place);
    return text === undefined ? [] : [{ place, text }];
  });
}

function sectionParts(sections: readonly unknown[], at: { readonly place: string; readonly depth: number }): Part[] {
  if (at.depth >= SECTION_DEPTH_MAX) return [];
  return sections.flatMap((section, index) => {
    const place = `${at.place}[${index}]`;
    const div = textOf(section, 'text', 'div');
    const below = sectionParts(members(section, 'section'), { place: `${place}.section`, depth: at.depth + 1 });
    return [...(div === undefined ? [] : [{ place, text: plainText(div) }]), ...below];
  });
}

function narrative(resource: Json, place: string): Part[] {
  const div = textOf(resource, place, 'div');
  return div === undefined ? [] : [{ place, text: plainText(div) }];
}

function attached(attachment: unknown): string | undefined {
  const data = textOf(attachment, 'data');
  const [type = '', ...parameters] = (textOf(attachment, 'contentType') ?? '').toLowerCase().split(/\s*;\s*/);
  if (data === undefined || type !== 'text/plain') return undefined;
  const charset = parameters.find((parameter) => parameter.startsWith('charset='))?.slice('charset='.length);
  try {
    return new TextDecoder(charset?.replaceAll('"', '') ?? 'utf-8').decode(Buffer.from(data, 'base64'));
  } catch {
    return undefined; // a character set that nobody knows
  }
}

const ENTITIES: Readonly<Record<string, string>> = { lt: '<', gt: '>', amp: '&', quot: '"', apos: "'", nbsp: '\u00a0' };
const CODE_POINT_MAX = 0x10ffff;

/** Of XHTML: blocks become lines. */
export function plainText(xhtml: string): string {
  return xhtml
    .replace(/<\/(?:p|div|li|tr|h[1-6]|table|ul|ol)>|<br ?\/?>/gi, '\n')
    .replace(/<\/t[dh]>/gi, ' ')
    .replace(/<[^<>]*>/g, '')
    .replace(/&(?:#(\d{1,7})|#x([\da-f]{1,6})|([a-z]{1,6}));/gi, (whole, decimal, hexadecimal, name) => {
      if (typeof name === 'string') return ENTITIES[name.toLowerCase()] ?? whole;
      const point = typeof decimal === 'string' ? Number(decimal) : Number.parseInt(String(hexadecimal), 16);
      return point > 0 && point <= CODE_POINT_MAX ? String.fromCodePoint(point) : '';
    })
    .replace(/\n{3,}/g, '\n\n')
    .trim();
}

function dateOf(resource: Json): string | undefined {
  const written =
    textOf(resource, 'date') ??
    textOf(resource, 'effectiveDateTime') ??
    textOf(resource, 'effectivePeriod', 'start') ??
    textOf(resource, 'issued') ??
    textOf(resource, 'effectiveInstant');
  return /^\d{4}-\d{2}-\d{2}/.exec(written ?? '')?.[0];
}
