-- Datasets this site offers. A removed one keeps its row: runs and answers refer to what it held. Patient numbers below
-- `next_patient_number` have been used in this or an earlier version and stay with their patient.
create table dataset (
  dataset_id bigint generated always as identity primary key,
  name text not null,
  schema jsonb not null,
  schema_digest text not null,
  content_digest text not null,
  feasibility text not null check (feasibility in ('any-project', 'approved-projects')),
  row_count bigint not null,
  patient_count bigint not null,
  next_patient_number bigint not null,
  registered_by text not null,
  registered_at timestamptz not null,
  removed_at timestamptz
);
create unique index dataset_offered on dataset (name) where removed_at is null;
create index dataset_name on dataset (name, dataset_id);
