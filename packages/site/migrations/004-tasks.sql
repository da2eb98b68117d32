-- Tasks of the hub and this site's answers. `done` holds the signed answer; it is delivered again, never computed again.
create table task (
  task_id text primary key,
  ordinal bigint generated always as identity,
  project_id text not null,
  kind text not null check (kind in ('count', 'summary', 'round')),
  run_id text,
  round integer,
  step text,
  state text not null check (state in ('received', 'performing', 'done', 'delivered', 'cancelled')),
  envelope jsonb not null,
  received_at timestamptz not null,
  answer_kind text,
  answer_envelope jsonb,
  answer_files jsonb,
  egress text,
  done_at timestamptz,
  delivered_at timestamptz
);
create index task_newest on task (ordinal desc);
create index task_run on task (run_id, round);
create index task_open on task (ordinal) where state in ('received', 'performing', 'done');

-- The rows a run works on: fixed at `prepare` by the digest of the dataset's content. `facts` is what the gate judges.
create table run_snapshot (
  run_id text primary key,
  project_id text not null,
  content_digest text not null,
  schema jsonb not null,
  features jsonb not null,
  facts jsonb not null,
  moments jsonb not null,
  train_row_count integer not null,
  test_row_count integer not null,
  prepared_at timestamptz not null,
  used_at timestamptz not null
);
create index run_snapshot_used on run_snapshot (used_at);

-- SCAFFOLD keeps a control variate at the site; each round starts from the one of the last round before it.
create table run_control (
  run_id text not null references run_snapshot on delete cascade,
  round integer not null,
  digest text not null,
  primary key (run_id, round)
);
