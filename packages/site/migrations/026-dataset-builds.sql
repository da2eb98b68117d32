-- Datasets that are built out of cohorts of the records. States: DATASET_BUILD_STATES of the contract.
create table dataset_build (
  build_id text collate "C" primary key,
  ordinal bigint generated always as identity,
  dataset text not null,
  specification jsonb not null,
  specification_digest text collate "C" not null,
  feasibility text not null,
  state text collate "C" not null default 'asked' check (state in ('asked', 'done', 'failed')),
  requested_by text not null,
  requested_at timestamptz not null,
  ended_at timestamptz,
  content_digest text collate "C",
  cdm_version text,
  report jsonb,
  failure jsonb
);

-- Asked for twice while it is open, it is one.
create unique index dataset_build_open on dataset_build (specification_digest, feasibility) where state = 'asked';

-- Under which digests the lists of opt-outs may know the patients of a built table; without a digest nobody can tell who it is.
create table dataset_patient (
  content_digest text collate "C" not null,
  patient text collate "C" not null,
  digest bytea
);
create index dataset_patient_content on dataset_patient (content_digest, patient);

-- Who opted out after the table was built. Only ever added to: rows leave a version, and none comes back.
create table dataset_leaver (
  content_digest text collate "C" not null,
  patient text collate "C" not null,
  left_at timestamptz not null,
  primary key (content_digest, patient)
);

-- What is left of a version under the lists of this state.
create table dataset_remainder (
  content_digest text collate "C" primary key,
  opt_out_state text not null,
  remaining_digest text collate "C" not null
);
