/** The images that a report is about (PS3.16 TID 1600): one group per series, with what a reader needs to find its way. */
import { type DataSet, numberOf } from '../../data-set.ts';
import type { CodedConcept } from '../coded-concept.ts';
import { referenceTo } from '../instance-reference.ts';
import { wellFormedTexts } from '../source-attributes.ts';
import { type ContentItem, codeItem, container, contentItem, uidItem } from './content-item.ts';
import { MODALITIES, REPORT_CODES } from './report-codes.ts';

const ROWS = 0x00280010;
const COLUMNS = 0x00280011;
const PIXELS: CodedConcept = { value: '{pixels}', scheme: 'UCUM', meaning: 'pixels' };

/** None where there are no images. */
export function imageLibrary(images: readonly DataSet[]): ContentItem[] {
  if (images.length === 0) return [];
  const bySeries = Map.groupBy(images, (image) => referenceTo(image).seriesInstanceUid);
  return [container('CONTAINS', REPORT_CODES.imageLibrary, [...bySeries.values()].map(group))];
}

function group(images: readonly DataSet[]): ContentItem {
  const [first] = images;
  const entries = images.map((image) => {
    const { sopClassUid, sopInstanceUid } = referenceTo(image);
    return contentItem('CONTAINS', undefined, { type: 'IMAGE', reference: { sopClassUid, sopInstanceUid } });
  });
  return container('CONTAINS', REPORT_CODES.imageLibraryGroup, [
    ...(first === undefined ? [] : descriptors(first)),
    ...entries,
  ]);
}

/** What all images of a series have in common (TID 1602). */
function descriptors(image: DataSet): ContentItem[] {
  const text = (keyword: string) => wellFormedTexts(image, keyword)[0];
  const modality = MODALITIES[text('Modality') ?? ''];
  const moments = [
    { name: REPORT_CODES.studyDate, type: 'DATE', moment: text('StudyDate') },
    { name: REPORT_CODES.studyTime, type: 'TIME', moment: text('StudyTime') },
  ] as const;
  const frameOfReferenceUid = text('FrameOfReferenceUID');
  const sizes = [
    [REPORT_CODES.pixelDataRows, numberOf(image, ROWS)],
    [REPORT_CODES.pixelDataColumns, numberOf(image, COLUMNS)],
  ] as const;
  return [
    ...(modality === undefined ? [] : [codeItem('HAS ACQ CONTEXT', REPORT_CODES.modality, modality)]),
    ...moments.flatMap(({ name, type, moment }) =>
      moment === undefined ? [] : [contentItem('HAS ACQ CONTEXT', name, { type, moment })],
    ),
    ...(frameOfReferenceUid === undefined
      ? []
      : [uidItem('HAS ACQ CONTEXT', REPORT_CODES.frameOfReferenceUid, frameOfReferenceUid)]),
    ...sizes.flatMap(([name, value]) =>
      value === undefined
        ? []
        : [contentItem('HAS ACQ CONTEXT', name, { type: 'NUM', quantity: { value, unit: PIXELS } })],
    ),
  ];
}
