/** Which algorithm made a result: name and version, as objects have them that others read (PS3.3 table 10-19). */
import { type ElementBuilder, textElement } from '../element-values.ts';
import { type CodedConcept, conceptElement } from './coded-concept.ts';
import { notEmpty } from './derived-object.ts';

export type Algorithm = {
  readonly name: string;
  readonly version: string;
  /** Artificial intelligence where it is left out. */
  readonly family?: CodedConcept;
  /** Who made it. */
  readonly source?: string;
  /** Its settings, for people. */
  readonly parameters?: string;
};

const ARTIFICIAL_INTELLIGENCE: CodedConcept = { value: '123110', scheme: 'DCM', meaning: 'Artificial Intelligence' };

/** An item of the Algorithm Identification Macro. */
export function algorithmItem({ name, version, family, source, parameters }: Algorithm): ElementBuilder[] {
  return [
    conceptElement('AlgorithmFamilyCodeSequence', family ?? ARTIFICIAL_INTELLIGENCE),
    textElement('AlgorithmName', notEmpty('AlgorithmName', name)),
    textElement('AlgorithmVersion', notEmpty('AlgorithmVersion', version)),
    ...(parameters === undefined ? [] : [textElement('AlgorithmParameters', parameters)]),
    ...(source === undefined ? [] : [textElement('AlgorithmSource', source)]),
  ];
}
