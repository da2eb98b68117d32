-- Model versions at work at this site. The envelope is the hub's signed document as it came; what is read out of it for
-- queries stands beside it and is compared with it before every use.
create table deployment (
  deployment_id text primary key,
  model_version_id text not null,
  model text not null,
  version integer not null,
  service_id text not null,
  state text not null check (state in ('live', 'stopped')),
  envelope jsonb not null,
  reason text not null,
  deployed_by text not null,
  deployed_at timestamptz not null,
  stopped_at timestamptz
);
-- One model version answers under a service id at a time.
create unique index deployment_live on deployment (service_id) where state = 'live';
create index deployment_newest on deployment (deployed_at desc);
