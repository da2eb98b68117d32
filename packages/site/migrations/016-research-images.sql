-- De-identified copies of images for research. Rows of the archive are named by their keys and never changed.

-- Secret keys of pseudonyms, one for each project (or collection without one), and one under which opt-outs are kept. They never
-- leave this database: who has one can link originals and copies.
create table research_key (
  scope text primary key,
  key bytea not null check (length(key) = 32),
  made_at timestamptz not null
);

-- Every version of every collection. A version never changes but for its state: IMAGE_COLLECTION_STATES of the contract.
create table image_collection (
  collection_id text primary key,
  name text not null,
  version integer not null,
  project_id text,
  -- Whole: a default that changes later changes nothing here.
  profile jsonb not null,
  series jsonb not null,
  studies jsonb not null,
  state text not null check (state in ('draft', 'approved', 'superseded', 'withdrawn')),
  created_by text not null,
  created_at timestamptz not null,
  decided_by text,
  decided_at timestamptz,
  -- When its copies were gone, after it was withdrawn.
  removed_at timestamptz,
  unique (name, version)
);
create index image_collection_approved on image_collection (collection_id) where state = 'approved';

-- One study in one collection: RESEARCH_STUDY_STATES of the contract.
create table research_study (
  collection_id text not null references image_collection,
  study_key bigint not null,
  state text not null check (state in ('pending', 'waiting', 'done', 'opted-out')),
  why text not null default '',
  -- Rises whenever the study has to be looked at again, so that what comes while it is being copied is not missed.
  wanted integer not null default 1,
  -- Once all that was here then had been copied or held back; what comes later of a version that was replaced changes nothing.
  is_whole boolean not null default false,
  patient text,
  study_instance_uid text,
  -- Numbers of the patient under the key of the opt-outs, as the copied images have them.
  patient_digests bytea[] not null default '{}',
  primary key (collection_id, study_key)
);
create index research_study_waiting on research_study (collection_id, study_key) where state in ('waiting', 'opted-out');
create index research_study_patients on research_study using gin (patient_digests);

create table research_series (
  collection_id text not null,
  study_key bigint not null,
  series_key bigint not null,
  series_instance_uid text not null,
  modality text not null,
  volume jsonb,
  primary key (collection_id, series_key),
  foreign key (collection_id, study_key) references research_study
);
create index research_series_study on research_series (collection_id, study_key);
create index research_series_uid on research_series (collection_id, series_instance_uid);

-- What was done to an instance, named by its SHA-256: the slices of a series share one.
create table deidentification_report (
  report_digest bytea primary key,
  report jsonb not null
);

create table research_instance (
  collection_id text not null,
  instance_key bigint not null,
  series_key bigint not null,
  sop_instance_uid text not null,
  sop_class_uid text not null,
  -- Below the folder of the collection.
  file text not null,
  size_bytes bigint not null,
  content_digest bytea not null,
  report_digest bytea not null references deidentification_report,
  copied_at timestamptz not null,
  primary key (collection_id, instance_key),
  unique (collection_id, sop_instance_uid),
  foreign key (collection_id, series_key) references research_series
);
create index research_instance_series on research_instance (collection_id, series_key);

-- Instances that de-identification held back: QUARANTINE_STATES of the contract.
create table image_quarantine (
  quarantine_id text primary key,
  collection_id text not null references image_collection,
  study_key bigint not null,
  series_key bigint not null,
  instance_key bigint not null,
  -- Of the data set in the archive. A decision is for all rows with the same.
  content_digest bytea not null,
  state text not null check (state in ('held', 'released', 'refused')),
  reasons text[] not null,
  report_digest bytea references deidentification_report,
  held_at timestamptz not null,
  decided_by text,
  decided_at timestamptz,
  statement jsonb,
  unique (collection_id, instance_key)
);
create index image_quarantine_content on image_quarantine (content_digest);
create index image_quarantine_state on image_quarantine (state, quarantine_id);
create index image_quarantine_study on image_quarantine (collection_id, study_key);

-- Local lists of patients who opted out of research, each as a whole, and how old it is.
create table opt_out_list (
  list text primary key check (list in ('patient-ids', 'nhs-numbers')),
  as_of timestamptz not null,
  loaded_by text not null,
  loaded_at timestamptz not null
);
-- HMAC-SHA256 of each entry under a key of this site, so that the table is no list of people.
create table opt_out_entry (
  list text not null references opt_out_list,
  digest bytea not null,
  primary key (list, digest)
);
create index opt_out_entry_digest on opt_out_entry (digest);
