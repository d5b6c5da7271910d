-- Nothing switches this off: a row says that a run is being observed, and only rolling the observation back removes it.
create function aximo_private.refuse_observed(run_id text) returns void
language plpgsql stable security invoker parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
begin
    raise exception using
        errcode = 'ZXRUN',
        message = 'this transaction observed the run, so it can''t write to it',
        detail = format('run_id %L', left(refuse_observed.run_id, 60)),
        hint = 'End this transaction, and write to the run in the next one.',
        constraint = 'observed_is_read_only';
end;
$$;
alter function aximo_private.refuse_observed(text) owner to aximo_recorder;
comment on function aximo_private.refuse_observed(text) is 'Raises ZXRUN: this transaction observed that run.';
