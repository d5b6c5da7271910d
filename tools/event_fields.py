"""Makes every list of an event's fields of one declaration: in sql/, in the Python client, in the pages.

A field is declared here once: what it is, what limits it, who sets it. A list stands in a file that is written by hand, between
the text before it and the text after it, so that the body of a function holds no marks. A new field is declared last. It then
comes last in every list, which is where a migration can add a column, an argument or a key.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from textwrap import wrap
from typing import NamedTuple

from tools.regions import between

ROOT = Path(__file__).resolve().parent.parent
WIDTH = 140


class Field(NamedTuple):
    """A field of an event.

    Attributes:
        name: its name everywhere.
        type: the type of its column.
        meaning: its comment in ``aximo.events``; empty: no view shows it.
        domain: its limits, by their name in aximo_private; empty: no client sets it.
        required: whether the column is not null.
        default: what the column holds if nothing was given.
    """

    name: str
    type: str
    meaning: str
    domain: str = ""
    required: bool = False
    default: str = ""

    @property
    def column(self) -> str:
        """Its name in SQL, in quotes where it is a type's name too."""
        return '"timestamp"' if self.name == "timestamp" else self.name

    @property
    def json(self) -> str:
        """The type of JSON that it has in a batch."""
        return {"bigint": "number", "jsonb": "object"}.get(self.type, "string")

    @property
    def python(self) -> str:
        """Its type in Python, if it has a value."""
        by_domain = {"event_type": "EventType", "actor": "Actor"}
        by_type = {"text": "str", "uuid": "UUID", "timestamptz": "datetime", "jsonb": "dict[str, Any]"}
        return by_domain.get(self.domain) or by_type.get(self.type, "int")


# In the order in which aximo.events shows them. A new field is declared at the end.
FIELDS = (
    Field("event_id", "uuid", "The event's id, unique within its customer.", "uuid", True, "aximo_private.new_event_id()"),
    Field("event_type", "text", "What happened: one of aximo.event_types.", "event_type", True),
    Field("timestamp", "timestamptz", "When it happened, by the client's clock.", "moment", True, "clock_timestamp()"),
    Field("customer_id", "text", "Whose event it is: always the session's customer.", "identifier", True),
    Field("deployment_id", "text", "The deployment concerned.", "identifier", True),
    Field("skill_id", "text", "The skill it runs.", "identifier", True),
    Field("skill_version", "text", "The version of the skill.", "identifier", True),
    Field("execution_id", "text", "The execution; null only for governance and lifecycle events.", "identifier"),
    Field("risk_level", "text", "The risk, in the platform's own vocabulary.", "short_text"),
    Field("approval_mode", "text", "How it is approved, in the platform's own vocabulary.", "short_text"),
    Field("actor", "text", "Who acted: system, founder, operator or external_user, as the service claims.", "actor", True),
    Field("payload", "jsonb", "The rest, a JSON object.", "payload", True, "'{}'"),
    Field("correlation_id", "text", "What ties it to other events, if anything.", "short_text"),
    Field("channel_type", "text", "The channel it came through, if any.", "short_text"),
    Field("error_code", "text", "The error, if any.", "short_text"),
    Field("latency_ms", "bigint", "A latency the client measured, in milliseconds.", "milliseconds"),
    Field("recorded_at", "timestamptz", "When it was written, by the database's clock.", "", True, "clock_timestamp()"),
    Field("recorded_by", "text", "The login that wrote it.", "", True, "session_user"),
    Field("step", "integer", "Its place in its execution: 1, 2, 3 … without a gap; null without an execution."),
    Field("answers", "uuid", ""),
)  # fmt: skip


def _ordered(*first: str) -> tuple[Field, ...]:
    """All fields: first those that are named, then the rest, as they are declared."""
    by_name = {each.name: each for each in FIELDS}
    return (*(by_name[name] for name in first), *(each for each in FIELDS if each.name not in first))


REFERENCES = ("deployment_id", "skill_id", "skill_version")
SHORT = ("risk_level", "approval_mode")
LATE = ("correlation_id", "channel_type", "error_code")

SHOWN = tuple(each for each in FIELDS if each.meaning)
GIVEN = tuple(each for each in FIELDS if each.domain)
# Fields of a fixed size come first: without padding between them, a row is smaller.
IN_TABLE = _ordered(
    "timestamp", "recorded_at", "latency_ms", "event_id", "answers", "step",
    "event_type", "customer_id", *REFERENCES, "execution_id", "actor", *SHORT, *LATE, "recorded_by", "payload",
)  # fmt: skip
# The order of a line never changes, as proofs depend on it.
IN_LINE = tuple(
    each
    for each in _ordered(
        "event_id", "event_type", "timestamp", "customer_id", *REFERENCES, "execution_id", "step", *SHORT, "actor", "payload", *LATE,
        "latency_ms", "recorded_at", "recorded_by",
    )
    if each.meaning
)  # fmt: skip
# What is required comes first, as what follows an argument with a default has one, too.
IN_CALL = tuple(
    each
    for each in _ordered(
        "event_type", *REFERENCES, "actor", "customer_id", "execution_id", "payload", "timestamp", *SHORT, *LATE, "latency_ms", "event_id",
    )
    if each.domain
)  # fmt: skip
# The first that is wrong is told. The payload comes late, as looking at it takes the longest.
IN_CHECK = tuple(
    each
    for each in _ordered(
        "event_type", "customer_id", *REFERENCES, "execution_id", "actor", "timestamp", "event_id", *SHORT, *LATE, "latency_ms", "payload",
    )
    if each.domain
)  # fmt: skip
# What a trace shows of an event, between its times and what only run events have; and after that, what was added later.
TRACED = _ordered("event_type", "actor", *REFERENCES, *SHORT, *LATE, "latency_ms", "payload", "event_id")[:13]
TRACE_NAMES = ("customer_id", "execution_id", "step", "timestamp", "answers", "recorded_at", "recorded_by")
ADDED_TO_TRACE = tuple(each for each in FIELDS if each not in TRACED and each.name not in TRACE_NAMES)


def _filled(items: Iterable[str], indent: int, more: bool = False) -> str:
    """Items of a list, on lines as full as they may be; with a comma at the end, if more follows."""
    lines = [""]
    for item in items:
        if lines[-1] and indent + len(lines[-1]) + 1 + len(item) + 1 > WIDTH:
            lines.append("")
        lines[-1] += f"{' ' if lines[-1] else ''}{item},"
    text = "\n".join(" " * indent + line for line in lines)
    return (text if more else text.removesuffix(",")) + "\n"


def _lines(items: Iterable[str], indent: int, separator: str = ",") -> str:
    """Items of a list, a line each."""
    return f"{separator}\n".join(" " * indent + item for item in items) + "\n"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _columns(fields: Iterable[Field], prefix: str = "") -> list[str]:
    return [f"{prefix}{each.column}" for each in fields]


# What a field is in each place


def in_table(field: Field) -> str:
    """The definition of its column."""
    collation = ' collate "C"' if field.type == "text" else ""
    default = f" default {field.default}" if field.default else ""
    return f"{field.column} {field.type}{collation}{' not null' if field.required else ''}{default}"


def in_view(field: Field) -> str:
    """Its column in aximo.events."""
    return {"payload": "payload || '{}' as payload", "step": "step::bigint as step"}.get(field.name, field.column)


def in_line(field: Field) -> str:
    """Its key and value in an event's line, null if it has none."""
    column = f"(event).{field.column}"
    if field.type == "text":
        return f"'\"{field.name}\":' || to_json({column})"
    if field.type == "timestamptz":
        moment = f"to_char({column} at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"
        return f"'\"{field.name}\":\"' || {moment} || '\"'"
    if field.type == "uuid":
        return f"'\"{field.name}\":\"' || {column} || '\"'"
    return f"'\"{field.name}\":' || {column}{'::text' if field.type == 'jsonb' else ''}"


def in_comparison(field: Field) -> str:
    """Its name, if it differs from what is stored."""
    differs = "<>" if field.required else "is distinct from"
    given = "has_timestamp and " if field.name == "timestamp" else ""
    return f"case when {given}stored.{field.column} {differs} event.{field.column} then '{field.name}' end"


def in_batch(field: Field) -> str:
    """Its value, out of an element of a batch."""
    text = f"b.e ->> '{field.name}'"
    value = {
        "timestamp": f"aximo_private.moment_of({text})",
        "customer_id": f"coalesce({text}, customer)",
        "payload": "coalesce(nullif(b.e -> 'payload', 'null'), '{}')",
    }.get(field.name, text if field.type == "text" else f"({text})::{field.type}")
    return f"{value} as {field.column}"


def argument(field: Field) -> str:
    """Its argument of aximo.emit_event."""
    own = field.required and not field.default and field.name != "customer_id"
    default = "" if own else f" default {field.default if field.type == 'jsonb' else 'null'}"
    return f"{field.column} {field.type}{default}"


def emitted(field: Field) -> str:
    """Its value in aximo.emit_event."""
    own = {
        "timestamp": "moment", "customer_id": "customer", "event_id": "id", "payload": "document", "answers": "request", "step": "this_step",
    }  # fmt: skip
    return own.get(field.name, f"emit_event.{field.column}")


def unstored(field: Field, given: str) -> str:
    """Its value in a row of the table that is not stored; ``given`` if a client sets it."""
    return given if field.domain else "null"


def parsed(field: Field) -> str:
    """Its value in aximo_private.write_events, of an element of the batch."""
    value = f"p.{field.column}"
    return f"coalesce({value}, {field.default})" if field.name in ("timestamp", "event_id") else value


def stored_attribute(field: Field) -> str:
    """Its line in the class of stored events."""
    return f"{field.name}: {field.python}{'' if field.required else ' | None'}"


def new_attribute(field: Field) -> str:
    """Its line in the class of events to be written."""
    own = {
        "payload": "Mapping[str, Any] = field(default_factory=dict)",
        "timestamp": "datetime = field(default_factory=_now)",
        "event_id": "UUID = field(default_factory=_new_id)",
    }
    required = field.required and field.name != "customer_id"
    return f"{field.name}: {own.get(field.name) or field.python + ('' if required else ' | None = None')}"


def traced_attribute(field: Field) -> str:
    """Its line in the class of a trace's steps; what a run event does not have may be None."""
    known = {"event_type": "str", "actor": "str"}
    name = "answers_event_id" if field.name == "answers" else field.name
    return f"{name}: {known.get(field.name) or field.python + ' | None'}"


def sent(field: Field) -> str:
    """Its value among the arguments of a call from Python."""
    value = f"event.{field.name}"
    if field.name == "customer_id":
        return f"{value} if {value} is not None else customer_id"
    if field.type == "bigint":
        return f"None if {value} is None else str(int({value}))"
    return {"jsonb": f"to_json(checked_payload({value}))", "timestamptz": f"utc({value})"}.get(field.type, value)


# Where


class Region(NamedTuple):
    """A list in a file: the text before it, the text after it, and itself."""

    begin: str
    end: str
    made: str


TRACE_ENDS = ["null::text as run_id", "null::bigint as run_event_id", "null::text as message"]
TRACE_RECORDED = ["answers_event_id", "recorded_at", "recorded_by"]
TRACE_RUNS = ["run_id", "run_event_id", "message"]


def _of_trace(prefix: str) -> list[str]:
    return [
        *_columns(TRACED, prefix), *(prefix + each for each in (*TRACE_RECORDED, *TRACE_RUNS)), *_columns(ADDED_TO_TRACE, prefix),
    ]  # fmt: skip


def _written() -> tuple[Field, ...]:
    """What an INSERT sets: what clients give, and what is worked out."""
    return (*GIVEN, *(each for each in FIELDS if each.name in ("step", "answers")))


SIGNATURE = ", ".join(each.type for each in IN_CALL)
NUMBERS = [each for each in GIVEN if each.type == "bigint"]
TEXTS = [each for each in IN_TABLE if each.domain in ("identifier", "short_text")]


def _checked(domain: str) -> str:
    """What may be in a closed set, as its domain lists it."""
    text = (ROOT / "sql" / "04_events" / "domains.sql").read_text(encoding="utf-8")
    found = re.search(rf"create domain aximo_private\.{domain} .*? in \((.*?)\)", text, re.DOTALL)
    assert found is not None
    return found[1]


def sql() -> dict[str, list[Region]]:
    """The lists in sql/, by file."""
    comments = [f"comment on column aximo.events.{each.column} is {_quoted(each.meaning)};" for each in SHOWN]
    signature = f"    {SIGNATURE}\n"
    return {
        "04_events/aximo_private.events.sql": [
            Region("nextval('aximo_private.events_position') end,\n", ");\n", _lines(map(in_table, IN_TABLE), 4)),
        ],
        "04_events/aximo.events.sql": [
            Region("create view aximo.events as\nselect\n", "from only", _filled(map(in_view, SHOWN), 4)),
            Region("Key: event_id.';\n", "select aximo_private.take_comments", "\n".join(comments) + "\n"),
        ],
        "04_events/event_line.sql": [Region("        ',',\n", "    ),\n    '}'", _lines(map(in_line, IN_LINE), 8))],
        "04_events/event_document.sql": [
            Region(
                "return jsonb_build_object(\n",
                "    'timestamp', case",
                _filled(
                    (f"'{each.name}', (event).{each.column}" for each in GIVEN if each.name not in ("timestamp", "payload")),
                    4,
                    more=True,
                ),
            ),
        ],
        "04_events/is_well_formed.sql": [
            Region("(event).event_type in (", ")\n    and", _checked("event_type").replace("\n    ", "\n")),
            Region("(event).actor in (", ")\n", _checked("actor")),
            Region("        concat(\n", "        )\n    ) <= 255", _filled(_columns(TEXTS, "(event)."), 12)),
            Region(
                "clock_timestamp() + interval '1 day'\n",
                "    and jsonb_typeof((event).payload)",
                "".join(f"    and coalesce((event).{each.name}, 0) >= 0\n" for each in NUMBERS),
            ),
        ],
        "05_emit/event_fields.sql": [
            Region("    select array[\n", "    ]\n", _filled((f"'{each.name}'" for each in GIVEN), 8)),
        ],
        "05_emit/first_receipt.sql": [
            Region(
                "        ', ',\n",
                "    );\n",
                _lines((in_comparison(each) for each in GIVEN if each.name not in ("event_id", "customer_id")), 8),
            ),
        ],
        "05_emit/refuse_malformed.sql": [
            Region(
                "                values\n",
                "            ) as f (name, json_type, domain)",
                _lines(
                    (
                        f"('{each.name}', '{each.json}', '{each.domain if each.domain == 'uuid' else f'aximo_private.{each.domain}'}')"
                        for each in IN_CHECK
                    ),
                    16,
                ),
            ),
        ],
        "05_emit/parsed_events.sql": [
            Region(
                "    place bigint,\n",
                "    is_malformed boolean\n",
                "".join(f"    {each.column} {each.type},\n" for each in GIVEN),
            ),
            Region(
                "    select\n",
                "        -- What a cast",
                _filled(["b.place", *map(in_batch, GIVEN)], 8, more=True),
            ),
            Region(
                "aximo_private.event_fields() <> '{}'\n",
                "        or b.e ->> 'execution_id' is null",
                "".join(f"        or jsonb_typeof(b.e -> '{each.name}') not in ('number', 'null')\n" for each in NUMBERS),
            ),
            Region(
                "= 'object')::integer, 0)",
                "\n        as is_malformed",
                "".join(f" + (b.e ->> '{each.name}' is not null)::integer" for each in NUMBERS),
            ),
        ],
        "05_emit/emit_event.sql": [
            Region("create function aximo.emit_event(\n", ") returns aximo.receipt", _lines(map(argument, IN_CALL), 4)),
            Region(
                "insert into aximo_private.events as e (\n",
                "        on conflict do nothing",
                _filled(_columns(_written()), 12) + "        ) values (\n" + _filled(map(emitted, _written()), 12) + "        )\n",
            ),
            Region(
                "    event := row(\n",
                "    );\n",
                _filled(["1", *(unstored(each, emitted(each)) for each in IN_TABLE)], 8),
            ),
            Region("alter function aximo.emit_event(\n", ") owner", signature),
            Region("comment on function aximo.emit_event(\n", ") is", signature),
        ],
        "05_emit/write_events.sql": [
            Region(
                "                    row(\n",
                "                    )::aximo_private.events\n",
                _filled(["p.place", *(unstored(each, parsed(each)) for each in IN_TABLE)], 24),
            ),
            Region(
                "insert into aximo_private.events (\n",
                "                from unnest(told) as t\n",
                _filled(_columns(_written()), 20)
                + "                )\n                select\n"
                + _filled(_columns(_written(), "t."), 20),
            ),
        ],
        "06_history/execution_steps.sql": [
            Region(
                '    "timestamp" - lag("timestamp") over arrival as since_previous,\n',
                "from only",
                _filled(
                    [
                        *_columns(TRACED), "answers as answers_event_id", "recorded_at", "recorded_by", *TRACE_ENDS,
                        *_columns(ADDED_TO_TRACE),
                    ],
                    4,
                ),
            ),
        ],
        "07_helix/execution_trace.sql": [
            Region('s."timestamp" - lag(s."timestamp") over arrival,\n', "    from (\n", _filled(_of_trace("s."), 8)),
            Region(
                '            e.customer_id, e."timestamp",\n',
                "            0 as source, e.step as place,",
                _filled(_of_trace("e."), 12, more=True),
            ),
            Region(
                "            r.customer_id, r.ts,\n",
                "            1, r.event_id,",
                _filled(
                    [
                        *({"event_type": "r.kind", "actor": "'system'", "payload": "r.data"}.get(each.name, "null") for each in TRACED),
                        "null", "r.recorded_at", "r.recorded_by", "r.run_id", "r.event_id", "r.message",
                        *(f"null::{each.type}" for each in ADDED_TO_TRACE),
                    ],
                    12,
                    more=True,
                ),
            ),
        ],
        "08_log/aximo.log_entries.sql": [
            Region(
                "select\n    l.customer_id, l.number,\n",
                "from aximo.log_leaves",
                _filled(_columns((each for each in SHOWN if each.name != "customer_id"), "e."), 4),
            ),
        ],
        "99_grants/grants.sql": [
            Region(
                "grant insert (\n", ") on aximo_private.events to aximo_recorder", _filled(_columns(_written()), 4)
            ),
            Region("    aximo.emit_event(", "),\n", SIGNATURE),
        ],
    }  # fmt: skip


def python() -> dict[str, list[Region]]:
    """The lists in the Python client, by file."""
    names = ", ".join(each.name for each in IN_CALL if each.domain == "short_text")
    # With what follows it, as wide as ruff lets a docstring be.
    short = "\n".join(wrap(f"{names}: optional, at most 255 characters.", 112, subsequent_indent=" " * 12))
    return {
        "client/events.py": [
            Region(
                "when it happened; a naive one is UTC; now, if left out.\n",
                "        latency_ms: optional",
                f"        {short}\n",
            ),
            Region(
                '        event_id: unique within the customer; a UUIDv7 if left out. Of any class of UUIDs.\n    """\n\n',
                "\n    @classmethod",
                _lines(map(new_attribute, IN_CALL), 4, ""),
            ),
            Region(
                'a row of ``aximo.events``. Times are aware."""\n\n',
                "\n\n@dataclass",
                _lines(map(stored_attribute, SHOWN), 4, ""),
            ),
            Region(
                "    since_previous: timedelta | None\n",
                "    answers_event_id: UUID | None\n",
                _lines(map(traced_attribute, TRACED), 4, ""),
            ),
            Region(
                "    run_event_id: int | None = None\n    message: str | None = None\n",
                "\n\n@dataclass",
                "".join(f"    {traced_attribute(each)} = None\n" for each in ADDED_TO_TRACE),
            ),
        ],
        "client/statements.py": [
            Region(
                "    return (\n        event.event_type,\n", "    )\n", _lines([*map(sent, IN_CALL[1:]), ""], 8)[:-9]
            ),
        ],
    }


def rules() -> list[str]:
    """The rules that say which type of JSON a field has."""
    return [f"{each.name}_is_{each.json}" for each in IN_CHECK]


def pages() -> dict[str, list[Region]]:
    """The lists in docs/, by file."""
    in_line_names = [f"`{each.name}`" for each in IN_LINE]
    strings = [f"`{rule}`" for rule in rules() if rule.endswith("_is_string")]
    return {
        "auditor.md": [
            Region(
                "- The fields are these, in this order:\n",
                "  A field without a value is left out.",
                _filled(in_line_names, 2).rstrip("\n") + ".\n",
            )
        ],
        "errors.md": [
            Region(
                "| `event_type_is_string`, ", " | In a batch or an import: another JSON type", ", ".join(strings[1:])
            ),
        ],
    }


FOLDERS: dict[Path, Callable[[], dict[str, list[Region]]]] = {
    ROOT / "sql": sql,
    ROOT / "aximo_db": python,
    ROOT / "docs": pages,
}


def made() -> dict[Path, str]:
    """Every file with a list, with the list made anew."""
    found = {}
    for folder, regions in FOLDERS.items():
        for name, of_file in regions().items():
            text: str | None = (folder / name).read_text(encoding="utf-8")
            for region in of_file:
                text = between(text, *region) if text is not None else None
                if text is None:
                    sys.exit(f"{folder / name}: no place for what is made, after {region.begin!r}")
            found[folder / name] = text or ""
    return found
