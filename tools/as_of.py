"""Makes the functions that show a view as it was at a moment: they differ by the view, and by whom they run as."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).resolve().parent.parent / "sql" / "06_history"
MADE = "-- Made by tools/as_of.py, where the views that have a past are listed; change that.\n"
# Why a function runs as the recorder: what it reads.
AS_RECORDER = """\
-- Runs as the recorder, as the view that it reads is nobody else's. The view reads as the owner: what the session's customer has.
"""
OPEN = """
    select
        e.customer_id, e.execution_id, e.deployment_id, e.skill_id, e.skill_version, e.status, e.started_at, e.last_event_at,
        least(now(), moment) - e.started_at, least(now(), moment) - e.last_event_at
    from aximo_private.executions_told as e
    where e.outcome is null and e.started_at is not null"""


class Past(NamedTuple):
    """A view of schema aximo, and the query that shows it at the moment that aximo_private.as_of gives."""

    view: str
    query: str
    as_recorder: bool


VIEWS = [
    Past("approvals", " select * from aximo_private.approvals_told", True),
    Past("deployment_versions", " select * from aximo.deployment_versions", False),
    Past("deployments", " select * from aximo.deployments", False),
    Past("executions", " select * from aximo_private.executions_told", True),
    Past("open_executions", OPEN, True),
]


def function(past: Past) -> str:
    """The file of one function."""
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


def made() -> dict[Path, str]:
    """Every file that is made, by its path."""
    return {FOLDER / f"{past.view}_as_of.sql": function(past) for past in VIEWS}
