create view aximo.violations with (security_barrier = true) as
select
    customer_id,
    number,
    event_id,
    execution_id,
    rule,
    against,
    found_at
from only aximo_private.violations; -- noqa: PRS
alter view aximo.violations owner to aximo_owner;
comment on view aximo.violations is 'Events of the session''s customer that break a rule of their execution''s life, as found when they were numbered: written at the same time by two, or imported as they were. Key: number.';
comment on column aximo.violations.customer_id is 'Whose event it is: always the session''s customer.';
comment on column aximo.violations.number is 'The number of the event in the log.';
comment on column aximo.violations.event_id is 'The event that breaks the rule.';
comment on column aximo.violations.execution_id is 'The execution.';
comment on column aximo.violations.rule is 'The rule, by the name that a refusal carries.';
comment on column aximo.violations.against is 'The earlier event it is broken against, if there is one.';
comment on column aximo.violations.found_at is 'When the event was numbered and judged, by the database''s clock.';
