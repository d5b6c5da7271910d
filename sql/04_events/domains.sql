-- The limits of an event's fields, each with a name. The columns of the table have plain types: aximo_private.is_well_formed checks nearly
-- every event in one expression, and aximo_private.refuse_malformed casts the fields of the others to these domains, one by one. Text is
-- compared by bytes (collate "C"): indexes are smaller and faster, and the order is the same on every machine.

create domain aximo_private.event_type as text collate "C"
    constraint event_type_known check (
        value in (
            'execution_triggered', 'execution_processing', 'execution_completed', 'execution_failed',
            'action_prepared', 'action_dispatched', 'action_failed',
            'approval_requested', 'approval_granted', 'approval_rejected', 'approval_timeout',
            'sla_breached', 'escalation_triggered', 'pressure_invoked', 'deployment_suspended',
            'deployment_created', 'deployment_configured', 'deployment_activated', 'deployment_updated',
            'deployment_terminated', 'version_upgraded', 'version_rolled_back'
        )
    );
comment on domain aximo_private.event_type is 'One of the 22 event types of the event model v1.0. Grows by migration, never shrinks.';

-- Text is blank if it holds only what Unicode calls white space. Text that begins with a visible ASCII character is not blank: nearly all
-- text does, and that is checked faster.
create domain aximo_private.identifier as text collate "C"
    constraint identifier_length check (char_length(value) <= 255)
    constraint identifier_not_blank check (
        value >= '!' and value < E'\u007F'
        or btrim(
            value,
            E' \u0009\u000A\u000B\u000C\u000D\u0085\u00A0\u1680\u2000\u2001\u2002\u2003'
            '\u2004\u2005\u2006\u2007\u2008\u2009\u200A\u2028\u2029\u202F\u205F\u3000'
        ) <> ''
    );
comment on domain aximo_private.identifier is 'Opaque text that names something: 1 to 255 characters, not blank.';

create domain aximo_private.actor as text collate "C"
    constraint actor_known check (value in ('system', 'founder', 'operator', 'external_user'));
comment on domain aximo_private.actor is 'Who acted, as the service claims it.';

create domain aximo_private.short_text as text collate "C"
    constraint short_text_length check (char_length(value) <= 255);
comment on domain aximo_private.short_text is 'Optional text of the platform''s own vocabulary: at most 255 characters.';

create domain aximo_private.milliseconds as bigint
    constraint milliseconds_not_negative check (value >= 0);
comment on domain aximo_private.milliseconds is 'A duration in milliseconds, not negative.';

-- The size is the length of the text that a reader gets. Numbers that make the text far longer than the value are refused before the text
-- is made. A value of at most 2048 bytes, uncompressed (|| '{}' makes such a copy), has no room for many of them. PostgreSQL checks constraints in the
-- order of their names, so payload_is_object comes first.
create domain aximo_private.payload as jsonb
    constraint payload_is_object check (jsonb_typeof(value) = 'object')
    constraint payload_numbers check (
        pg_column_size(value || '{}') <= 2048 or not aximo_private.has_extreme_number(value)
    )
    constraint payload_size check (octet_length(value::text) <= 1048576);
comment on domain aximo_private.payload is 'A JSON object of at most 1 MiB, counted as UTF-8 text.';

-- The lower bound refuses clocks that were never set. That a moment is at most a day ahead is checked when the event is written.
create domain aximo_private.moment as timestamptz
    constraint moment_range check (value >= '1970-01-01 00:00:00+00' and value < '9999-01-01 00:00:00+00');
comment on domain aximo_private.moment is 'When something happened: finite, not before 1970, and within what every client can represent.';
