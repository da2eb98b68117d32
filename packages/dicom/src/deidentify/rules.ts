/**
 * What to do with an element, by tag, profile and IOD. Order: what this project replaces on purpose, private elements, repeating
 * groups, table E.1-1, then all the standard says nothing of: kept if PS3.6 knows it, removed if not.
 *
 * Where the table leaves a choice (X/Z/D ...), the type of the attribute in its IOD makes it. For a SOP class that is not known, or
 * an attribute where it is not, the choice that leaves something behind: a dummy value or an empty one is valid where removal may
 * not be, and neither holds anything of the patient. For the same reason X becomes Z or D, and Z becomes D, where the IOD requires
 * the attribute without condition.
 *
 * Stricter than the table on purpose: free text that it does not name is reduced to known words; names, addresses and times of
 * persons that it does not name are treated like those that it names; retired text and bytes are removed.
 */
import { isRetired, keywordOf, vrInDictionary } from '../dictionary.ts';
import { isPrivate, type Tag } from '../tag.ts';
import type { Vr } from '../vr.ts';
import type { AttributeTypes } from './attribute-types.ts';
import { type ActionCode, type OptionName, profileRow } from './confidentiality-table.ts';
import type { DeidentificationProfile } from './profile.ts';

export type ActionKind =
  /** Kept; text is searched for the patient's identifiers all the same, sequences are gone through. */
  | 'keep'
  | 'remove'
  | 'empty'
  | 'dummy'
  /** A new UID; a sequence is gone through, for the UIDs inside. */
  | 'uid'
  | 'shift'
  /** Text is reduced to known words, a sequence is gone through. */
  | 'words'
  | 'private'
  | 'patient-id'
  | 'patient-name'
  | 'birth-date'
  | 'age';

export type Action = { readonly kind: ActionKind; readonly rule: string };

export type Place = {
  readonly types: AttributeTypes | undefined;
  readonly nested: boolean;
};

const PATIENT_ID = 0x00100020;
const PATIENT_NAME = 0x00100010;
const BIRTH_DATE = 0x00100030;
const AGE = 0x00101010;
/** Text and bytes: what a retired attribute of these VRs holds nobody can say any more. */
const OPAQUE_VRS: ReadonlySet<Vr> = new Set<Vr>([
  'LO',
  'SH',
  'ST',
  'LT',
  'UT',
  'UC',
  'PN',
  'AE',
  'DA',
  'DT',
  'UR',
  'UI',
  'UN',
  'OB',
  'OW',
  'SQ',
]);
const FREE_TEXT_VRS: ReadonlySet<Vr> = new Set(['ST', 'LT', 'UT']);
/** Of LO and SH: names such as these hold sentences. */
const FREE_TEXT_KEYWORD = /Comment|Notes?$|Title|Description|Explanation$|Label$|Reason/;
/** Not in table E.1-1, yet of a person, a place or a medium. */
const IDENTIFYING_KEYWORD =
  /^(ContactDisplayName|HangingProtocolCreator|HangingProtocolUserGroupName|AssignedLocation|OwnerID|PatientBirthDateInAlternativeCalendar|PatientDeathDateInAlternativeCalendar|BreedRegistrationNumber|BoardingPassID|ItineraryID|ItineraryIDAssigningAuthority|RouteID|RouteSegment.*|CarrierID|StorageMediaFileSetID|ComponentWelderIDs|HL7InstanceIdentifier|PrinterName|NTPSourceAddress)$/;
/** UIDs that name a kind of thing, never a thing. */
const CLASS_UID_KEYWORD =
  /SOPClass|TransferSyntax|^CodingSchemeUID$|^ContextUID$|^MappingResourceUID$|^ContextGroupExtensionCreatorUID$/;
const SAFE_URL_KEYWORD = /^(CodingSchemeURL|URNCodeValue)$/;

export type Rules = (tag: Tag, place: Place) => Action;

/** Answers are remembered: there are some hundred tags, and millions of elements. */
export function createRules(profile: DeidentificationProfile): Rules {
  const enabled = enabledOptions(profile);
  const memory = new Map<AttributeTypes | undefined, { top: Map<Tag, Action>; nested: Map<Tag, Action> }>();
  return (tag, place) => {
    let actions = memory.get(place.types);
    if (actions === undefined) {
      actions = { top: new Map(), nested: new Map() };
      memory.set(place.types, actions);
    }
    const remembered = place.nested ? actions.nested : actions.top;
    const known = remembered.get(tag);
    if (known !== undefined) return known;
    const action = actionFor(tag, place, profile, enabled);
    remembered.set(tag, action);
    return action;
  };
}

/** Options of E.1-1 that a profile switches on, in the order in which they win: cleaning before keeping. */
function enabledOptions(profile: DeidentificationProfile): readonly OptionName[] {
  const switches: readonly [OptionName, boolean][] = [
    ['modifiedDates', profile.dates === 'shift'],
    ['descriptors', profile.descriptors === 'clean'],
    ['structuredContent', profile.structuredContent === 'clean'],
    ['graphics', profile.graphics === 'clean'],
    ['safePrivate', profile.safePrivate === 'retain'],
    ['uids', profile.uids === 'retain'],
    ['fullDates', profile.dates === 'retain'],
    ['patientCharacteristics', profile.patientCharacteristics === 'retain'],
    ['institutionIdentity', profile.institutionIdentity === 'retain'],
    ['deviceIdentity', profile.deviceIdentity === 'retain'],
  ];
  return switches.filter(([, on]) => on).map(([name]) => name);
}

function actionFor(tag: Tag, place: Place, profile: DeidentificationProfile, enabled: readonly OptionName[]): Action {
  if (isPrivate(tag)) return { kind: 'private', rule: 'E.3.10 private' };
  const group = tag >>> 16;
  if (group >= 0x5000 && group <= 0x50ff) return { kind: 'remove', rule: 'E.1-1 curves' };
  if (group >= 0x6000 && group <= 0x60ff) return { kind: 'remove', rule: 'E.1-1 overlays' };
  // Lengths, commands, file meta information and directories have no place in a data set.
  if ((tag & 0xffff) === 0 || group < 0x0008) return { kind: 'remove', rule: 'no part of an object' };
  const replacement = replacementFor(tag, profile);
  if (replacement !== undefined) return replacement;
  const row = profileRow(tag);
  if (row === undefined) return actionWithoutRow(tag, profile);
  for (const option of enabled) {
    const action = row.options.get(option);
    if (action !== undefined) return { kind: optionAction(option, action), rule: `E.1-1 option ${option} ${action}` };
  }
  return basicAction(row.basic, tag, place);
}

/** What gets a value of its own: a pseudonym, or one that a setting of the profile shapes. */
function replacementFor(tag: Tag, profile: DeidentificationProfile): Action | undefined {
  if (tag === PATIENT_ID) return { kind: 'patient-id', rule: 'E.1-1 Z/D' };
  if (tag === PATIENT_NAME) return { kind: 'patient-name', rule: 'E.1-1 Z' };
  if (tag === BIRTH_DATE && profile.birthDate === 'shift') return { kind: 'birth-date', rule: 'profile birthDate' };
  if (tag === AGE && profile.patientCharacteristics === 'retain')
    return { kind: 'age', rule: 'E.1-1 option patientCharacteristics K, profile ageYearsMax' };
  return undefined;
}

function optionAction(option: OptionName, action: 'K' | 'C'): ActionKind {
  if (action === 'K' || option === 'structuredContent' || option === 'graphics') return 'keep';
  switch (option) {
    case 'modifiedDates':
      return 'shift';
    case 'deviceIdentity':
      return 'keep'; // AE titles: the identifiers of the patient are searched for, as everywhere
    default:
      return 'words';
  }
}

/** Sequences of references hold nothing but UIDs: with new ones they are their own dummies, as a single UID is. */
const REFERENCED_PERFORMED_PROCEDURE_STEPS = 0x00081111;

function basicAction(code: ActionCode, tag: Tag, { types, nested }: Place): Action {
  const required = types === undefined ? undefined : (nested ? types.nested : types.top).get(tag);
  const type: KnownType = types === undefined ? 'unknown' : (required ?? 3);
  const decidedByType = code.includes('/') || required !== undefined;
  const kind = BASIC_ACTIONS[code][type];
  const isUid = tag === REFERENCED_PERFORMED_PROCEDURE_STEPS || vrInDictionary(tag) === 'UI';
  return {
    kind: kind === 'dummy' && isUid ? 'uid' : kind,
    rule: `E.1-1 ${code}${decidedByType ? `, type ${type}` : ''}`,
  };
}

type KnownType = 1 | 2 | 3 | 'unknown';

const BASIC_ACTIONS: Readonly<Record<ActionCode, Readonly<Record<KnownType, ActionKind>>>> = {
  X: { 1: 'dummy', 2: 'empty', 3: 'remove', unknown: 'remove' },
  Z: { 1: 'dummy', 2: 'empty', 3: 'empty', unknown: 'empty' },
  D: { 1: 'dummy', 2: 'dummy', 3: 'dummy', unknown: 'dummy' },
  U: { 1: 'uid', 2: 'uid', 3: 'uid', unknown: 'uid' },
  'X/Z': { 1: 'dummy', 2: 'empty', 3: 'remove', unknown: 'empty' },
  'X/D': { 1: 'dummy', 2: 'dummy', 3: 'remove', unknown: 'dummy' },
  'Z/D': { 1: 'dummy', 2: 'empty', 3: 'empty', unknown: 'dummy' },
  'X/Z/D': { 1: 'dummy', 2: 'empty', 3: 'remove', unknown: 'dummy' },
  // Of any type: these hold nothing but UIDs, and ReferencedSeriesSequence is valid only together with them.
  'X/Z/U*': { 1: 'uid', 2: 'uid', 3: 'uid', unknown: 'uid' },
};

/** Attributes that table E.1-1 does not name: the standard keeps them. */
function actionWithoutRow(tag: Tag, profile: DeidentificationProfile): Action {
  const keyword = keywordOf(tag);
  const vr = vrInDictionary(tag);
  if (keyword === undefined || vr === undefined) return { kind: 'remove', rule: 'not in PS3.6' };
  if (IDENTIFYING_KEYWORD.test(keyword)) return { kind: 'remove', rule: 'of a person, place or medium' };
  if (isRetired(tag) && OPAQUE_VRS.has(vr)) return { kind: 'remove', rule: 'retired text or bytes' };
  switch (vr) {
    case 'PN':
      return { kind: 'dummy', rule: 'name of a person' };
    case 'DA':
    case 'DT':
      if (profile.dates === 'retain') return { kind: 'keep', rule: 'not in E.1-1' };
      return { kind: profile.dates === 'shift' ? 'shift' : 'dummy', rule: 'date' };
    case 'UI':
      if (CLASS_UID_KEYWORD.test(keyword) || profile.uids === 'retain') return { kind: 'keep', rule: 'not in E.1-1' };
      return { kind: 'uid', rule: 'UID of a thing' };
    case 'UR':
      if (SAFE_URL_KEYWORD.test(keyword)) return { kind: 'keep', rule: 'not in E.1-1' };
      return { kind: 'empty', rule: 'address' };
    default: {
      const isFree = FREE_TEXT_VRS.has(vr) || ((vr === 'LO' || vr === 'SH') && FREE_TEXT_KEYWORD.test(keyword));
      return isFree ? { kind: 'words', rule: 'free text' } : { kind: 'keep', rule: 'not in E.1-1' };
    }
  }
}
