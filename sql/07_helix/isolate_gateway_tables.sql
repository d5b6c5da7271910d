-- The gateway creates five more tables, without customers. This keeps the customers of one database from reading each other's rows in them.
-- Their primary keys stay as the gateway made them, so ranges of ids can still be counted: docs/dba.md. A database of one customer does not
-- need it. Run it as the owner of these tables, and again after the gateway's schema has changed.
create function helix.isolate_gateway_tables() returns setof text
language plpgsql volatile security invoker parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
declare
    own constant text := 'customer_id = (select aximo.current_customer())'
        ' and coalesce(customer_id = (select aximo.current_customer()), false)';
    own_run constant text := 'exists (select from helix.runs as r where r.run_id = %I.run_id)';
    table_name text;
    writable text;
    column_name text;
begin
    for table_name in
        select c.relname::text
        from pg_catalog.pg_class as c
        where c.relnamespace = 'helix'::regnamespace and c.relkind = 'r'
            and c.relname in ('projects', 'artifacts', 'param_sets', 'run_inputs', 'run_outputs')
        order by c.relname
    loop
        execute format(
            'alter table helix.%I add column if not exists customer_id text collate "C" not null default aximo.current_customer()', table_name
        );
        execute format('alter table helix.%I enable row level security', table_name);
        execute format('alter table helix.%I force row level security', table_name);
        -- Statistics would tell, through row estimates, which values others have.
        for column_name in
            select a.attname::text
            from pg_catalog.pg_attribute as a
            where a.attrelid = format('helix.%I', table_name)::regclass and a.attnum > 0 and not a.attisdropped
        loop
            execute format('alter table helix.%I alter %I set statistics 0', table_name, column_name);
        end loop;
        writable := own;
        if table_name in ('run_inputs', 'run_outputs') then
            -- A foreign key is checked without policies: without this condition it would tell which runs and artifacts others have.
            writable := format(
                '%s and %s and exists (select from helix.artifacts as a where a.artifact_id = %I.artifact_id)',
                own, format(own_run, table_name), table_name
            );
        elsif table_name = 'artifacts' then
            -- No condition on the project: a project_id names one row, which belongs to whoever wrote it first, and the gateway uses one
            -- project for every studio tool. Nobody reads another's project; the foreign key only needs it to exist. The indexes have the
            -- names that the gateway's schema gives them.
            if to_regclass('helix.artifacts_project_created_idx') is not null then
                drop index helix.artifacts_project_created_idx;
                create index artifacts_project_created_idx on helix.artifacts (customer_id, project_id, created_at desc);
            end if;
            if to_regclass('helix.artifacts_checksum_idx') is not null then
                drop index helix.artifacts_checksum_idx;
                create index artifacts_checksum_idx on helix.artifacts (customer_id, checksum_sha256);
            end if;
        end if;
        execute format('drop policy if exists readers_read_own on helix.%I', table_name);
        execute format('create policy readers_read_own on helix.%I for select to aximo_reader using (%s)', table_name, own);
        execute format('drop policy if exists writers_write_own on helix.%I', table_name);
        execute format(
            'create policy writers_write_own on helix.%I to aximo_writer using (%s) with check (%s)', table_name, own, writable
        );
        return next table_name;
    end loop;
end;
$$;
comment on function helix.isolate_gateway_tables() is 'Gives the gateway''s own tables (projects, artifacts, param_sets, run_inputs, run_outputs), as far as they exist, a customer_id and policies by it. For the owner of these tables; rows that are there become those of the session''s customer. Returns their names. Can be run again.';
