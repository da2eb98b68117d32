-- What was answered: the patients behind every question, so that a later question about almost the same patients gets the
-- old answer. One history per dataset and content, shared by all projects, in the order of answering; it only grows and never
-- leaves. Patient numbers mean a person only within one registered file, so another content begins another history.
create table answered_set (
  ordinal bigint generated always as identity primary key,
  dataset text not null,
  content_digest text not null,
  patients bytea not null,
  fingerprint bytea not null,
  noise_std_dev double precision not null,
  noisy_count integer not null,
  answered_at timestamptz not null
);
create index answered_set_dataset on answered_set (dataset, content_digest, ordinal);

-- What a project has spent of its budget on a dataset. The key is the wording of the question and the version of the data.
create table question_charge (
  project_id text not null,
  dataset text not null,
  question_key text not null,
  cost integer not null,
  charged_at timestamptz not null,
  primary key (project_id, dataset, question_key)
);
