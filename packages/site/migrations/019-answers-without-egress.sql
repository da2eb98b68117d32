-- What a decision must allow before an answer may leave follows from the kind of the answer and the table of egress, which are
-- asked each time one leaves. A copy of it beside the answer was written and read by nobody.
alter table task drop column egress;
