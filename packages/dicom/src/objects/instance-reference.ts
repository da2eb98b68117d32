/** How an object points at others: by class and instance, and as evidence by study and series too (PS3.3 10.8, C.17.2.3). */
import { type DataSet, textOf } from '../data-set.ts';
import { DicomError } from '../dicom-error.ts';
import { type ElementBuilder, numberElement, sequenceElement, textElement } from '../element-values.ts';
import { type CodedConcept, conceptElement } from './coded-concept.ts';

const UIDS = {
  sopClassUid: [0x00080016, 'SOPClassUID'],
  sopInstanceUid: [0x00080018, 'SOPInstanceUID'],
  studyInstanceUid: [0x0020000d, 'StudyInstanceUID'],
  seriesInstanceUid: [0x0020000e, 'SeriesInstanceUID'],
} as const;

export type InstanceReference = { readonly [name in keyof typeof UIDS]: string };

/** Throws `object` where the data set is no instance of a study. */
export function referenceTo(dataSet: DataSet): InstanceReference {
  const uidOf = (name: keyof typeof UIDS): string => {
    const [tag, keyword] = UIDS[name];
    const uid = textOf(dataSet, tag);
    if (uid === undefined) throw new DicomError('object', `${keyword}: an instance that is referred to must have one.`);
    return uid;
  };
  return {
    sopClassUid: uidOf('sopClassUid'),
    sopInstanceUid: uidOf('sopInstanceUid'),
    studyInstanceUid: uidOf('studyInstanceUid'),
    seriesInstanceUid: uidOf('seriesInstanceUid'),
  };
}

/** SOP Instance Reference Macro (PS3.3 table 10-11). */
export function referenceItem(reference: Pick<InstanceReference, 'sopClassUid' | 'sopInstanceUid'>): ElementBuilder[] {
  return [
    textElement('ReferencedSOPClassUID', reference.sopClassUid),
    textElement('ReferencedSOPInstanceUID', reference.sopInstanceUid),
  ];
}

const SOURCE_IMAGE: CodedConcept = {
  value: '121322',
  scheme: 'DCM',
  meaning: 'Source image for image processing operation',
};

/** An item of SourceImageSequence. `frameIndex`: from 0, in images of many frames. */
export function sourceImageItem(reference: InstanceReference, frameIndex?: number): ElementBuilder[] {
  return [
    ...referenceItem(reference),
    ...(frameIndex === undefined ? [] : [numberElement('ReferencedFrameNumber', frameIndex + 1)]),
    conceptElement('PurposeOfReferenceCodeSequence', SOURCE_IMAGE),
  ];
}

/** Items of Hierarchical SOP Instance Reference Macros (PS3.3 table C.17-3), one per study; each instance once. */
export function evidenceItems(references: readonly InstanceReference[]): ElementBuilder[][] {
  return [...grouped(references, 'studyInstanceUid')].map(([studyInstanceUid, ofStudy]) => [
    sequenceElement(
      'ReferencedSeriesSequence',
      [...grouped(ofStudy, 'seriesInstanceUid')].map(([seriesInstanceUid, ofSeries]) => [
        sequenceElement('ReferencedSOPSequence', distinct(ofSeries).map(referenceItem)),
        textElement('SeriesInstanceUID', seriesInstanceUid),
      ]),
    ),
    textElement('StudyInstanceUID', studyInstanceUid),
  ]);
}

/** Common Instance Reference Module (PS3.3 C.12.2): those of the object's own study, and those of others. */
export function commonInstanceReferences(
  references: readonly InstanceReference[],
  studyInstanceUid: string,
): ElementBuilder[] {
  const seriesItems = (some: readonly InstanceReference[]) =>
    [...grouped(some, 'seriesInstanceUid')].map(([seriesInstanceUid, ofSeries]) => [
      sequenceElement('ReferencedInstanceSequence', distinct(ofSeries).map(referenceItem)),
      textElement('SeriesInstanceUID', seriesInstanceUid),
    ]);
  const byStudy = grouped(references, 'studyInstanceUid');
  const own = byStudy.get(studyInstanceUid) ?? [];
  byStudy.delete(studyInstanceUid);
  const others = [...byStudy].map(([uid, ofStudy]) => [
    sequenceElement('ReferencedSeriesSequence', seriesItems(ofStudy)),
    textElement('StudyInstanceUID', uid),
  ]);
  return [
    ...(own.length === 0 ? [] : [sequenceElement('ReferencedSeriesSequence', seriesItems(own))]),
    ...(others.length === 0 ? [] : [sequenceElement('StudiesContainingOtherReferencedInstancesSequence', others)]),
  ];
}

function grouped(
  references: readonly InstanceReference[],
  by: 'studyInstanceUid' | 'seriesInstanceUid',
): Map<string, InstanceReference[]> {
  return Map.groupBy(references, (reference) => reference[by]);
}

function distinct(references: readonly InstanceReference[]): InstanceReference[] {
  return [...new Map(references.map((reference) => [reference.sopInstanceUid, reference])).values()];
}
