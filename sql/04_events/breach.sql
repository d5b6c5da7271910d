create type aximo_private.breach as (
    place bigint,
    event_id uuid,
    event_type text,
    customer_id text,
    execution_id text,
    approval_id text,
    rule text,
    against uuid,
    against_step integer
);
comment on type aximo_private.breach is 'An event that breaks a rule of its execution''s life.';
comment on column aximo_private.breach.place is 'The event''s place in the batch.';
comment on column aximo_private.breach.event_type is 'What happened.';
comment on column aximo_private.breach.customer_id is 'Whose event it is.';
comment on column aximo_private.breach.approval_id is 'The approval that the event is about; null for the one without an id.';
comment on column aximo_private.breach.against is 'The earlier event it is broken against, where that is about an approval.';
comment on column aximo_private.breach.against_step is 'The step of the earlier event that it is broken against, for other rules; null if there is none.';
