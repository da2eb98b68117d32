/**
 * Studies of the index that got an instance since another, for whoever keeps a copy of the index in another form. Read within one
 * state of the database; a study always comes whole.
 */
import type { ReadOnlyConnection } from '@lantern/service';

/** Of the instances: `table` has a row for each, numbered by `sequence` within the transaction that writes it. */
export const INSTANCE_KEYS = { table: 'image_instance', sequence: 'image_instance_instance_key_seq' } as const;

const PAGE_COUNT = 250; // some hundred kilobytes

/** Codes and dates as DICOM writes them; '' where there is none. */
export type IndexedStudy = {
  readonly studyInstanceUid: string;
  readonly patientId: string;
  readonly issuerOfPatientId: string;
  readonly studyDate: string;
  readonly accessionNumber: string;
  /** In the order in which they came. */
  readonly series: readonly {
    readonly seriesInstanceUid: string;
    readonly modality: string;
    readonly bodyPartExamined: string;
    readonly seriesDate: string;
  }[];
};

/** `after`: key of an instance, decimal; '0' gives all. */
export async function* changedStudies(connection: ReadOnlyConnection, after: string): AsyncGenerator<IndexedStudy> {
  const instanceKey = BigInt(after);
  for (let last = 0n; ; ) {
    const rows = await connection.rows(`
      select t.study_key, json_build_object(
        'studyInstanceUid', t.study_instance_uid, 'patientId', t.patient_id,
        'issuerOfPatientId', coalesce(t.attributes #>> '{00100021,Value,0}', ''),
        'studyDate', t.study_date, 'accessionNumber', t.accession_number,
        'series', (select coalesce(json_agg(json_build_object(
            'seriesInstanceUid', s.series_instance_uid, 'modality', s.modality, 'bodyPartExamined', s.body_part_examined,
            'seriesDate', coalesce(s.attributes #>> '{00080021,Value,0}', '')) order by s.series_key), '[]')
          from image_series s where s.study_key = t.study_key))
      from image_study t where t.study_key > ${last} and t.study_key in (
        select s.study_key from image_instance i join image_series s using (series_key) where i.instance_key > ${instanceKey})
      order by t.study_key limit ${PAGE_COUNT}`);
    for (const [key, json] of rows) {
      last = BigInt(key ?? '0');
      yield JSON.parse(json ?? '{}') as IndexedStudy; // built by the query above
    }
    if (rows.length < PAGE_COUNT) return;
  }
}
