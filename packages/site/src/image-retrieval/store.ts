/** Finds instances by the keys of any level. Reads the index, which the archive alone writes. */
import type { Database } from '@lantern/service';
import { type RawBuilder, sql } from 'kysely';
import type { InstanceKeys, StoredInstance } from './stored-instance.ts';

/** By study, series and instance, each in the order of its numbers. */
export async function findInstances(
  database: Database,
  keys: InstanceKeys,
  countMax: number,
): Promise<readonly StoredInstance[]> {
  const conditions = [
    anyOf('st.patient_id', keys.patientIds),
    anyOf('st.study_instance_uid', keys.studyInstanceUids),
    anyOf('se.series_instance_uid', keys.seriesInstanceUids),
    anyOf('im.sop_instance_uid', keys.sopInstanceUids),
  ].flatMap((condition) => condition ?? []);
  return database.ask(sql<StoredInstance>`
    select st.study_key as "studyKey", st.study_instance_uid as "studyInstanceUid",
      se.series_instance_uid as "seriesInstanceUid", im.sop_instance_uid as "sopInstanceUid",
      im.sop_class_uid as "sopClassUid", im.transfer_syntax_uid as "transferSyntaxUid", im.file,
      im.data_set_start as "dataSetStart", im.data_set_bytes::float8 as "dataSetBytes",
      greatest(coalesce(im.frame_count, 1), 1) as "frameCount",
      im.image_rows is not null and im.image_columns is not null as "hasImage"
    from image_instance im join image_series se using (series_key) join image_study st using (study_key)
    where ${sql.join(conditions, sql` and `)}
    order by st.study_key, se.series_number nulls last, se.series_key, im.instance_number nulls last, im.instance_key
    limit ${countMax}`);
}

function anyOf(column: string, values: readonly string[] | undefined): RawBuilder<unknown> | undefined {
  return values === undefined ? undefined : sql`${sql.ref(column)} = any(${values}::text[])`;
}
