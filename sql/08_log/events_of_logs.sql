-- The events that are numbered: the only place that says which tables have a log. It shows what its reader may see, and the sequencer may
-- see all.
create view aximo_private.events_of_logs with (security_invoker = true) as
select
    'events' as log,
    position, customer_id, event_id, null::bigint as run_event_id, recorded_at,
    -- Estimated without reading the value: uncompressed it may be a hundred times as long.
    least(pg_column_size(payload)::bigint * case when pg_column_compression(payload) is null then 2 else 100 end, 1048576) as weight
from only aximo_private.events -- noqa: PRS
union all
select
    'run_events' as log,
    event_id as position, customer_id, null::uuid as event_id, event_id as run_event_id, recorded_at,
    least(
        pg_column_size(kind)::bigint * case when pg_column_compression(kind) is null then 2 else 100 end
        + coalesce(pg_column_size(message), 0)::bigint * case when pg_column_compression(message) is null then 2 else 100 end
        + coalesce(pg_column_size(data), 0)::bigint * case when pg_column_compression(data) is null then 2 else 100 end
        + coalesce(pg_column_size(extra), 0)::bigint * case when pg_column_compression(extra) is null then 2 else 100 end,
        8388608
    ) as weight
from only helix.run_events; -- noqa: PRS
comment on view aximo_private.events_of_logs is 'Every event of every customer that is to have a number in a log.';
comment on column aximo_private.events_of_logs.log is 'The log it belongs to: one of aximo_private.logs.';
comment on column aximo_private.events_of_logs.position is 'Order of arrival, with gaps; given after the transaction got its id.';
comment on column aximo_private.events_of_logs.customer_id is 'Whose it is.';
comment on column aximo_private.events_of_logs.event_id is 'The event, of log events.';
comment on column aximo_private.events_of_logs.run_event_id is 'The event, of log run_events.';
comment on column aximo_private.events_of_logs.weight is 'How many bytes of text it may be, at most, told without reading it; rarely more.';
comment on column aximo_private.events_of_logs.recorded_at is 'When it was written, by the database''s clock.';
