-- Resources of FHIR R4: the current version of each, earlier versions, and what each current version can be found by.
--
-- Every version has a key of its own, ascending, which orders pages of search results: a resource that changes moves to the end and
-- is never skipped. A resource is kept as text, so that its numbers stay as they were written; what the server itself says of it (id,
-- version, time) stands in columns and is put in when it is read.

create sequence fhir_version_key;

create table fhir_resource (
  version_key bigint primary key,
  type text collate "C" not null,
  id text collate "C" not null,
  version int not null,
  last_updated timestamptz not null,
  method text not null check (method in ('create', 'update', 'delete')),
  meta text,          -- the members of meta beyond versionId and lastUpdated, as a JSON object
  body text,          -- all other members of the resource: ',"name":...}'; null: deleted
  unique (type, id)
);
create index fhir_resource_by_type on fhir_resource (type, version_key);

create table fhir_history (like fhir_resource);
create unique index fhir_history_version on fhir_history (type, id, version);
create index fhir_history_by_key on fhir_history (version_key);

-- Where in a resource a search parameter reads (Observation.code), and the systems that codes are of, by small numbers.
create table fhir_place (
  place_id int generated always as identity primary key,
  place text collate "C" not null unique
);
create table fhir_system (
  system_id int generated always as identity primary key,
  system text collate "C" not null unique
);

-- `term` is place_id, a bar and the value: in one column the planner knows how common each is. No row refers to fhir_resource by a
-- foreign key, as that would cost more than the row: rows are written and removed in the transaction that changes the resource.
create table fhir_token (
  term text collate "C" not null,
  system_id int,                      -- null: a code without a system
  version_key bigint not null
);
create index fhir_token_term on fhir_token (term, version_key) include (system_id);
alter table fhir_token alter column term set statistics 1000;

create table fhir_reference (
  term text collate "C" not null,     -- place_id|Patient/123, or a URL
  version_key bigint not null
);
create index fhir_reference_term on fhir_reference (term, version_key);
create index fhir_reference_holder on fhir_reference (version_key) include (term);

create table fhir_string (
  place_id int not null,
  folded text collate "C" not null,   -- without case and accents
  exact text collate "C" not null,
  leads boolean not null,             -- the first of those at this place in its resource, by which it is sorted
  version_key bigint not null
);
create index fhir_string_folded on fhir_string (place_id, folded, version_key);
create index fhir_string_holder on fhir_string (version_key);

create table fhir_date (
  place_id int not null,
  low timestamptz not null,           -- the stretch of time that the value means, high excluded
  high timestamptz not null,
  leads boolean not null,             -- the earliest of those at this place in its resource
  version_key bigint not null
);
create index fhir_date_low on fhir_date (place_id, low, high, version_key);
create index fhir_date_high on fhir_date (place_id, high);
create index fhir_date_holder on fhir_date (version_key);

create table fhir_quantity (
  place_id int not null,
  value double precision not null,
  system_id int,
  code text collate "C",
  unit text collate "C",
  canonical_value double precision,   -- in base units, where UCUM has the unit
  canonical_unit text collate "C",
  version_key bigint not null
);
create index fhir_quantity_value on fhir_quantity (place_id, value, version_key);
create index fhir_quantity_canonical on fhir_quantity (place_id, canonical_unit, canonical_value, version_key);

-- Bulk Data exports: files of one JSON resource per line, kept until they expire.
create table fhir_export (
  export_id text primary key,
  state text not null check (state in ('running', 'done', 'failed')),
  request text not null,              -- the address that was asked for
  types text[],                       -- null: all
  only_patients boolean not null,     -- what belongs to a patient alone
  since timestamptz,
  until_key bigint not null,          -- versions that came later are not in it
  requested_by text not null,
  requested_at timestamptz not null,
  files jsonb,                        -- [{"type","name","count"}]
  expires_at timestamptz
);

-- Programs that are authorised as SMART backend services say, and the tokens and assertions that they used.
create table fhir_client (
  client_id text primary key,
  jwks jsonb not null,
  scopes text[] not null,
  added_by text not null,
  added_at timestamptz not null
);
create table fhir_access_token (
  token_hash bytea primary key,
  client_id text not null references fhir_client on delete cascade,
  scopes text[] not null,
  expires_at timestamptz not null
);
create table fhir_client_assertion (
  client_id text not null,
  jti text not null,
  expires_at timestamptz not null,
  primary key (client_id, jti)
);
