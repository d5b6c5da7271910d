-- Made by tools/alike.py, which makes others like it; change that.
create function aximo.deployment_versions_as_of(moment timestamptz, known_at timestamptz default 'infinity')
returns setof aximo.deployment_versions
language plpgsql volatile security invoker parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
begin
    perform set_config(
        'aximo.as_of',
        concat_ws(
            '|',
            extract(epoch from now()),
            extract(epoch from coalesce(moment, 'infinity')),
            extract(epoch from coalesce(known_at, 'infinity'))
        ),
        true
    );
    return query select * from aximo.deployment_versions;
    perform set_config('aximo.as_of', '', true);
end;
$$;
comment on function aximo.deployment_versions_as_of(timestamptz, timestamptz) is
'aximo.deployment_versions as it was at a moment, by timestamp; with known_at, as far as it had been recorded by then.';
