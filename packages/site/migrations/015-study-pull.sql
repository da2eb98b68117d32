-- Pulls of studies from peers. A list is taken in whole; each entry ends with what became of it. States: PULL_ENTRY_STATES of the
-- contract.
create table study_pull (
  pull_id text primary key,
  peer text not null,
  method text not null check (method in ('move', 'get')),
  listed_by text not null check (listed_by in ('accession-number', 'study-instance-uid', 'patient-id')),
  ae_title text not null,
  created_by text not null,
  created_at timestamptz not null
);
create index study_pull_newest on study_pull (created_at desc, pull_id);

-- What was listed becomes the first study that it names; further studies of the same value get rows of their own.
create table study_pull_entry (
  entry_key bigint generated always as identity primary key,
  pull_id text not null references study_pull,
  value text not null,
  study_instance_uid text collate "C",
  state text not null check (state in ('waiting', 'found', 'fetching', 'done', 'failed', 'not-found')),
  -- Instances as the peer says, null where it does not; and those of the study that are here.
  expected_count integer,
  arrived_count integer,
  reason text not null,
  changed_at timestamptz not null,
  unique (pull_id, value, study_instance_uid)
);
create index study_pull_entry_pull on study_pull_entry (pull_id, entry_key);
