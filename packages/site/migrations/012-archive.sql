-- The archive of images: the hierarchy of PS3.3 A.1 over the files that were received. The files hold the truth, these rows find it.

create table image_study (
  study_key bigint generated always as identity primary key,
  study_instance_uid text collate "C" not null unique,
  patient_id text collate "C" not null,
  patient_name text not null,
  -- Names as they are compared: see name-key.ts of the archive.
  patient_name_key text collate "C" not null,
  patient_birth_date text collate "C" not null,
  patient_sex text not null,
  study_date text collate "C" not null,
  study_time text collate "C" not null,
  accession_number text collate "C" not null,
  study_id text not null,
  study_description text not null,
  referring_physician_name text not null,
  referring_physician_name_key text collate "C" not null,
  -- Patient and study attributes as DICOM JSON (PS3.18 F), as the first instance of the study had them.
  attributes jsonb not null,
  first_received_at timestamptz not null
);
-- What people look for (PS3.4 C.6): equal, a beginning, a range of dates; newest first. Collation "C" lets one index serve them all.
create index image_study_patient on image_study (patient_id);
create index image_study_accession on image_study (accession_number) where accession_number <> '';
create index image_study_name on image_study (patient_name_key);
create index image_study_date on image_study (study_date desc, study_key desc);
create index image_study_birth on image_study (patient_birth_date);

create table image_series (
  series_key bigint generated always as identity primary key,
  study_key bigint not null references image_study,
  series_instance_uid text collate "C" not null,
  modality text collate "C" not null,
  series_number integer,
  series_description text not null,
  body_part_examined text not null,
  attributes jsonb not null,
  unique (study_key, series_instance_uid)
);
create index image_series_uid on image_series (series_instance_uid);
create index image_series_modality on image_series (modality, study_key);

-- What reached one AE title of ours for one study, from the first instance to the quiet time after the last; a late instance
-- begins the next revision. States: ARRIVAL_STATES of the contract.
create table image_arrival (
  arrival_id bigint generated always as identity primary key,
  called_ae text not null,
  study_key bigint not null references image_study,
  revision integer not null,
  state text not null check (state in ('receiving', 'complete')),
  first_at timestamptz not null,
  last_at timestamptz not null,
  completed_at timestamptz,
  -- Why it counts as complete: 'quiet', 'expected' or 'deadline'.
  completed_by text,
  instance_count integer not null,
  unique (called_ae, study_key, revision)
);
create index image_arrival_receiving on image_arrival (last_at) where state = 'receiving';

create table image_instance (
  instance_key bigint generated always as identity primary key,
  series_key bigint not null references image_series,
  arrival_id bigint not null references image_arrival,
  sop_instance_uid text collate "C" not null unique,
  sop_class_uid text not null,
  transfer_syntax_uid text not null,
  instance_number integer,
  image_rows integer,
  image_columns integer,
  frame_count integer,
  -- Below the folder of the archive.
  file text not null,
  -- Where the data set begins in the file, and its length and SHA-256: as it was sent, byte for byte.
  data_set_start integer not null,
  data_set_bytes bigint not null,
  content_digest bytea not null,
  calling_ae text not null,
  received_at timestamptz not null
);
create index image_instance_series on image_instance (series_key);
create index image_instance_arrival on image_instance (arrival_id);
-- Before a file is removed as unknown, this says that it is. By its name and not by its time: clocks are set back.
create index image_instance_file on image_instance using hash (file);

-- An instance whose UID is taken by other content: kept, never shown in the place of the first, for a person to decide.
create table image_conflict (
  conflict_id bigint generated always as identity primary key,
  sop_instance_uid text collate "C" not null,
  content_digest bytea not null,
  transfer_syntax_uid text not null,
  file text not null,
  data_set_start integer not null,
  data_set_bytes bigint not null,
  called_ae text not null,
  calling_ae text not null,
  received_at timestamptz not null,
  unique (sop_instance_uid, content_digest)
);
create index image_conflict_file on image_conflict using hash (file);

-- Files of hours before this have all been compared with the rows.
create table archive_check (
  only_row boolean primary key default true check (only_row),
  checked_until timestamptz not null
);

-- Indexes instances in one go, since one commit then carries those of every association that waits. `entries` is an array of
-- objects with the fields below. Gives for each its outcome: 'stored'; 'duplicate' where the same content is indexed already;
-- 'conflict' where other content is; and whether its file is still needed.
create function index_instances(entries jsonb)
returns table (place bigint, outcome text, keeps_file boolean, arrival bigint)
language plpgsql as $$
declare
  entry record;
  study bigint;
  series bigint;
  earlier record;
begin
  for entry in
    select item.ordinality as place, fields.*
    from jsonb_array_elements(entries) with ordinality as item(value, ordinality),
      jsonb_to_record(item.value) as fields(
        "study" jsonb, "series" jsonb, "sopInstanceUid" text, "sopClassUid" text, "transferSyntaxUid" text,
        "instanceNumber" integer, "rows" integer, "columns" integer, "frameCount" integer,
        "file" text, "dataSetStart" integer, "dataSetBytes" bigint, "contentDigest" text,
        "callingAe" text, "calledAe" text, "receivedAt" timestamptz, "lateOpensRevision" boolean)
    order by item.ordinality
  loop
    place := entry.place;
    keeps_file := false;
    study := index_study(entry."study", entry."receivedAt");
    select content_digest, transfer_syntax_uid into earlier
      from image_instance where sop_instance_uid = entry."sopInstanceUid";
    arrival := note_arrival(entry."calledAe", study, entry."receivedAt", not found and entry."lateOpensRevision");
    if earlier is null then
      series := index_series(study, entry."series");
      insert into image_instance (
          series_key, arrival_id, sop_instance_uid, sop_class_uid, transfer_syntax_uid, instance_number, image_rows,
          image_columns, frame_count, file, data_set_start, data_set_bytes, content_digest, calling_ae, received_at)
        values (
          series, arrival, entry."sopInstanceUid", entry."sopClassUid", entry."transferSyntaxUid", entry."instanceNumber",
          entry."rows", entry."columns", entry."frameCount", entry."file", entry."dataSetStart", entry."dataSetBytes",
          decode(entry."contentDigest", 'hex'), entry."callingAe", entry."receivedAt");
      outcome := 'stored';
      keeps_file := true;
    elsif earlier.content_digest = decode(entry."contentDigest", 'hex')
      and earlier.transfer_syntax_uid = entry."transferSyntaxUid" then
      outcome := 'duplicate';
    else
      insert into image_conflict (
          sop_instance_uid, content_digest, transfer_syntax_uid, file, data_set_start, data_set_bytes, called_ae,
          calling_ae, received_at)
        values (
          entry."sopInstanceUid", decode(entry."contentDigest", 'hex'), entry."transferSyntaxUid", entry."file",
          entry."dataSetStart", entry."dataSetBytes", entry."calledAe", entry."callingAe", entry."receivedAt")
        on conflict do nothing;
      outcome := 'conflict';
      keeps_file := found;
    end if;
    return next;
  end loop;
end $$;

-- The key of the study, made where it is new. What a later instance says of patient and study changes nothing.
create function index_study(study jsonb, received_at timestamptz) returns bigint
language plpgsql as $$
declare
  key bigint;
begin
  select study_key into key from image_study where study_instance_uid = study ->> 'studyInstanceUid';
  if key is not null then return key; end if;
  insert into image_study (
      study_instance_uid, patient_id, patient_name, patient_name_key, patient_birth_date, patient_sex, study_date,
      study_time, accession_number, study_id, study_description, referring_physician_name, referring_physician_name_key,
      attributes, first_received_at)
    values (
      study ->> 'studyInstanceUid', study ->> 'patientId', study ->> 'patientName', study ->> 'patientNameKey',
      study ->> 'patientBirthDate', study ->> 'patientSex', study ->> 'studyDate', study ->> 'studyTime',
      study ->> 'accessionNumber', study ->> 'studyId', study ->> 'studyDescription', study ->> 'referringPhysicianName',
      study ->> 'referringPhysicianNameKey', study -> 'attributes', received_at)
    returning study_key into key;
  return key;
end $$;

create function index_series(study bigint, series jsonb) returns bigint
language plpgsql as $$
declare
  key bigint;
begin
  select series_key into key from image_series
    where study_key = study and series_instance_uid = series ->> 'seriesInstanceUid';
  if key is not null then return key; end if;
  insert into image_series (
      study_key, series_instance_uid, modality, series_number, series_description, body_part_examined, attributes)
    values (
      study, series ->> 'seriesInstanceUid', series ->> 'modality', (series ->> 'seriesNumber')::integer,
      series ->> 'seriesDescription', series ->> 'bodyPartExamined', series -> 'attributes')
    returning series_key into key;
  return key;
end $$;

-- The arrival that an instance belongs to. One that is complete takes no more: a late instance opens the next revision where
-- `opens_revision`, and otherwise joins it without reopening it, as does what was there before.
create function note_arrival(ae text, study bigint, at timestamptz, opens_revision boolean) returns bigint
language plpgsql as $$
declare
  latest record;
  id bigint;
begin
  select arrival_id, revision, state into latest from image_arrival
    where called_ae = ae and study_key = study order by revision desc limit 1 for update;
  if latest is null or (latest.state = 'complete' and opens_revision) then
    insert into image_arrival (called_ae, study_key, revision, state, first_at, last_at, instance_count)
      values (ae, study, coalesce(latest.revision, 0) + 1, 'receiving', at, at, 1)
      returning arrival_id into id;
    return id;
  end if;
  if latest.state = 'receiving' then
    update image_arrival set last_at = greatest(last_at, at), instance_count = instance_count + 1
      where arrival_id = latest.arrival_id;
  end if;
  return latest.arrival_id;
end $$;
