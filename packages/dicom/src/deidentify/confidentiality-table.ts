/** Table E.1-1 of PS3.15: for each attribute the action of the Basic Profile, and that of each option which changes it. */
import { PROFILE_LINES } from '../generated/confidentiality-profile.ts';
import type { Tag } from '../tag.ts';

/** X remove, Z zero length, D dummy, U new UID; a combination is resolved by the type of the attribute in its IOD. */
const ACTION_CODES = ['X', 'Z', 'D', 'U', 'X/Z', 'X/D', 'Z/D', 'X/Z/D', 'X/Z/U*'] as const;
export type ActionCode = (typeof ACTION_CODES)[number];

const OPTIONS = [
  'safePrivate',
  'uids',
  'deviceIdentity',
  'institutionIdentity',
  'patientCharacteristics',
  'fullDates',
  'modifiedDates',
  'descriptors',
  'structuredContent',
  'graphics',
] as const;
export type OptionName = (typeof OPTIONS)[number];

/** K keep, C clean. */
export type ProfileRow = {
  /** A tag, `private` for all private ones, `curves` and `overlays` for repeating groups that are treated as a whole. */
  readonly attribute: Tag | 'private' | 'curves' | 'overlays';
  readonly basic: ActionCode;
  readonly options: ReadonlyMap<OptionName, 'K' | 'C'>;
};

export function profileRows(): readonly ProfileRow[] {
  return PROFILE_LINES.split('\n').map((line) => {
    const [attribute = '', basic = '', ...options] = line.split(' ');
    return { attribute: attributeOf(attribute), basic: actionCodeOf(basic), options: new Map(options.map(optionOf)) };
  });
}

let rows: ReadonlyMap<Tag, ProfileRow> | undefined;

/** The row of a standard attribute; `undefined` where the table has none, and for repeating groups and private ones. */
export function profileRow(tag: Tag): ProfileRow | undefined {
  rows ??= new Map(profileRows().flatMap((row) => (typeof row.attribute === 'number' ? [[row.attribute, row]] : [])));
  return rows.get(tag);
}

function attributeOf(text: string): ProfileRow['attribute'] {
  if (text === 'private') return text;
  if (text.startsWith('50xx')) return 'curves';
  if (text.startsWith('60xx')) return 'overlays';
  return Number.parseInt(text, 16);
}

// The two below hold for the generated table: a test reads every line.
function actionCodeOf(text: string): ActionCode {
  return ACTION_CODES.find((code) => code === text) ?? 'X';
}

function optionOf(text: string): [OptionName, 'K' | 'C'] {
  const [name, action] = text.split('=');
  return [OPTIONS.find((option) => option === name) ?? 'safePrivate', action === 'K' ? 'K' : 'C'];
}
