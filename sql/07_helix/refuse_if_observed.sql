-- No hatch: what says that a run is being observed is a row that nobody can take back but by undoing the observation.
create function aximo_private.refuse_if_observed(customer_id text, run_id text) returns void
language plpgsql stable security invoker parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
begin
    perform
    from only aximo_private.observations as o
    where o.customer_id = refuse_if_observed.customer_id and o.target_run_id = refuse_if_observed.run_id
        and o.observed_in = pg_current_xact_id_if_assigned() and o.observed_at = now();
    if found then
        raise exception using
            errcode = 'ZXRUN',
            message = 'an observation does not write to what it observes',
            detail = format('run %L, observed in this transaction', refuse_if_observed.run_id),
            hint = 'Write to it in another transaction.',
            constraint = 'observed_is_read_only';
    end if;
end;
$$;
alter function aximo_private.refuse_if_observed(text, text) owner to aximo_recorder;
comment on function aximo_private.refuse_if_observed(text, text) is 'Raises ZXRUN if this transaction observed that run.';
