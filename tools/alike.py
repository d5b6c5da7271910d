"""Makes functions that are alike but for a few words: those that show a view as it was at a moment, and those that read a log."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

SQL = Path(__file__).resolve().parent.parent / "sql"
MADE = "-- Made by tools/alike.py, which makes others like it; change that.\n"
# Why a function runs as the recorder: what it reads.
AS_RECORDER = """\
-- Runs as the recorder, as the view that it reads is nobody else's. The view reads as the owner: what the session's customer has.
"""
OPEN = """
    select
        e.customer_id, e.execution_id, e.deployment_id, e.skill_id, e.skill_version, e.status, e.started_at, e.last_event_at,
        least(now(), moment) - e.started_at, least(now(), moment) - e.last_event_at
    from aximo_private.executions_from_events as e
    where e.outcome is null and e.started_at is not null"""


class Past(NamedTuple):
    """A view of schema aximo, and the query that shows it at the moment that aximo_private.as_of gives."""

    view: str
    query: str
    as_recorder: bool


VIEWS = [
    Past("approvals", " select * from aximo_private.approvals_from_events", True),
    Past("deployment_versions", " select * from aximo.deployment_versions", False),
    Past("deployments", " select * from aximo.deployments", False),
    Past("executions", " select * from aximo_private.executions_from_events", True),
    Past("open_executions", OPEN, True),
]


def as_of(past: Past) -> str:
    """What shows a view as it was."""
    name = f"aximo.{past.view}_as_of"
    signature = f"{name}(timestamptz, timestamptz)"
    owner = f"alter function {signature} owner to aximo_recorder;\n" if past.as_recorder else ""
    return f"""\
{MADE}{AS_RECORDER if past.as_recorder else ""}\
create function {name}(moment timestamptz, known_at timestamptz default 'infinity')
returns setof aximo.{past.view}
language plpgsql volatile security {"definer" if past.as_recorder else "invoker"} parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
begin
    perform set_config(
        'aximo.as_of',
        concat_ws(
            '|',
            extract(epoch from now()),
            extract(epoch from coalesce(moment, 'infinity')),
            extract(epoch from coalesce(known_at, 'infinity'))
        ),
        true
    );
    return query{past.query};
    perform set_config('aximo.as_of', '', true);
end;
$$;
{owner}comment on function {signature} is
'aximo.{past.view} as it was at a moment, by timestamp; with known_at, as far as it had been recorded by then.';
"""


def read_log(schema: str, log: str) -> str:
    """What reads a log in order."""
    return f"""\
{MADE}create function {schema}.read_log(after_seq bigint default 0, max_events integer default 1000, advance boolean default false)
returns setof {schema}.log_entries
language plpgsql volatile security invoker parallel unsafe
set search_path = pg_catalog, pg_temp
as $$
declare
    customer constant text := aximo.current_customer();
begin
    if read_log.after_seq is null or read_log.after_seq < 0 or read_log.max_events is null or read_log.max_events < 1 then
        raise exception using
            errcode = 'ZXARG',
            message = 'a log is read after a number of 0 or more, at least one entry at a time',
            detail = format('after_seq %s, max_events %s', read_log.after_seq, read_log.max_events),
            hint = 'Begin with after_seq 0, go on with the last number that you have, and ask for max_events of 1 or more.',
            constraint = 'log_is_read_forward';
    end if;
    if read_log.advance then
        perform aximo.advance_log(greatest(read_log.max_events, 10000));
    end if;
    return query
    select l.*
    from {schema}.log_entries as l
    where l.customer_id = customer and l.number > read_log.after_seq
        and l.number <= least(read_log.after_seq, 9223372036854775807 - read_log.max_events) + read_log.max_events
    order by l.number;
end;
$$;
comment on function {schema}.read_log(bigint, integer, boolean) is 'The entries of {log} of the session''s customer after that number, in order, without a gap. With advance, numbers what is new first, which an operator may; the lock is held to the end of the transaction. ZXARG: a negative number, or no event at all.';
"""


def made() -> dict[Path, str]:
    """Every file that is made, by its path."""
    return {
        **{SQL / "06_history" / f"{past.view}_as_of.sql": as_of(past) for past in VIEWS},
        SQL / "08_log" / "aximo.read_log.sql": read_log("aximo", "the log"),
        SQL / "08_log" / "helix.read_log.sql": read_log("helix", "the log of run events"),
    }
