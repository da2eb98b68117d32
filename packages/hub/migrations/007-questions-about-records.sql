-- Questions about a hospital's records are tasks as well.
alter table task drop constraint task_kind_check;
alter table task add constraint task_kind_check check (kind in ('count', 'summary', 'cohort', 'concepts', 'round'));
