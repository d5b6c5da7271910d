create type aximo_private.log_growth as (
    customer_id text,
    old_size bigint,
    new_size bigint
);
comment on type aximo_private.log_growth is 'By how much a customer''s log grew when it was numbered once.';
comment on column aximo_private.log_growth.customer_id is 'Whose log.';
comment on column aximo_private.log_growth.old_size is 'Its size before.';
comment on column aximo_private.log_growth.new_size is 'Its size now.';
