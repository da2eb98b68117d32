-- The registry: signed model versions. Version numbers rise per model name.
create table model_version (
  model_version_id text primary key,
  model text not null,
  version integer not null,
  state text not null check (state in ('released', 'retired')),
  run_id text not null references run,
  bundle_digest text not null references bundle,
  weights_digest text not null,
  envelope jsonb not null,
  created_by text not null,
  created_at timestamptz not null,
  unique (model, version)
);
create index model_version_weights on model_version (weights_digest);
