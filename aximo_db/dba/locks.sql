do $$
declare
    needed constant text[] := {needed};
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
                where c.oid in (select n.name::regclass from unnest(needed) as n (name)) and c.relkind = 'r'
                order by c.oid
            loop
                execute format('alter table %s set without cluster', relation.name);
            end loop;
            -- Only an owner gets as far as to lock by ALTER TABLE, so nobody else can keep a migration off by a lock of his own choice.
            -- The owner is the one it has, so nothing changes.
            began := clock_timestamp();
            for relation in
                select c.oid::regclass as name, pg_get_userbyid(c.relowner) as owner
                from pg_catalog.pg_class as c
                where c.oid in (select n.name::regclass from unnest(needed) as n (name))
                order by c.oid
            loop
                perform set_config(
                    'lock_timeout',
                    greatest(longest_wait - extract(epoch from clock_timestamp() - began) * 1000, 1)::integer::text,
                    true
                );
                execute format('alter table %s owner to %I', relation.name, relation.owner);
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
