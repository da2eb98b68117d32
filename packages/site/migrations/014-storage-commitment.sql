-- Requests of storage commitment (PS3.4 annex J): what a peer wants to hear that we keep, before it deletes its own copy. States:
-- COMMITMENT_STATES of the contract.
create table commitment_request (
  commitment_key bigint generated always as identity primary key,
  calling_ae text not null,
  called_ae text not null,
  transaction_uid text collate "C" not null,
  -- Array of {sopClassUid, sopInstanceUid}, as they were asked.
  instances jsonb not null,
  state text not null check (state in ('requested', 'reported', 'unreported')),
  requested_at timestamptz not null,
  ended_at timestamptz,
  -- What the report said.
  committed_count integer,
  failed_count integer,
  unique (calling_ae, transaction_uid)
);
create index commitment_request_ended on commitment_request (ended_at) where ended_at is not null;
