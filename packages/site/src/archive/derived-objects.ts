/**
 * Segmentations and structured reports that the archive got since another instance, in the order in which they came, for whoever reads
 * what they say of images.
 */
import type { ReadOnlyConnection } from '@lantern/service';

const PAGE_COUNT = 250; // some ten kilobytes
const SEGMENTATION = '1.2.840.10008.5.1.4.1.1.66.4';
const LABEL_MAP = '1.2.840.10008.5.1.4.1.1.66.7';
/** Every class of report begins so (PS3.4 B.5). */
const REPORT_PREFIX = '1.2.840.10008.5.1.4.1.1.88.';

export type DerivedObject = {
  readonly kind: 'segmentation' | 'report';
  readonly sopInstanceUid: string;
  readonly studyInstanceUid: string;
  readonly seriesInstanceUid: string;
  /** Of the study, which is that of its first instance. */
  readonly patientId: string;
  /** Below the folder of the archive. */
  readonly file: string;
  readonly dataSetBytes: number;
};

/** `after`: key of an instance, decimal; '0' gives all. */
export async function* derivedObjects(connection: ReadOnlyConnection, after: string): AsyncGenerator<DerivedObject> {
  for (let last = BigInt(after); ; ) {
    const rows = await connection.rows(`
      select i.instance_key, json_build_object(
        'kind', case when i.sop_class_uid like '${REPORT_PREFIX}%' then 'report' else 'segmentation' end,
        'sopInstanceUid', i.sop_instance_uid, 'studyInstanceUid', t.study_instance_uid,
        'seriesInstanceUid', s.series_instance_uid, 'patientId', t.patient_id, 'file', i.file, 'dataSetBytes', i.data_set_bytes)
      from image_instance i join image_series s using (series_key) join image_study t using (study_key)
      where i.instance_key > ${last}
        and (i.sop_class_uid in ('${SEGMENTATION}', '${LABEL_MAP}') or i.sop_class_uid like '${REPORT_PREFIX}%')
      order by i.instance_key limit ${PAGE_COUNT}`);
    for (const [key, json] of rows) {
      last = BigInt(key ?? '0');
      yield JSON.parse(json ?? '{}') as DerivedObject; // built by the query above
    }
    if (rows.length < PAGE_COUNT) return;
  }
}
