create type aximo.receipt as (
    event_id uuid,
    recorded_at timestamptz,
    duplicate boolean
);
comment on type aximo.receipt is 'What an emitter gets back for an event: its id, when it was recorded, and whether it had been recorded before.';
comment on column aximo.receipt.event_id is 'The event''s id.';
comment on column aximo.receipt.recorded_at is 'When it was recorded, by the database''s clock: the first time, if it was sent again.';
comment on column aximo.receipt.duplicate is 'True if the same event had been recorded before; nothing was written now.';
