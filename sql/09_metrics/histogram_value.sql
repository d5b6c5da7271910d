create function aximo_private.histogram_value(bin bigint) returns double precision
language sql immutable security invoker parallel safe
return case
    when bin = 0 then 0
    else sign(bin) * 2 * 1.04::double precision ^ (abs(bin) - 1) / 2.04
end;
comment on function aximo_private.histogram_value(bigint) is 'The value that stands for all values of a bin: at most 2 % off from each of them.';
