/** What was found in a note: its kind and place, never its value. */

export const FINDING_KINDS = [
  'name',
  'birth-date',
  'nhs-number',
  'number',
  'address',
  'postcode',
  'phone',
  'email',
  'url',
  'place',
  'date',
  'age',
] as const;
export type FindingKind = (typeof FINDING_KINDS)[number];

/** Offsets in UTF-16 units of the note as it came. */
export type Finding = { readonly kind: FindingKind; readonly start: number; readonly end: number };

/** `replacement`: what stands there afterwards, where it is not the placeholder of the kind. */
export type Found = Finding & { readonly replacement?: string };

export const PLACEHOLDERS: Readonly<Record<FindingKind, string>> = {
  name: '[NAME]',
  'birth-date': '[DATE OF BIRTH]',
  'nhs-number': '[NHS NUMBER]',
  number: '[NUMBER]',
  address: '[ADDRESS]',
  postcode: '[POSTCODE]',
  phone: '[PHONE]',
  email: '[EMAIL]',
  url: '[URL]',
  place: '[PLACE]',
  date: '[DATE]',
  age: '[AGE 90+]',
};

/** What stands in a text that is searched where something was found already: no letter, no digit, no blank. */
export const TAKEN = '\0';
/** The same where it was a name. */
export const TAKEN_NAME = '\u0001';
