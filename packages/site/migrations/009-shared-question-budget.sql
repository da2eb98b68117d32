-- Projects that this site has not decided about share one budget of questions on a dataset, so that opening another project
-- gives no more questions. `is_shared`: paid from it. What undecided projects asked before counts.
alter table question_charge add column is_shared boolean not null default false;
update question_charge set is_shared = true
  where not exists (
    select from asked_project where asked_project.project_id = question_charge.project_id and asked_project.state <> 'asked');
create index question_charge_shared on question_charge (dataset) where is_shared;
