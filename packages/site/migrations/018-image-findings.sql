-- What a person has to look at in the archive: instances that say another patient than their study does, and conflicts, on which
-- somebody can decide.

-- The first instance of a study that says another patient than the study has, for every combination of attributes that differ.
-- It is kept like any other. What it says is in its file and not here.
create table image_disagreement (
  disagreement_id bigint generated always as identity primary key,
  study_key bigint not null references image_study,
  sop_instance_uid text collate "C" not null,
  -- PatientID, PatientName, PatientBirthDate, PatientSex.
  attributes text not null,
  received_at timestamptz not null,
  unique (study_key, attributes)
);
-- What was found and is not in the audit log yet.
create table image_finding_unaudited (
  disagreement_id bigint primary key references image_disagreement
);

alter table image_conflict
  -- 'leave': both stay. 'discard': the later one goes, first its file and then this row.
  add column decision text check (decision in ('leave', 'discard')),
  add column decided_by text,
  add column decided_at timestamptz;
create index image_conflict_discard on image_conflict (conflict_id) where decision = 'discard';

-- An empty PatientID differs from a given one, since it decides who finds the study; of the others only two that are given differ.
create function note_disagreement(study bigint, said jsonb, uid text, at timestamptz) returns void
language plpgsql as $$
declare
  differing text;
  noted bigint;
begin
  select concat_ws(' ',
      case when patient_id <> said ->> 'patientId' then 'PatientID' end,
      case when patient_name_key <> said ->> 'patientNameKey' and patient_name <> '' and said ->> 'patientName' <> ''
        then 'PatientName' end,
      case when patient_birth_date <> said ->> 'patientBirthDate' and patient_birth_date <> ''
        and said ->> 'patientBirthDate' <> '' then 'PatientBirthDate' end,
      case when patient_sex <> said ->> 'patientSex' and patient_sex <> '' and said ->> 'patientSex' <> ''
        then 'PatientSex' end)
    into differing from image_study where study_key = study;
  if differing = '' then return; end if;
  insert into image_disagreement (study_key, sop_instance_uid, attributes, received_at)
    values (study, uid, differing, at)
    on conflict do nothing returning disagreement_id into noted;
  if noted is not null then insert into image_finding_unaudited values (noted); end if;
end $$;

-- As before, and it notes who disagrees.
create or replace function index_instances(entries jsonb)
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
      perform note_disagreement(study, entry."study", entry."sopInstanceUid", entry."receivedAt");
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
