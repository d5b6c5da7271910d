create view aximo.erasures with (security_barrier = true) as
select
    customer_id, erasure_id, key_ids, reason, log_size, recorded_at, recorded_by
from only aximo_private.erasures; -- noqa: PRS
comment on view aximo.erasures is 'What was erased for the session''s customer: keys of sealed values that are destroyed, or are about to be. Key: erasure_id.';
comment on column aximo.erasures.customer_id is 'Whose values: always the session''s customer.';
comment on column aximo.erasures.erasure_id is 'Made by the database.';
comment on column aximo.erasures.key_ids is 'The ids of the keys, as they stand in the sealed values as kid. Whose they were is said nowhere in the ledger.';
comment on column aximo.erasures.reason is 'Why, in the words of who recorded it. No place for personal data.';
comment on column aximo.erasures.log_size is 'How many entries the log of events had. What was sealed later, by who still held the key, is after it.';
comment on column aximo.erasures.recorded_at is 'When it was recorded, by the database''s clock: before the keys were destroyed.';
comment on column aximo.erasures.recorded_by is 'The login that recorded it.';
select aximo_private.take_comments('aximo.erasures', 'aximo_private.erasures');
