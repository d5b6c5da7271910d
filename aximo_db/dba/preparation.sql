do $$
declare
    target constant text := {target};
    begins constant text := {begins};
    from_all constant text[] := array[]::text[];
    from_writers constant text[] := array['aximo_private.alembic_version'];
    attempts constant integer := coalesce(nullif(current_setting('aximo.migration_attempts', true), '')::integer, 30);
    attempt integer := 0;
    present text;
    holders text;
begin
    perform set_config('lock_timeout', '2s', true);
    loop
        attempt := attempt + 1;
        begin
            create schema if not exists aximo_private;
            if to_regclass(from_writers[1]) is not null then
                execute 'select version_num from aximo_private.alembic_version' into present;
                exit when present = target;
                -- Who only reads which version there is does not wait for it, and nobody but the owner can take it.
                execute 'lock table aximo_private.alembic_version in share row exclusive mode';
                execute 'select version_num from aximo_private.alembic_version' into present;
            end if;
            if present is distinct from coalesce(begins, present) then
                raise exception using
                    errcode = 'ZXVER',
                    message = 'this script goes on from another revision',
                    detail = format('it goes on from %s, and the database is at %s', begins, coalesce(present, 'none')),
                    hint = 'Nothing was changed. Print it again with the right one: aximo-db migrate --sql --from REVISION.',
                    constraint = 'script_fits_revision';
            end if;
            exit;
        exception
            -- A schema that is there now was made by another migration.
            when lock_not_available or deadlock_detected or unique_violation or duplicate_schema then
                {give_up}
                perform pg_sleep(1);
        end;
    end loop;
end;
$$
