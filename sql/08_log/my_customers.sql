-- A login that may work for a customer may know its name. A job that visits all customers has to get the names from here.
create function aximo.my_customers() returns table (customer_id text)
language plpgsql stable security definer parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    granted constant text[] := aximo_private.session_grants();
    found_one text := '';
begin
    if not '*' = any(granted) then
        return query
        select g.customer_id
        from unnest(granted) as g (customer_id)
        where not exists (select from only aximo_private.placements as p where p.customer_id = g.customer_id and p.state <> 'leaving')
        order by g.customer_id;
        return;
    end if;
    -- Goes from each customer to the next by the index, and reads nothing else of them.
    loop
        select min(n.customer_id) into found_one
        from (
            (select e.customer_id from only aximo_private.events as e where e.customer_id > found_one order by e.customer_id limit 1)
            union all
            (select l.customer_id from only aximo_private.log_entries as l where l.customer_id > found_one order by l.customer_id limit 1)
            union all
            (select r.customer_id from only helix.runs as r where r.customer_id > found_one order by r.customer_id limit 1)
            union all
            select g.customer_id
            from unnest(granted) as g (customer_id)
            where g.customer_id <> '*' and g.customer_id > found_one collate "C"
        ) as n;
        exit when found_one is null;
        continue when exists (select from only aximo_private.placements as p where p.customer_id = found_one and p.state <> 'leaving');
        customer_id := found_one;
        return next;
    end loop;
end;
$$;
alter function aximo.my_customers() owner to aximo_sequencer;
comment on function aximo.my_customers() is 'The customers that the session''s login was granted, in order; of one that was granted all, those that have events, runs or a log, and those named besides. Not those that are on another node. For jobs that look at one after the other.';
