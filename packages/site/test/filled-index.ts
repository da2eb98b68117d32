/**
 * The index of images as after years of work, written by SQL without any file: studies of two series over ten years, patients who
 * come more than once, and everything as arithmetic on the number of a study, so that a query's matches can be worked out.
 */
import type { Database } from '@lantern/service';

const INSTANCES_OF_STUDY = 25;
/** Rows of one statement, which has to end before its time is up on a slow machine. */
const STUDIES_AT_ONCE = 5000;

export type FilledIndex = { readonly studyCount: number; readonly seriesCount: number; readonly instanceCount: number };

/** `studyCount` times 25 instances; patient P0000007 has the studies 18, 19 and 20 of two in five. */
export async function fillIndex(database: Database, studyCount: number): Promise<FilledIndex> {
  for (let first = 1; first <= studyCount; first += STUDIES_AT_ONCE) {
    const last = Math.min(studyCount, first + STUDIES_AT_ONCE - 1);
    for (const statement of STATEMENTS) await database.pool.query(statement, [first, last]);
  }
  await database.pool.query('vacuum analyze image_study, image_series, image_instance, image_arrival');
  return { studyCount, seriesCount: 2 * studyCount, instanceCount: INSTANCES_OF_STUDY * studyCount };
}

const FAMILY = `(array['Smith','Jones','Taylor','Brown','Williams','Wilson','Johnson','Davies','Patel','Robinson','Wright','Thompson',
  'Evans','Walker','White','Roberts','Green','Hall','Wood','Jackson','Clarke','Khan','Müller','O''Neil'])`;
const GIVEN = `(array['Olivia','Amelia','Isla','Ava','Mia','George','Noah','Arthur','Harry','Leo','Muhammad','Jack'])`;

const STUDY = `
  with numbers as (
    select n, n * 2 / 5 as patient, to_char(date '2016-01-01' + (n * 37 % 3650), 'YYYYMMDD') as day,
      to_char(time '07:00' + make_interval(secs => n * 53 % 43200), 'HH24MISS') as moment
    from generate_series($1::int, $2::int) as n),
  people as (
    select *, 'P' || lpad(patient::text, 7, '0') as id,
      ${FAMILY}[1 + patient * 11 % 24] || '^' || ${GIVEN}[1 + patient / 24 % 12] || '^' || patient % 97 as name,
      to_char(date '1930-01-01' + (patient * 101 % 29000), 'YYYYMMDD') as born
    from numbers)
  insert into image_study (
    study_instance_uid, patient_id, patient_name, patient_name_key, patient_birth_date, patient_sex, study_date, study_time,
    accession_number, study_id, study_description, referring_physician_name, referring_physician_name_key, attributes,
    first_received_at)
  select '2.25.7.' || n, id, name, lower(name) || '==', born, case when patient % 2 = 0 then 'F' else 'M' end, day, moment,
    'ACC' || lpad(n::text, 7, '0'), n::text, 'Thorax ' || n % 50, 'Grey^Meredith', 'grey^meredith==',
    jsonb_build_object(
      '00080020', jsonb_build_object('vr', 'DA', 'Value', jsonb_build_array(day)),
      '00080030', jsonb_build_object('vr', 'TM', 'Value', jsonb_build_array(moment)),
      '00080050', jsonb_build_object('vr', 'SH', 'Value', jsonb_build_array('ACC' || lpad(n::text, 7, '0'))),
      '00080090', jsonb_build_object('vr', 'PN', 'Value', jsonb_build_array(jsonb_build_object('Alphabetic', 'Grey^Meredith'))),
      '00081030', jsonb_build_object('vr', 'LO', 'Value', jsonb_build_array('Thorax ' || n % 50)),
      '00100010', jsonb_build_object('vr', 'PN', 'Value', jsonb_build_array(jsonb_build_object('Alphabetic', name))),
      '00100020', jsonb_build_object('vr', 'LO', 'Value', jsonb_build_array(id)),
      '00100030', jsonb_build_object('vr', 'DA', 'Value', jsonb_build_array(born)),
      '0020000D', jsonb_build_object('vr', 'UI', 'Value', jsonb_build_array('2.25.7.' || n)),
      '00200010', jsonb_build_object('vr', 'SH', 'Value', jsonb_build_array(n::text))),
    now()
  from people order by n`;

const MODALITY = `(array['CT','CT','CT','CT','MR','MR','CR','US','DX','PT'])[1 + (own.n * 7 + part) % 10]`;
const OWN = `(select study_key, study_instance_uid, study_id::int as n from image_study
  where study_instance_uid like '2.25.7.%' and study_id::int between $1::int and $2::int) as own`;

const SERIES = `
  insert into image_series (
    study_key, series_instance_uid, modality, series_number, series_description, body_part_examined, attributes)
  select study_key, study_instance_uid || '.' || part, ${MODALITY}, part, 'Series ' || part, 'CHEST',
    jsonb_build_object(
      '00080060', jsonb_build_object('vr', 'CS', 'Value', jsonb_build_array(${MODALITY})),
      '0008103E', jsonb_build_object('vr', 'LO', 'Value', jsonb_build_array('Series ' || part)),
      '0020000E', jsonb_build_object('vr', 'UI', 'Value', jsonb_build_array(study_instance_uid || '.' || part)),
      '00200011', jsonb_build_object('vr', 'IS', 'Value', jsonb_build_array(part)))
  from ${OWN} cross join generate_series(1, 2) as part`;

const ARRIVAL = `
  insert into image_arrival (called_ae, study_key, revision, state, first_at, last_at, completed_at, completed_by, instance_count)
  select 'LANTERN', study_key, 1, 'complete', now(), now(), now(), 'quiet', ${INSTANCES_OF_STUDY} from ${OWN}`;

const INSTANCES = `
  insert into image_instance (
    series_key, arrival_id, sop_instance_uid, sop_class_uid, transfer_syntax_uid, instance_number, image_rows, image_columns,
    file, data_set_start, data_set_bytes, content_digest, calling_ae, received_at)
  select series_key, arrival_id, series_instance_uid || '.' || number, '1.2.840.10008.5.1.4.1.1.2', '1.2.840.10008.1.2.1', number,
    512, 512, '20260101/01/' || md5(series_instance_uid || number) || '.dcm', 338, 526000,
    sha256(convert_to(series_instance_uid || number, 'UTF8')), 'SCANNER', now()
  from ${OWN} join image_series using (study_key) join image_arrival using (study_key)
    cross join lateral generate_series(1, 12 + series_number - 1) as number`;

const STATEMENTS = [STUDY, SERIES, ARRIVAL, INSTANCES];
