/** A report as PDF within a DICOM object (PS3.3 A.45.1): shown nearly everywhere, read by people alone. */
import type { DataSet } from '../data-set.ts';
import { DicomError } from '../dicom-error.ts';
import { bytesElement, type ElementBuilder, numberElement, sequenceElement, textElement } from '../element-values.ts';
import { type CodedConcept, conceptElement } from './coded-concept.ts';
import { type Derivation, derivedObject, notEmpty } from './derived-object.ts';
import { referenceItem, referenceTo } from './instance-reference.ts';
import { assertSameStudy } from './source-attributes.ts';

const ENCAPSULATED_PDF = '1.2.840.10008.5.1.4.1.1.104.1';
const SIGNATURE = '%PDF-';
/** Readers look for the signature in the first kilobyte. */
const SIGNATURE_WITHIN_BYTES = 1024;

export type EncapsulatedPdf = {
  readonly pdf: Uint8Array;
  readonly title: string;
  /** What kind of document it is, such as (18748-4, LN, "Diagnostic imaging study"); unknown where it is left out. */
  readonly conceptName?: CodedConcept;
  /** Whether the pages show who the patient is. */
  readonly burnedInAnnotation: boolean;
  /** Of the document where it came from a record system. */
  readonly hl7InstanceIdentifier?: string;
  /** The instances that it was made of. */
  readonly sources?: readonly DataSet[];
};

/**
 * EncapsulatedDocumentLength tells the length of the PDF, as an odd one is padded.
 *
 * Throws `object` where `pdf` is none, or a source is of another study; and what `derivedObject` throws.
 */
export function encapsulatedPdfOf(derivation: Derivation, document: EncapsulatedPdf): DataSet {
  const { pdf, title, conceptName, sources = [] } = document;
  const content = Buffer.from(pdf.buffer, pdf.byteOffset, pdf.byteLength);
  if (!content.subarray(0, SIGNATURE_WITHIN_BYTES).includes(SIGNATURE))
    throw new DicomError('object', 'EncapsulatedDocument: this is no PDF.');
  assertSameStudy(derivation.source, sources);
  return derivedObject(derivation, { sopClassUid: ENCAPSULATED_PDF, modality: 'DOC' }, [
    textElement('ConversionType', 'WSD'),
    textElement('AcquisitionDateTime', []),
    textElement('BurnedInAnnotation', document.burnedInAnnotation ? 'YES' : 'NO'),
    textElement('DocumentTitle', notEmpty('DocumentTitle', title)),
    conceptElement('ConceptNameCodeSequence', ...(conceptName === undefined ? [] : [conceptName])),
    ...optional('HL7InstanceIdentifier', document.hl7InstanceIdentifier),
    ...(sources.length === 0
      ? []
      : [
          sequenceElement(
            'SourceInstanceSequence',
            sources.map((source) => referenceItem(referenceTo(source))),
          ),
        ]),
    textElement('MIMETypeOfEncapsulatedDocument', 'application/pdf'),
    numberElement('EncapsulatedDocumentLength', content.byteLength),
    bytesElement('EncapsulatedDocument', content, 'OB'),
  ]);
}

function optional(keyword: string, text: string | undefined): ElementBuilder[] {
  return text === undefined ? [] : [textElement(keyword, text)];
}
