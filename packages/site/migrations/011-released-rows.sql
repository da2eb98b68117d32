-- Runs that were prepared, each counted once under the decision that held then.
create table counted_run (
  run_id text primary key,
  project_id text not null,
  decision_digest text not null,
  counted_at timestamptz not null
);
create index counted_run_decision on counted_run (decision_digest);

-- The rows on which exact statistics may have left, of a dataset over all its versions: the patients, and for each column a sum
-- of hashes for each group of patients (`sums`, in the order of `columns`). Rows of a later run that are nearly these are
-- refused. It only grows and never leaves.
create table released_rows (
  ordinal bigint generated always as identity primary key,
  dataset text not null,
  patients bytea not null,
  patient_count integer not null,
  columns jsonb not null,
  sums bytea not null,
  released_at timestamptz not null
);
create index released_rows_dataset on released_rows (dataset, patient_count);
