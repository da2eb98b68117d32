-- How many patients an answered set has, so that a question reads only the sets that can be near its own.
alter table answered_set add column patient_count integer;
update answered_set set patient_count = bit_count(patients);
alter table answered_set alter column patient_count set not null;
drop index answered_set_dataset;
create index answered_set_dataset on answered_set (dataset, patient_count);
