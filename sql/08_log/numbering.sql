create type aximo_private.numbering as (
    touched aximo_private.log_growth[], -- noqa: LT01
    is_cut boolean
);
comment on type aximo_private.numbering is 'What numbering one log once came to.';
comment on column aximo_private.numbering.touched is 'By what each customer''s log grew; null if none did.';
comment on column aximo_private.numbering.is_cut is 'Whether there may be more, as it took as many as it may, or as much of their text.';
