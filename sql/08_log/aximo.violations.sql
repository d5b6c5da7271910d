create view aximo.violations with (security_barrier = true) as
select
    v.customer_id, l.number, v.event_id, v.execution_id, v.rule, v.against, v.found_at
from (
    select *
    from only aximo_private.violations -- noqa: PRS
) as v
left join lateral (
    select number
    from only aximo_private.log_entries -- noqa: PRS
    where customer_id = v.customer_id and event_id = v.event_id
    offset 0
) as l on true;
comment on view aximo.violations is 'Imported events of the session''s customer that break a rule of their execution''s life. An event that is emitted and breaks one is refused. Key: event_id.';
comment on column aximo.violations.customer_id is 'Whose event it is: always the session''s customer.';
comment on column aximo.violations.number is 'The number of the event in the log; null until it is numbered.';
comment on column aximo.violations.event_id is 'The event that breaks the rule.';
comment on column aximo.violations.execution_id is 'The execution.';
comment on column aximo.violations.rule is 'The rule, by the name that a refusal carries.';
comment on column aximo.violations.against is 'The earlier event it is broken against, if there is one.';
comment on column aximo.violations.found_at is 'When the event was imported and judged, by the database''s clock.';
select aximo_private.take_comments('aximo.violations', 'aximo_private.violations');
select aximo_private.take_comments('aximo.violations', 'aximo_private.breach');
