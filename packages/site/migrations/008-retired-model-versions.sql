-- When this site learnt that the hub had retired the version at work: a warning, which takes nothing out of use.

alter table deployment add column retirement_noticed_at timestamptz;
