/** How an object points at others (PS3.3 10.8). */
import { type DataSet, textOf } from '../data-set.ts';
import { DicomError } from '../dicom-error.ts';
import { type ElementBuilder, textElement } from '../element-values.ts';

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
