-- Projects that ask this site, and this site's decisions on them.
create table asked_project (
  project_id text primary key,
  project_digest text not null,
  spec jsonb not null,
  hub_state text not null,
  state text not null check (state in ('asked', 'approved', 'refused', 'withdrawn', 'expired', 'lapsed')),
  sequence integer not null default 0,
  first_asked_at timestamptz not null
);

-- Every decision as it was signed. The newest of a project is the one that counts.
create table decision (
  project_id text not null references asked_project,
  sequence integer not null,
  decision_id text not null unique,
  decision_digest text not null,
  document jsonb not null,
  envelope jsonb not null,
  decided_at timestamptz not null,
  delivered_at timestamptz,
  primary key (project_id, sequence)
);

create table question_grant (
  grant_id bigint generated always as identity primary key,
  project_id text not null references asked_project,
  dataset text not null,
  more integer not null,
  reason text not null,
  granted_by text not null,
  granted_at timestamptz not null
);
create index question_grant_of on question_grant (project_id, dataset);
