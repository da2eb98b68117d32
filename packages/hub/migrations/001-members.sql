-- Who takes part: one-time codes, enrolled sites with their public keys, what they offer, and the heads of their audit chains.
create table enrolment_code (
  code_hash text primary key,
  site_name text not null,
  created_by text not null,
  created_at timestamptz not null,
  expires_at timestamptz not null,
  used_at timestamptz,
  used_by text
);

create table site (
  site_id text primary key,
  name text not null,
  key_id text not null unique,
  public_key_pem text not null,
  state text not null check (state in ('active', 'revoked')),
  enrolled_at timestamptz not null,
  last_seen_at timestamptz
);
-- A name may be used again once the site that had it is revoked; a key may not.
create unique index site_active_name on site (name) where state = 'active';

create table dataset_offer (
  site_id text not null references site,
  name text not null,
  schema jsonb not null,
  schema_digest text not null,
  feasibility text not null,
  offered_at timestamptz not null,
  primary key (site_id, name)
);
create index dataset_offer_schema on dataset_offer (schema_digest);

create table site_audit_head (
  site_id text not null references site,
  sequence bigint not null,
  hash text not null,
  envelope jsonb not null,
  received_at timestamptz not null,
  primary key (site_id, sequence)
);
