-- Names with ideographic or phonetic groups, which are few where there are any: a name beyond ASCII may stand in them.
create index image_study_name_groups on image_study (study_key) where patient_name_key not like '%==';
