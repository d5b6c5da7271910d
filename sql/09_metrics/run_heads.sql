create materialized view aximo_private.run_heads as
select
    m.customer_id,
    m.number as counts_up_to
from aximo_private.run_head_rows() as m
with no data;
alter materialized view aximo_private.run_heads owner to aximo_meter;
create unique index run_heads_key on aximo_private.run_heads (customer_id);
-- Statistics would tell, through row estimates, how much other customers have.
alter materialized view aximo_private.run_heads
    alter customer_id set statistics 0,
    alter counts_up_to set statistics 0;

comment on materialized view aximo_private.run_heads is 'Each customer with runs: how far the log of its run events is counted.';
comment on column aximo_private.run_heads.customer_id is 'The customer.';
comment on column aximo_private.run_heads.counts_up_to is 'The log number up to which all metrics of runs count.';
comment on index aximo_private.run_heads_key is 'For REFRESH CONCURRENTLY, and to read a customer''s row.';
