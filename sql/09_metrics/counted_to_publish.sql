-- Made by tools/metrics.py, where measures, grains and columns are declared; change that.
create view aximo_private.counted_to_publish with (security_barrier = true) as
select
    r.customer_id,
    r.log,
    r.number,
    r.changed_in
from aximo_private.counted_logs as r;
alter view aximo_private.counted_to_publish owner to aximo_meter;

comment on view aximo_private.counted_to_publish is 'Every row of counted_logs as it is published.';
