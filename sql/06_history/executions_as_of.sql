-- Made by tools/alike.py, which makes others like it; change that.
-- Runs as the recorder, as the view that it reads is nobody else's. The view reads as the owner: what the session's customer has.
create function aximo.executions_as_of(moment timestamptz, known_at timestamptz default 'infinity')
returns setof aximo.executions
language plpgsql volatile security definer parallel unsafe
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
    return query select * from aximo_private.executions_from_events;
    perform set_config('aximo.as_of', '', true);
end;
$$;
alter function aximo.executions_as_of(timestamptz, timestamptz) owner to aximo_recorder;
comment on function aximo.executions_as_of(timestamptz, timestamptz) is
'aximo.executions as it was at a moment, by timestamp; with known_at, as far as it had been recorded by then.';
