-- Passes of the ETL that turns the records and images of this site into its CDM. What a pass did stands in the CDM itself, in the
-- transaction that did it; these rows say who asked, and what came of it. States: CDM_PASS_STATES of the contract.
create table cdm_pass (
  pass_id bigint generated always as identity primary key,
  state text not null check (state in ('waiting', 'running', 'done', 'failed')),
  is_rebuild boolean not null,
  asked_by text not null,            -- an account, or 'schedule'
  asked_at timestamptz not null,
  started_at timestamptz,
  ended_at timestamptz,
  is_published boolean,              -- false: nothing had changed
  read_count bigint,
  changed_count bigint,
  patient_count bigint,
  reason text                        -- names rules, never a value
);
create index cdm_pass_open on cdm_pass (pass_id) where state in ('waiting', 'running');
create index cdm_pass_ended on cdm_pass (ended_at);

-- Numbers of resources, persons among them, that a published CDM may hold are below this: a CDM that is made anew because its file was
-- lost begins here, since the history of answers knows persons by their numbers.
create table cdm_numbering (
  only_row boolean primary key default true check (only_row),
  next_number bigint not null
);
