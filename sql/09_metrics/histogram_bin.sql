-- Bins are 4 % wide: the middle of one is at most 1.97 % off from any value in it. A negative value, which clocks that disagree make, has
-- the bin of its absolute value with a minus sign.
create function aximo_private.histogram_bin(value double precision) returns bigint
language sql immutable security invoker parallel safe
return case
    when value > 0 then 1 + ceil(ln(value) / ln(1.04::double precision))
    when value < 0 then -1 - ceil(ln(-value) / ln(1.04::double precision))
    else 0
end::bigint;
comment on function aximo_private.histogram_bin(double precision) is 'The bin of a whole number: 0 of 0, else 1 + i with 1.04^(i-1) < |value| <= 1.04^i, negative for negative values.';
