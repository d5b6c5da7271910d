create view aximo.log_lines as
select
    l.customer_id, l.log, l.number, l.event_id, l.run_event_id, e.line, l.leaf
from aximo.log_leaves as l
-- LEFT JOIN: an entry whose event was taken away shows as one without a line.
left join lateral (
    select aximo_private.event_line(s) as line
    from only aximo_private.events as s -- noqa: PRS
    where s.customer_id = l.customer_id and s.event_id = l.event_id
    union all
    select aximo_private.run_event_line(r) as line
    from only helix.run_events as r -- noqa: PRS
    where r.customer_id = l.customer_id and r.event_id = l.run_event_id
    offset 0
) as e on true;
comment on view aximo.log_lines is 'The logs of the session''s customer as lines of JSON with their hashes: what an export holds, and what is proved. Key: log, number.';
comment on column aximo.log_lines.number is 'The number in the log, and the line''s in an export.';
comment on column aximo.log_lines.line is 'The event''s canonical line, without a line feed; null if somebody took the event away.';
comment on column aximo.log_lines.leaf is 'sha256 of a zero byte and the line in UTF-8, as it was when the event was numbered.';
select aximo_private.take_comments('aximo.log_leaves', 'aximo.log_lines');
