-- Messages of HL7 v2 as they came. A row is the message and the work that is left to do with it: what is `received` is mapped next, in
-- the order of `sequence`, which is that of every connection. States: FEED_MESSAGE_STATES of the contract.
create table hl7_message (
  sequence bigint generated always as identity primary key,
  -- As the sender calls itself; with its control id they name a message (2.14.9.10).
  sending_application text collate "C" not null,
  sending_facility text collate "C" not null,
  control_id text collate "C" not null,
  message_code text collate "C" not null,
  trigger_event text collate "C" not null,
  version text not null,
  -- Of the listener's life; says which messages came over one connection.
  connection text collate "C" not null,
  received_at timestamptz not null,
  -- Null once it was mapped and kept for as long as the settings say.
  content bytea,
  content_digest bytea not null,
  byte_count integer not null,
  -- Keyed hashes: of the patient's number with its authority, and of the day of birth that came with it.
  patient_key bytea,
  birth_key bytea,
  state text collate "C" not null default 'received'
    check (state in ('received', 'mapped', 'mapped-with-warning', 'failed', 'ignored')),
  -- Names rules, segments and fields, never a value.
  reasons jsonb not null default '[]',
  attempt_count integer not null default 0,
  duplicate_count integer not null default 0,
  changed_at timestamptz not null,
  constraint hl7_message_named unique (sending_application, sending_facility, control_id)
);
create index hl7_message_waiting on hl7_message (sequence) where state = 'received';
create index hl7_message_state on hl7_message (state, sequence) where state not in ('received', 'mapped');
-- Rows lie in the order of their arrival, so that a summary of ranges finds the old ones and costs the new ones nothing.
create index hl7_message_received on hl7_message using brin (received_at);
-- Contents are compressed by their column; lz4 costs a third of the time.
do $$ begin
  alter table hl7_message alter column content set compression lz4;
exception when feature_not_supported then null; -- a server that was built without it
end $$;

-- What came under a name that is taken, with other content. It was refused, so its content is still with its sender.
create table hl7_conflict (
  sequence bigint not null references hl7_message,
  content_digest bytea not null,
  byte_count integer not null,
  first_at timestamptz not null,
  last_at timestamptz not null,
  times integer not null default 1,
  primary key (sequence, content_digest)
);

-- What messages that were mapped said of a patient: a row for each, so that taking a message in costs no index of patients.
create table hl7_patient (
  patient_key bytea primary key,
  -- The first that came with one.
  birth_key bytea,
  last_mapped bigint not null
);
