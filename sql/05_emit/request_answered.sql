-- Of one approval at most one request is open at a time, so an answer can only be to the last one.
-- If that one was answered already, the unique index on answers keeps the second answer out.
create function aximo_private.request_answered(customer text, execution text, approval text) returns uuid
language plpgsql stable security invoker parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
begin
    return (
        select e.event_id
        from only aximo_private.events as e
        where e.customer_id = request_answered.customer and e.execution_id = request_answered.execution
            and e.event_type = 'approval_requested'
            and e.payload ->> 'approval_id' is not distinct from request_answered.approval
        order by e.position desc
        limit 1
    );
end;
$$;
alter function aximo_private.request_answered(text, text, text) owner to aximo_recorder;
comment on function aximo_private.request_answered(text, text, text) is
'The event_id of the request that an answer with this approval_id (null: without one) is to; null if there is none.';
