-- Called only after a refusal, so it may be slow. How like two words are is how many of their pairs of neighbouring characters they share,
-- from 0, none, to 1, all.
create function aximo_private.nearest(word text, words text[]) returns text
language sql immutable security invoker parallel safe
set search_path = pg_catalog, pg_temp
as $$
    with
    candidates as (
        select
            c.word as candidate,
            array(
                select substr(' ' || c.word || ' ', i, 2)
                from generate_series(1, char_length(c.word) + 1) as i
            ) as pairs,
            array(
                select substr(' ' || lower(left(nearest.word, 60)) || ' ', i, 2)
                from generate_series(1, char_length(left(nearest.word, 60)) + 1) as i
            ) as given
        from unnest(nearest.words) as c (word)
    ),
    rated as (
        select
            c.candidate,
            2.0 * cardinality(array(select unnest(c.pairs) intersect all select unnest(c.given)))
            / (cardinality(c.pairs) + cardinality(c.given)) as likeness
        from candidates as c
    )
    select r.candidate
    from rated as r
    where r.likeness >= 0.5
    order by r.likeness desc, r.candidate
    limit 1
$$;
alter function aximo_private.nearest(text, text[]) owner to aximo_recorder;
comment on function aximo_private.nearest(text, text[]) is 'Which of some words was meant, perhaps; null if none is near.';
