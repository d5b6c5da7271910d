-- For monitoring, by a login that may see no customer. It reads counters and queues, so its cost does not grow with what is stored.
create function aximo.ledger_status()
returns table (
    log text,
    advanced_at timestamptz,
    entries bigint,
    unnumbered_positions bigint,
    holes bigint,
    violations bigint,
    uncounted_entries bigint,
    metrics_refreshed_at timestamptz,
    stored_checkpoint_at timestamptz,
    open_executions_over_an_hour bigint
)
language plpgsql stable security definer parallel restricted
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    granted constant text[] := aximo_private.session_grants();
begin
    -- Who watches needs no customer. Who has some may not see how much the others have.
    if cardinality(granted) > 0 and not '*' = any(granted) then
        perform aximo_private.numbers_for_all();
    end if;
    return query
    select
        s.log, t.advanced_at, s.entries,
        greatest(
            pg_sequence_last_value(
                case s.log
                    when 'events' then 'aximo_private.events_position'
                    else 'helix.run_events_event_id_seq'
                end::regclass
            ) - s.high_position,
            0
        ),
        (select count(*) from aximo_private.log_holes as h where h.log = s.log),
        case when s.log = 'events' then pg_stat_get_live_tuples('aximo_private.violations'::regclass) else 0 end,
        (
            select coalesce(sum(g.size - g.number), 0)::bigint
            from (
                select max(u.number) as size, coalesce(c.number, 0) as number
                from only aximo_private.uncounted_logs as u
                left join aximo_private.counted_logs as c on c.customer_id = u.customer_id and c.log = u.log
                where u.log = s.log
                group by u.customer_id, c.number
            ) as g
            where g.size > g.number
        ),
        m.refreshed_at,
        to_timestamp(pg_sequence_last_value('aximo_private.checkpoint_clock'::regclass)),
        case
            when s.log = 'events'
                then (
                    select count(*)
                    from (
                        select
                        from only aximo_private.executions as e
                        where e.outcome is null and e.started_at < now() - interval '1 hour'
                        limit 10000
                    ) as o
                )
            else 0
        end
    from aximo_private.logs as s
    cross join aximo_private.log_state as t
    cross join aximo_private.metric_state as m
    order by s.log;
end;
$$;
alter function aximo.ledger_status() owner to aximo_sequencer;
comment on function aximo.ledger_status() is 'How the ledger does, of all customers together and without the name of any: one row a log. When it was last numbered; how many entries it has; how many positions were given since, to events that wait for a number or to transactions that are not over; how many gaps numbering remembers; how many violations are listed, by PostgreSQL''s own count; how many entries are not counted for the metrics; when these were last refreshed; when a checkpoint was last added, by whomever and to whichever log; how many executions were triggered more than an hour ago and have not ended, 10,000 at most. For aximo_monitor and aximo_operator; the login needs no customer. ZXCUS: it was granted certain customers only.';
