-- The condition of the policy stands twice. The first is for the indexes. The second stays in front of what a query asks for: without it,
-- EXPLAIN ANALYZE tells whether a row of another customer meets what was asked.
create function aximo_private.isolate_by_customer(
    target regclass,
    -- Null where no login reads the table, not even through a view.
    policy name default null,
    reader name default 'aximo_owner',
    reason text default 'Views run as the owner and show the session''s customer, to whomever.'
) returns void
language plpgsql volatile security invoker parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
begin
    perform aximo_private.hide_statistics(target);
    execute format('alter table %s enable row level security', target);
    execute format('alter table %s force row level security', target);
    if policy is not null then
        execute format(
            'create policy %I on %s for select to %I using ('
            'customer_id = (select aximo.current_customer()) and coalesce(customer_id = (select aximo.current_customer()), false))',
            policy, target, reader
        );
        execute format('comment on policy %I on %s is %L', policy, target, reason);
    end if;
end;
$$;
comment on function aximo_private.isolate_by_customer(regclass, name, name, text) is 'Keeps customers apart in a table: row security, forced; no statistics; and, if a policy is named, its reader sees the rows of the session''s customer. Used by migrations.';
