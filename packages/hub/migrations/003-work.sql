-- Work for sites: questions and runs, and the tasks they are made of. A task is a row before it is sent.
create table question (
  question_id text primary key,
  project_id text not null references project,
  question jsonb not null,
  asked_by text not null,
  asked_at timestamptz not null
);

create table run (
  run_id text primary key,
  project_id text not null references project,
  state text not null check (state in ('planned', 'running', 'waiting', 'completed', 'failed', 'stopped')),
  plan jsonb not null,
  bundle_digest text not null references bundle,
  message text,
  evaluation jsonb,
  created_by text not null,
  created_at timestamptz not null,
  ended_at timestamptz
);
create index run_project on run (project_id, created_at);

-- `result` holds what the next round needs: theta, pooled standardisation, references to weights and server state.
create table round (
  run_id text not null references run,
  number integer not null,
  step text not null,
  state text not null check (state in ('open', 'folding', 'closed', 'abandoned')),
  opened_at timestamptz not null,
  closed_at timestamptz,
  weights_digest text,
  metrics jsonb,
  result jsonb,
  primary key (run_id, number)
);
create index round_weights on round (weights_digest) where weights_digest is not null;

create table task (
  task_id text primary key,
  site_id text not null references site,
  project_id text not null references project,
  kind text not null check (kind in ('count', 'summary', 'round')),
  question_id text references question,
  run_id text,
  round integer,
  state text not null check (state in ('queued', 'delivered', 'answered', 'refused', 'failed', 'cancelled')),
  envelope jsonb not null,
  created_at timestamptz not null,
  ordinal bigint generated always as identity,
  delivered_at timestamptz,
  delivery_count integer not null default 0,
  ended_at timestamptz,
  answer_digest text,
  decision_digest text,
  answer jsonb,
  answer_envelope jsonb,
  message text,
  upload_bytes_max bigint not null default 0,
  foreign key (run_id, round) references round
);
create index task_open on task (site_id, ordinal) where state in ('queued', 'delivered');
create index task_run on task (run_id, round);
create index task_question on task (question_id) where question_id is not null;

-- The blobs that a task names: what its site may read.
create table task_blob (
  task_id text not null references task,
  digest text not null,
  primary key (task_id, digest)
);
create index task_blob_digest on task_blob (digest);
