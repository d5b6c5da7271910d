create view helix.observations with (security_barrier = true) as
select
    customer_id,
    run_id,
    target_run_id,
    observed_at,
    observed_by
from only aximo_private.observations -- noqa: PRS
union all
-- The gateway's own way to look at a run: a run of a tool of that name, whose result says which.
select
    r.customer_id, -- noqa: RF01
    r.run_id, -- noqa: RF01
    r.result_json ->> 'target_run_id' as target_run_id, -- noqa: RF01
    r.created_at as observed_at, -- noqa: RF01
    r.recorded_by as observed_by -- noqa: RF01
from only helix.runs as r -- noqa: PRS
where r.tool_name like '%\_job\_get' and jsonb_typeof(r.result_json -> 'target_run_id') = 'string'
    and not exists (
        select from only aximo_private.observations as o -- noqa: PRS
        where o.customer_id = r.customer_id and o.run_id = r.run_id
    );
alter view helix.observations owner to aximo_owner;
comment on view helix.observations is 'Which run of the session''s customer observed which: by helix.observe_run, or as the gateway does (*_job_get). Key: run_id.';
comment on column helix.observations.customer_id is 'Whose runs they are: always the session''s customer.';
comment on column helix.observations.run_id is 'The observation, a run of its own.';
comment on column helix.observations.target_run_id is 'The run that was looked at; of a gateway''s own, as its result says.';
comment on column helix.observations.observed_at is 'When, by the database''s clock.';
comment on column helix.observations.observed_by is 'The login that looked.';
