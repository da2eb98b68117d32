-- The hub's word that a version is retired, signed like the version itself, so that a site can tell it from anybody else's.
alter table model_version add column retirement jsonb;
alter table model_version add check ((state = 'retired') = (retirement is not null)) not valid;
