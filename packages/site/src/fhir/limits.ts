/** Every bound of the FHIR server, each with its reason. */
import type { JsonLimits } from '@lantern/hl7';

/** One resource: a scanned document inside a Binary or DocumentReference; what is larger belongs into the image archive. */
const RESOURCE_CHARACTERS_MAX = 32 * 1024 * 1024;
/** HL7's deepest example nests 16; a Questionnaire of 40 levels would be unreadable. Recursion here stays far from the stack's end. */
const DEPTH_MAX = 64;
/** Of one request: a bundle of a patient's whole life, with its documents. */
export const FHIR_BODY_BYTES_MAX = 64 * 1024 * 1024;
/** Entries of a bundle in one transaction: all their rows are locked until its end. */
export const BUNDLE_ENTRY_COUNT_MAX = 20_000;

export const FHIR_JSON_LIMITS: JsonLimits = { lengthMax: RESOURCE_CHARACTERS_MAX, depthMax: DEPTH_MAX };
export const FHIR_BUNDLE_LIMITS: JsonLimits = { lengthMax: FHIR_BODY_BYTES_MAX, depthMax: DEPTH_MAX };

/** Matches on a page where the caller names no `_count`, and at most. */
export const PAGE_COUNT_DEFAULT = 20;
export const PAGE_COUNT_MAX = 1000;
/** Resources that `_include` and `_revinclude` add to a page. */
export const INCLUDED_COUNT_MAX = 2000;
/** Rounds of `_include:iterate`. */
export const ITERATE_DEPTH_MAX = 4;
/** A search of so many parameters is not one that a person wrote. */
export const SEARCH_PARAMETER_COUNT_MAX = 40;
export const SEARCH_VALUE_COUNT_MAX = 500;
/** `a.b.c.d=`, and `_has:` within `_has:`. */
export const CHAIN_DEPTH_MAX = 3;
export const SEARCH_VALUE_LENGTH_MAX = 2000;
