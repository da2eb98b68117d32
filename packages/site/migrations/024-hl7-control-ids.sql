-- Senders count their messages anew after a crash, a new installation or a million. So a message is known again by its control id and
-- its bytes; other bytes under the id are another message, which says so where the one before came shortly before it.
alter table hl7_message drop constraint hl7_message_named;
alter table hl7_message add constraint hl7_message_named
  unique (sending_application, sending_facility, control_id, content_digest);
alter table hl7_message add column repeats_control_id boolean not null default false;
-- Of messages that were refused for it.
drop table hl7_conflict;
