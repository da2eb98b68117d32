/**
 * What an object says of its own de-identification (PS3.15 E.1.1 step 8, PS3.3 C.12.1.1.2 and C.7.1.1): only what was done to this
 * object. Cleaned pixels are claimed where pixels were blacked out or read for text, not because a profile asks for it.
 */

import type { DataSet, Element } from '../data-set.ts';
import { PROFILE_SOURCE_SHA256 } from '../generated/confidentiality-profile.ts';
import { asciiElement } from './dummy-values.ts';
import type { DeidentificationProfile } from './profile.ts';

/** CID 7050. 113102, recognisable visual features, is not ours to claim. */
const MEANINGS = {
  '113100': 'Basic Application Confidentiality Profile',
  '113101': 'Clean Pixel Data Option',
  '113103': 'Clean Graphics Option',
  '113104': 'Clean Structured Content Option',
  '113105': 'Clean Descriptors Option',
  '113106': 'Retain Longitudinal Temporal Information Full Dates Option',
  '113107': 'Retain Longitudinal Temporal Information Modified Dates Option',
  '113108': 'Retain Patient Characteristics Option',
  '113109': 'Retain Device Identity Option',
  '113110': 'Retain UIDs Option',
  '113111': 'Retain Safe Private Option',
  '113112': 'Retain Institution Identity Option',
} as const;
export type MethodCode = keyof typeof MEANINGS;

export function methodCodesOf(
  profile: DeidentificationProfile,
  done: { pixelsCleaned: boolean },
): readonly MethodCode[] {
  const claims: readonly [MethodCode, boolean][] = [
    ['113100', true],
    ['113101', done.pixelsCleaned],
    ['113103', profile.graphics === 'clean'],
    ['113104', profile.structuredContent === 'clean'],
    ['113105', profile.descriptors === 'clean'],
    ['113106', profile.dates === 'retain'],
    ['113107', profile.dates === 'shift'],
    ['113108', profile.patientCharacteristics === 'retain'],
    ['113109', profile.deviceIdentity === 'retain'],
    ['113110', profile.uids === 'retain'],
    ['113111', profile.safePrivate === 'retain'],
    ['113112', profile.institutionIdentity === 'retain'],
  ];
  return claims.filter(([, isDone]) => isDone).map(([code]) => code);
}

const TEMPORAL = { remove: 'REMOVED', shift: 'MODIFIED', retain: 'UNMODIFIED' } as const;
const EDITION_CHARACTERS = 8;

/** Elements to set, in the encoding of `around`. `noAnnotation`: pixels were cleaned, or a person saw no text in what stays. */
export function methodElements(
  profile: DeidentificationProfile,
  codes: readonly MethodCode[],
  options: { around: DataSet; noAnnotation: boolean },
): Element[] {
  const edition = PROFILE_SOURCE_SHA256.slice(0, EDITION_CHARACTERS);
  const items = codes.map((code): DataSet => {
    const elements = [
      asciiElement(0x00080100, 'SH', code),
      asciiElement(0x00080102, 'SH', 'DCM'),
      asciiElement(0x00080104, 'LO', MEANINGS[code]),
    ];
    return { ...options.around, elements: new Map(elements.map((element) => [element.tag, element])) };
  });
  const annotation = options.noAnnotation ? [asciiElement(0x00280301, 'CS', 'NO')] : [];
  return [
    asciiElement(0x00120062, 'CS', 'YES'),
    asciiElement(0x00120063, 'LO', `Lantern ${profile.name}, PS3.15 E.1-1 ${edition}`),
    { tag: 0x00120064, vr: 'SQ', value: { kind: 'items', items } },
    asciiElement(0x00280303, 'CS', TEMPORAL[profile.dates]),
    ...annotation,
  ];
}
