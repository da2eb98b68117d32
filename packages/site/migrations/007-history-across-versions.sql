-- A patient keeps its number when a dataset is registered again, so two versions that differ by one patient are as near to each
-- other as two questions that do: the history of answered sets belongs to the dataset, whatever its content.
drop index answered_set_dataset;
alter table answered_set drop column content_digest;
create index answered_set_dataset on answered_set (dataset, ordinal);
