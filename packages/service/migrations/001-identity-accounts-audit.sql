-- Tables that hub and site share: spent nonces, local accounts and their tokens, the audit chain.

CREATE TABLE request_nonce (
  key_id text NOT NULL,
  nonce text NOT NULL,
  created_at timestamptz NOT NULL, -- when the request says it was signed
  PRIMARY KEY (key_id, nonce)
);
CREATE INDEX request_nonce_created_at ON request_nonce (created_at);

CREATE TABLE account (
  user_id text PRIMARY KEY,
  name text NOT NULL UNIQUE,
  password_hash text, -- NULL: no sign-in by password
  roles text[] NOT NULL,
  disabled boolean NOT NULL DEFAULT false,
  created_at timestamptz NOT NULL
);

CREATE TABLE account_token (
  token_id text PRIMARY KEY,
  user_id text NOT NULL REFERENCES account (user_id),
  token_sha256 text NOT NULL UNIQUE, -- the token itself is shown once and never stored
  roles text[], -- NULL: every role the account has
  created_at timestamptz NOT NULL,
  expires_at timestamptz NOT NULL,
  revoked_at timestamptz
);
CREATE INDEX account_token_expires_at ON account_token (expires_at);
CREATE INDEX account_token_user_id ON account_token (user_id);

-- Attempts to sign in per name within the current window, known names and unknown alike.
CREATE TABLE sign_in_attempt (
  name text PRIMARY KEY,
  window_started_at timestamptz NOT NULL,
  attempts integer NOT NULL
);

CREATE TABLE audit_record (
  sequence bigint PRIMARY KEY CHECK (sequence >= 1),
  at text NOT NULL, -- ISO 8601 exactly as hashed
  actor text NOT NULL,
  action text NOT NULL,
  object text NOT NULL,
  outcome text NOT NULL,
  details text NOT NULL, -- canonical JSON exactly as hashed
  previous_hash text NOT NULL UNIQUE, -- a chain has no forks
  hash text NOT NULL
);

-- The end of the chain: one row, locked by whoever appends.
CREATE TABLE audit_head (
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  sequence bigint NOT NULL,
  hash text NOT NULL
);
INSERT INTO audit_head (sequence, hash) VALUES (0, repeat('0', 64));

-- A record is never changed: not by a fault of ours. (An intruder with the rights to drop this is found by the chain.)
CREATE FUNCTION audit_record_is_permanent() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'audit records are permanent';
END $$;
CREATE TRIGGER audit_record_is_permanent BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_record
  FOR EACH STATEMENT EXECUTE FUNCTION audit_record_is_permanent();
