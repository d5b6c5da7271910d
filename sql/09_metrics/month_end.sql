create function aximo_private.month_end(moment timestamptz) returns timestamptz
language sql stable security invoker parallel safe
return (date_trunc('month', moment at time zone 'UTC') + interval '1 month') at time zone 'UTC';
comment on function aximo_private.month_end(timestamptz) is 'When the month of UTC ends that a moment is in.';
