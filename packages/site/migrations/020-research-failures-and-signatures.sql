-- What failed for good is said where people look, and what governance decides on images is signed like what it decides on projects.

alter table research_study drop constraint research_study_state_check;
alter table research_study add constraint research_study_state_check
  check (state in ('pending', 'waiting', 'done', 'opted-out', 'failed'));

-- A step of the whole collection that failed for good, until it is tried again.
alter table image_collection add column fault jsonb;

-- Envelopes over what was decided: what else the row says only repeats them. An approval or release of before this has none and
-- stands for nothing; it is made again, as a new version or by looking once more.
alter table image_collection add column approval jsonb;
alter table image_quarantine add column release jsonb;
