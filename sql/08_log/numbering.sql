create type aximo_private.numbering as (
    touched aximo_private.log_growth[], -- noqa: LT01
    is_cut boolean
);
comment on type aximo_private.numbering is 'The result of numbering one log once.';
comment on column aximo_private.numbering.touched is 'By how much each customer''s log grew; null if none did.';
comment on column aximo_private.numbering.is_cut is 'Whether there may be more: it stopped at its limit of events or of text.';
