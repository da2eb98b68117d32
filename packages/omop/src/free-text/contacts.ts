/** Ways to reach people: e-mail and web addresses, postcodes, streets. Of anybody; they are found by their form. */
import { type Found, TAKEN, TAKEN_NAME } from './finding.ts';

/** Areas of the United Kingdom's postcodes (Royal Mail), and those of the islands and the forces. */
const POSTCODE_AREAS: ReadonlySet<string> = new Set(
  `AB AL B BA BB BD BF BH BL BN BR BS BT BX CA CB CF CH CM CO CR CT CV CW DA DD DE DG DH DL DN DT DY E EC EH EN EX FK FY G GL GU GY HA HD
HG HP HR HS HU HX IG IM IP IV JE KA KT KW KY L LA LD LE LL LN LS LU M ME MK ML N NE NG NN NP NR NW OL OX PA PE PH PL PO PR RG RH RM S SA SE
SG SK SL SM SN SO SP SR SS ST SW SY TA TD TF TN TQ TR TS TW UB W WA WC WD WF WN WR WS WV YO ZE`.split(/\s+/),
);

const POSTCODE =
  /(?<![\p{L}\d])([A-Za-z]{1,2})(\d[A-Za-z\d]?)(\s{0,2})(\d)([ABD-HJLNP-UW-Zabd-hjlnp-uw-z]{2})(?![\p{L}\d])/gu;
const GIROBANK = /(?<![p{L}\d])GIR ?0AA(?![p{L}\d])/gi;

export function findPostcodes(text: string): Found[] {
  const found: Found[] = [];
  for (const match of text.matchAll(POSTCODE)) {
    const [whole, area = '', district = '', gap = '', , unit = ''] = match;
    if (!POSTCODE_AREAS.has(area.toUpperCase()) || isOtherwise({ area, district, gap, unit })) continue;
    found.push({ kind: 'postcode', start: match.index, end: match.index + whole.length });
  }
  for (const match of text.matchAll(GIROBANK))
    found.push({ kind: 'postcode', start: match.index, end: match.index + match[0].length });
  return found;
}

type Code = { readonly area: string; readonly district: string; readonly gap: string; readonly unit: string };

/** The L4 5th and B12 5ng: a vertebra and its rib, a vitamin and its measure. */
function isOtherwise({ area, district, gap, unit }: Code): boolean {
  const isLower = unit === unit.toLowerCase();
  if (isLower && /^(st|nd|rd|th|ng|pg|hr|hz|ft|lb)$/.test(unit)) return true;
  if (!isLower && unit !== unit.toUpperCase()) return true;
  // Nobody writes half a code in capitals, but Ls2 9jt.
  if (isLower && area === area.toUpperCase() && gap !== '' && area.length > 1) return true;
  return isLower && /[A-Z]$/.test(district);
}

const EMAIL_PART_LENGTH_MAX = 64;
const isLocal = (character: string | undefined) => character !== undefined && /[\p{L}\p{N}._%+'-]/u.test(character);
const isDomain = (character: string | undefined) => character !== undefined && /[\p{L}\p{N}.-]/u.test(character);

/** From each @ outwards; the parts are bounded, so that a text of nothing but @ costs no more than its length. */
export function findEmails(text: string): Found[] {
  const found: Found[] = [];
  for (const { index, 0: at } of text.matchAll(/ ?(?:\(at\)|\[at\]) ?|@/gi)) {
    let start = index;
    let end = index + at.length;
    while (index - start < EMAIL_PART_LENGTH_MAX && isLocal(text[start - 1])) start -= 1;
    while (end - index < 2 * EMAIL_PART_LENGTH_MAX && isDomain(text[end])) end += 1;
    while (/[.-]/.test(text[end - 1] ?? '')) end -= 1;
    if (start < index && /[\p{L}\p{N}]\.[\p{L}\p{N}]/u.test(text.slice(index + at.length, end)))
      found.push({ kind: 'email', start, end });
  }
  return found;
}

const URL_FORM = new RegExp(`\\b(?:https?://|ftp://|www\\.)[^\\s${TAKEN}${TAKEN_NAME}<>"']+`, 'gi');

export function findUrls(text: string): Found[] {
  return [...text.matchAll(URL_FORM)].map(({ index, 0: url }) => {
    const trimmed = url.replace(/[.,;:!?)\]]{1,8}$/, '');
    return { kind: 'url', start: index, end: index + trimmed.length };
  });
}

const STREET =
  'Road|Rd|Street|St|Avenue|Ave|Lane|Ln|Close|Drive|Way|Court|Crescent|Cres|Gardens|Gdns|Place|Terrace|Grove|Square|Mews|Row|Rise|View|Walk';
/** 12 Acacia Avenue; Flat 3, 12a High Street. */
const STREET_LINE = new RegExp(
  `(?<![\\p{L}\\d.])(?:(?:Flat|Apartment|Unit) \\d{1,4}[A-Za-z]?,? )?\\d{1,4}[A-Za-z]?,? (?:[A-Z][\\p{L}'’.-]{1,30} ){1,3}(?:${STREET})\\b`,
  'gu',
);

export function findStreets(text: string): Found[] {
  return [...text.matchAll(STREET_LINE)].map(({ index, 0: line }) => ({
    kind: 'address',
    start: index,
    end: index + line.length,
  }));
}
