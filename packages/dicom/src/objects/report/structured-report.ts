/** Comprehensive SR documents (PS3.3 A.35.3) of any content tree: measurement reports are one kind of them. */
import type { DataSet } from '../../data-set.ts';
import { DicomError } from '../../dicom-error.ts';
import { type ElementBuilder, sequenceElement, textElement } from '../../element-values.ts';
import { type Derivation, derivedObject } from '../derived-object.ts';
import { evidenceItems, type InstanceReference, referenceTo } from '../instance-reference.ts';
import { assertContentTree, type ContentItem } from './content-item.ts';
import { contentElements } from './content-tree.ts';

const COMPREHENSIVE_SR = '1.2.840.10008.5.1.4.1.1.88.33';

export type StructuredReport = {
  readonly root: ContentItem;
  /** Every instance that the tree refers to, and further ones that were looked at. */
  readonly evidence: readonly InstanceReference[];
  /** PARTIAL where the algorithm could not do all that it was asked. */
  readonly completion: 'COMPLETE' | 'PARTIAL';
};

/**
 * Nobody has verified it: that is for a person, in another version of the document.
 *
 * Throws `object` where the tree breaks a rule or refers to what is not among the evidence, and what `derivedObject` throws.
 */
export function structuredReportOf(derivation: Derivation, report: StructuredReport): DataSet {
  const { root, evidence, completion } = report;
  assertContentTree(root);
  assertEvidence(root, new Set(evidence.map(({ sopInstanceUid }) => sopInstanceUid)));
  return derivedObject(derivation, { sopClassUid: COMPREHENSIVE_SR, modality: 'SR' }, [
    sequenceElement('ReferencedPerformedProcedureStepSequence', []),
    sequenceElement('PerformedProcedureCodeSequence', []),
    textElement('CompletionFlag', completion),
    textElement('VerificationFlag', 'UNVERIFIED'),
    ...evidenceElements(evidence, referenceTo(derivation.source).studyInstanceUid),
    ...contentElements(root),
  ]);
}

function evidenceElements(evidence: readonly InstanceReference[], studyInstanceUid: string): ElementBuilder[] {
  const own = evidence.filter((reference) => reference.studyInstanceUid === studyInstanceUid);
  const others = evidence.filter((reference) => reference.studyInstanceUid !== studyInstanceUid);
  return [
    ...(own.length === 0 ? [] : [sequenceElement('CurrentRequestedProcedureEvidenceSequence', evidenceItems(own))]),
    ...(others.length === 0 ? [] : [sequenceElement('PertinentOtherEvidenceSequence', evidenceItems(others))]),
  ];
}

/** PS3.3 C.17.2.3: a reader finds the series of an instance there alone. */
function assertEvidence({ value, children }: ContentItem, known: ReadonlySet<string>): void {
  if ((value.type === 'IMAGE' || value.type === 'COMPOSITE') && !known.has(value.reference.sopInstanceUid))
    throw new DicomError('object', 'CurrentRequestedProcedureEvidenceSequence: it lacks an instance of the content.');
  for (const child of children) assertEvidence(child, known);
}
