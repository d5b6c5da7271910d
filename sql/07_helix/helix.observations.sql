create view helix.observations with (security_barrier = true) as
select
    customer_id, run_id, target_run_id, observed_at, observed_by
from only aximo_private.observations; -- noqa: PRS
comment on view helix.observations is 'Which run of the session''s customer observed which: by helix.observe_run, or as the gateway does (*_job_get). Key: run_id.';
comment on column helix.observations.customer_id is 'Whose runs they are: always the session''s customer.';
comment on column helix.observations.run_id is 'The observation, a run of its own.';
comment on column helix.observations.target_run_id is 'The run that was looked at.';
comment on column helix.observations.observed_at is 'When, by the database''s clock.';
comment on column helix.observations.observed_by is 'The login that looked.';
select aximo_private.take_comments('helix.observations', 'aximo_private.observations');
