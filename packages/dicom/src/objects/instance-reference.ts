/** How an object points at others: by class and instance, and as evidence by study and series too (PS3.3 10.8, C.17.2.3). */
import { type DataSet, itemsOf, textOf } from '../data-set.ts';
import { DicomError } from '../dicom-error.ts';
import { type ElementBuilder, numberElement, sequenceElement, textElement } from '../element-values.ts';
import { type CodedConcept, conceptElement } from './coded-concept.ts';

const UIDS = {
  sopClassUid: [0x00080016, 'SOPClassUID'],
  sopInstanceUid: [0x00080018, 'SOPInstanceUID'],
  studyInstanceUid: [0x0020000d, 'StudyInstanceUID'],
  seriesInstanceUid: [0x0020000e, 'SeriesInstanceUID'],
} as const;

/** Sequences of studies, of their series, and of the instances of these. */
const STUDY_SEQUENCES = [0x0040a375, 0x0040a385, 0x00081200] as const;
const SERIES_SEQUENCE = 0x00081115;
const INSTANCE_SEQUENCES = [0x00081199, 0x0008114a] as const;
const REFERENCED_INSTANCE = 0x00081155;

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

/** Instance -> its series, for all that a data set refers to as the evidence of a report, or in the module of images (C.12.2). */
export function referencedSeries(dataSet: DataSet): ReadonlyMap<string, string> {
  const studies = STUDY_SEQUENCES.flatMap((sequence) => itemsOf(dataSet, sequence));
  const series = [dataSet, ...studies].flatMap((holder) => itemsOf(holder, SERIES_SEQUENCE));
  const found = new Map<string, string>();
  for (const one of series) {
    const seriesUid = textOf(one, UIDS.seriesInstanceUid[0]);
    for (const instance of INSTANCE_SEQUENCES.flatMap((sequence) => itemsOf(one, sequence))) {
      const uid = textOf(instance, REFERENCED_INSTANCE);
      if (uid !== undefined && seriesUid !== undefined) found.set(uid, seriesUid);
    }
  }
  return found;
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
