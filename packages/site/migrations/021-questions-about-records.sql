-- Questions about this hospital's records are tasks as well.
alter table task drop constraint task_kind_check;
alter table task add constraint task_kind_check check (kind in ('count', 'summary', 'cohort', 'concepts', 'round'));

-- Which file the numbers of patients come from that the history of answers about records is written in, and how many it had: another
-- file, or an older one, would give the numbers to other persons.
create table record_numbering (
  dataset text primary key,
  file_id text not null,
  patient_count integer not null
);
