/** Coded concepts (PS3.3 section 8): what a finding, a segment or a unit is, in the words of a terminology. */
import { type DataSet, itemsOf, textOf } from '../data-set.ts';
import { type ElementBuilder, sequenceElement, textElement } from '../element-values.ts';
import type { Tag } from '../tag.ts';

const CODE_VALUE = 0x00080100;
const CODING_SCHEME_DESIGNATOR = 0x00080102;
const CODING_SCHEME_VERSION = 0x00080103;
const CODE_MEANING = 0x00080104;
const LONG_CODE_VALUE = 0x00080119;
const URN_CODE_VALUE = 0x00080120;
const SHORT_VALUE_LENGTH_MAX = 16;

export type CodedConcept = {
  readonly value: string;
  /** CodingSchemeDesignator: DCM, SCT, UCUM, LN, or one of a maker's own that begins with 99. */
  readonly scheme: string;
  readonly schemeVersion?: string;
  readonly meaning: string;
};

/** The concept as the content of an item. A value too long for CodeValue takes LongCodeValue, or URNCodeValue where it is one. */
export function conceptItem({ value, scheme, schemeVersion, meaning }: CodedConcept): ElementBuilder[] {
  return [
    textElement(valueTag(value), value),
    ...(scheme === '' ? [] : [textElement(CODING_SCHEME_DESIGNATOR, scheme)]), // a URN says its scheme itself
    ...(schemeVersion === undefined ? [] : [textElement(CODING_SCHEME_VERSION, schemeVersion)]),
    textElement(CODE_MEANING, meaning),
  ];
}

function valueTag(value: string): Tag {
  if (value.length <= SHORT_VALUE_LENGTH_MAX) return CODE_VALUE;
  return /^(urn:|https?:)/i.test(value) ? URN_CODE_VALUE : LONG_CODE_VALUE;
}

/** A sequence of concepts; no item for none. */
export function conceptElement(name: string, ...concepts: readonly CodedConcept[]): ElementBuilder {
  return sequenceElement(name, concepts.map(conceptItem));
}

export function conceptsIn(dataSet: DataSet, sequence: Tag): CodedConcept[] {
  return itemsOf(dataSet, sequence).map((item) => {
    const schemeVersion = textOf(item, CODING_SCHEME_VERSION);
    return {
      value: textOf(item, CODE_VALUE) ?? textOf(item, LONG_CODE_VALUE) ?? textOf(item, URN_CODE_VALUE) ?? '',
      scheme: textOf(item, CODING_SCHEME_DESIGNATOR) ?? '',
      ...(schemeVersion === undefined ? {} : { schemeVersion }),
      meaning: textOf(item, CODE_MEANING) ?? '',
    };
  });
}

/** Whether two concepts are the same: their meanings may be worded differently (PS3.3 8.3). */
export function isSameConcept(some: Pick<CodedConcept, 'value' | 'scheme'>, other: typeof some): boolean {
  return some.value === other.value && some.scheme === other.scheme;
}
