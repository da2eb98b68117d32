-- Attempts to sign in are counted per name and network they came from: counted per name alone, anybody could keep a person
-- out by guessing at his name.
ALTER TABLE sign_in_attempt ADD COLUMN address text NOT NULL DEFAULT '';
ALTER TABLE sign_in_attempt DROP CONSTRAINT sign_in_attempt_pkey;
ALTER TABLE sign_in_attempt ADD PRIMARY KEY (name, address);
