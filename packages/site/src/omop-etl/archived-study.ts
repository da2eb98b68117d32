/** A study of an archive of images as rows of the staged tables. Whose it is, is looked up later by its patient's number. */
import { DICOMWEB_STUDIES_PATH } from '@lantern/contract';
import { BODY_PART_CODES, ROWS_PER_RESOURCE_MAX } from '@lantern/omop';
import { type Json, members, textOf } from './fhir-json.ts';
import type { ResourceStage } from './staged-resource.ts';

/** Stands where FHIR has the type of a resource; FHIR has none of this name. */
export const ARCHIVED_STUDY = 'DicomStudy';

const SNOMED = 'http://snomed.info/sct';

/**
 * study  studyInstanceUid, patientId, patientIdSystem, studyDate, accessionNumber, and series: seriesInstanceUid, modality,
 *        bodyPartExamined, seriesDate; dates and codes as DICOM writes them, what is unknown is left out
 */
export function readArchivedStudy(study: Json, stage: ResourceStage): void {
  const series = members(study, 'series');
  if (series.length > ROWS_PER_RESOURCE_MAX) {
    stage.refuse('component.too-many');
    return;
  }
  const dated = series.map((one) => ({
    one,
    date: dateOf(textOf(study, 'studyDate')) ?? dateOf(textOf(one, 'seriesDate')),
  }));
  if (dated.every(({ date }) => date === undefined)) {
    stage.refuse(series.length === 0 ? 'series.missing' : 'date.missing');
    return;
  }
  const studyUid = textOf(study, 'studyInstanceUid');
  for (const [ordinal, { one, date }] of dated.entries()) {
    if (date === undefined) {
      stage.warn('date.missing');
      continue;
    }
    const seriesUid = textOf(one, 'seriesInstanceUid');
    const code = bodyPartCode(textOf(one, 'bodyPartExamined'), stage);
    stage.add('image', {
      ordinal,
      study_uid: studyUid,
      series_uid: seriesUid,
      modality: textOf(one, 'modality'),
      start_date: date,
      wadors_uri: `${DICOMWEB_STUDIES_PATH}/${studyUid}/series/${seriesUid}`,
      is_archived: true,
      patient_id: textOf(study, 'patientId'),
      patient_id_system: textOf(study, 'patientIdSystem'),
      accession_number: textOf(study, 'accessionNumber'),
      ...(code === undefined ? {} : { body_site_system: SNOMED, body_site_code: code }),
    });
  }
}

function bodyPartCode(bodyPart: string | undefined, stage: ResourceStage): string | undefined {
  if (bodyPart === undefined) return undefined;
  const name = bodyPart.toUpperCase();
  const code = Object.hasOwn(BODY_PART_CODES, name) ? BODY_PART_CODES[name] : undefined;
  if (code === undefined) stage.warn('body-part');
  return code;
}

/** "20260131", and the "2026.01.31" of old devices, as "2026-01-31"; undefined where it is no day. */
function dateOf(text: string | undefined): string | undefined {
  const [, year, month, day] = /^(\d{4})\.?(\d\d)\.?(\d\d)$/.exec(text?.trim() ?? '') ?? [];
  if (year === undefined) return undefined;
  const date = `${year}-${month}-${day}`;
  const time = Date.parse(`${date}T00:00:00Z`);
  return !Number.isNaN(time) && new Date(time).toISOString().startsWith(date) ? date : undefined;
}
