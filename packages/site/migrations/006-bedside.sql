-- Record systems that may call the CDS services, by the issuer of their tokens.
create table cds_client (
  issuer text primary key,
  public_key_pem text not null,
  algorithm text not null check (algorithm in ('EdDSA', 'ES256', 'ES384', 'RS384')),
  registered_by text not null,
  registered_at timestamptz not null
);

-- Tokens that were used, until they expire: each is accepted once.
create table cds_token (
  issuer text not null,
  jti text not null,
  expires_at timestamptz not null,
  primary key (issuer, jti)
);
create index cds_token_expired on cds_token (expires_at);

-- Answered requests and what clinicians did with them. No patient, no input value, no result but its kind.
create table consultation (
  consultation_id text primary key,
  ordinal bigint generated always as identity,
  deployment_id text not null references deployment,
  card_uuid text not null unique,
  result text not null check (result in ('risk', 'input-missing', 'input-impossible')),
  at timestamptz not null,
  outcome text check (outcome in ('accepted', 'overridden')),
  override_code text,
  outcome_at timestamptz
);
create index consultation_newest on consultation (ordinal desc);
