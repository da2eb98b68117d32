-- What is asked of the sites: bundles, projects, and each site's signed word on each project.
create table bundle (
  bundle_digest text primary key,
  name text not null,
  version text not null,
  manifest jsonb not null,
  created_by text not null,
  created_at timestamptz not null
);

create table bundle_file (
  bundle_digest text not null references bundle,
  path text not null,
  digest text not null,
  size_bytes bigint not null,
  primary key (bundle_digest, path)
);
create index bundle_file_digest on bundle_file (digest);

create table project (
  project_id text primary key,
  state text not null check (state in ('draft', 'submitted', 'closed', 'expired')),
  spec jsonb not null,
  project_digest text not null,
  created_by text not null,
  created_at timestamptz not null,
  expires_at timestamptz not null
);

create table project_bundle (
  project_id text not null references project,
  bundle_digest text not null references bundle,
  primary key (project_id, bundle_digest)
);
create index project_bundle_digest on project_bundle (bundle_digest);

-- One row per site that the project asks: where its decision stands, and the document that says so.
create table project_decision (
  project_id text not null references project,
  site_id text not null references site,
  state text not null check (state in ('asked', 'approved', 'refused', 'withdrawn', 'expired', 'lapsed')),
  sequence integer not null default 0,
  decision_digest text,
  primary key (project_id, site_id)
);
create index project_decision_site on project_decision (site_id);

-- Every decision ever delivered; the newest is named by project_decision.
create table decision_document (
  project_id text not null references project,
  site_id text not null references site,
  sequence integer not null,
  decision_digest text not null,
  envelope jsonb not null,
  received_at timestamptz not null,
  primary key (project_id, site_id, sequence)
);
