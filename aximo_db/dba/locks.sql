do $$
declare
    from_all constant text[] := {from_all};
    from_writers constant text[] := {from_writers};
    -- Milliseconds. Whoever comes for a relation meanwhile waits as long, and goes on in the pause.
    longest_wait constant integer := {longest_wait};
    attempts constant integer := coalesce(nullif(current_setting('aximo.migration_attempts', true), '')::integer, 30);
    attempt integer := 0;
    began timestamptz;
    relation record;
    holders text;
begin
    loop
        attempt := attempt + 1;
        begin
            -- An autovacuum ends itself for whom it has kept waiting for deadlock_timeout, so this waits longer. It is a lock that keeps
            -- nobody from reading and writing, and neither does waiting for it. Clustered is no table, so nothing changes.
            perform set_config('lock_timeout', (s.setting::integer + 1000)::text, true)
            from pg_catalog.pg_settings as s
            where s.name = 'deadlock_timeout';
            for relation in
                select c.oid::regclass as name
                from pg_catalog.pg_class as c
                where c.oid in (select n.name::regclass from unnest(from_all || from_writers) as n (name)) and c.relkind = 'r'
                order by c.oid
            loop
                execute format('alter table %s set without cluster', relation.name);
            end loop;
            -- Only an owner gets as far as to lock by ALTER TABLE, so nobody else can keep a migration off by a lock of his own choice.
            -- The owner is the one it has, and the trigger, if there is one, fires as it did, so nothing changes. Readers do not meet the
            -- second lock. In the order in which they are named: who writes has one of them already and comes for the next, so those that
            -- writers lock first come first here.
            began := clock_timestamp();
            for relation in
                select
                    c.oid::regclass as name,
                    case
                        when c.oid in (select n.name::regclass from unnest(from_all) as n (name))
                            then format('owner to %I', pg_get_userbyid(c.relowner))
                        else coalesce(
                            (
                                select format(
                                    '%s trigger %I',
                                    case g.tgenabled
                                        when 'O' then 'enable' when 'A' then 'enable always' when 'R' then 'enable replica' else 'disable'
                                    end,
                                    g.tgname
                                )
                                from pg_catalog.pg_trigger as g
                                where g.tgrelid = c.oid and not g.tgisinternal
                                order by g.tgname
                                limit 1
                            ),
                            'enable trigger user'
                        )
                    end as as_it_is
                from unnest(from_writers || from_all) with ordinality as n (name, place)
                inner join pg_catalog.pg_class as c on c.oid = n.name::regclass
                order by n.place
            loop
                perform set_config(
                    'lock_timeout',
                    greatest(longest_wait - extract(epoch from clock_timestamp() - began) * 1000, 1)::integer::text,
                    true
                );
                execute format('alter table %s %s', relation.name, relation.as_it_is);
            end loop;
            perform set_config('lock_timeout', longest_wait::text, true);
            exit;
        exception
            -- What was locked in here is free again.
            when lock_not_available or deadlock_detected then
                {give_up}
                -- Not in step with others who come again and again.
                perform pg_sleep(0.5 + random());
        end;
    end loop;
end;
$$
