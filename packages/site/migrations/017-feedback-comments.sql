-- Whether a clinician wrote a comment with the outcome. The comment itself, free text at a bedside, is not kept here.
alter table consultation add column has_comment boolean not null default false;
