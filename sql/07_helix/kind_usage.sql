create view helix.kind_usage with (security_barrier = true) as
select
    coalesce(u.kind, k.kind) as kind, k.kind is not null as is_listed,
    coalesce(k.family, case when u.kind ~ '^(run|exec|slurm|collect|simulate|studio)[.]' then split_part(u.kind, '.', 1) end) as family,
    coalesce(u.events, 0) as events, coalesce(u.runs, 0) as runs, u.first_at, u.last_at
from (
    select
        kind, count(*) as events, count(distinct run_id) as runs, min(ts) as first_at, max(ts) as last_at
    from only helix.run_events -- noqa: PRS
    group by kind
) as u
full join (
    select distinct on (v.kind)
        v.kind, v.family
    from helix.event_kinds as v
    order by v.kind asc, v.version desc
) as k on k.kind = u.kind;
comment on view helix.kind_usage is 'The kinds of run events that the session''s customer uses, and those that are listed and not used. Reads all its run events. Key: kind.';
comment on column helix.kind_usage.kind is 'The kind.';
comment on column helix.kind_usage.is_listed is 'Whether helix.event_kinds has it.';
comment on column helix.kind_usage.family is 'Its family: of a kind that is not listed by its prefix, null if that is none of the six.';
comment on column helix.kind_usage.events is 'How many events.';
comment on column helix.kind_usage.runs is 'Of how many runs.';
comment on column helix.kind_usage.first_at is 'When it was first seen, by ts.';
comment on column helix.kind_usage.last_at is 'When it was last seen, by ts.';
