"""No login sees, learns of, or writes for a customer that it was not granted, whatever it does."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import count
from typing import Any, LiteralString

import psycopg
import pytest
from psycopg import sql
from psycopg.types.json import Jsonb

from aximo_db.local.embedded import EmbeddedServer
from tests.conftest import DBA, VERSIONS, Ledger, _cloned
from tests.events import SHORT_TEXTS, emit, event

SCHEMAS = ["aximo", "aximo_private", "aximo_metrics", "helix"]
GROUP_ROLES = ["aximo_reader", "aximo_writer", "aximo_operator", "aximo_auditor", "aximo_bi"]

VICTIM, OWN = "victimmark-customer", "ownmark-customer"
MARKS = {VICTIM: "victimmark", OWN: "ownmark"}
# What gives a customer's rows away even where no text of his is shown: his ids, numbers and moments.
TRACES = {
    VICTIM: ("victimmark", "aaaaaaaa-", "987654321", "2011-11-11"),
    OWN: ("ownmark", "bbbbbbbb-", "123456789", "2012-12-12"),
}
ID_PREFIX = {VICTIM: "aaaaaaaa", OWN: "bbbbbbbb"}
#: Of keys of theirs that are recorded as erased.
KIDS = {customer: f"{TRACES[customer][1]}0000-4000-8000-00000000000e" for customer in MARKS}
EXECUTIONS = {VICTIM: "victimmark-exec", OWN: "ownmark-exec"}
_numbers = count()


def marked_events(customer: str) -> list[dict[str, Any]]:
    """Events with the customer's mark in every text field, so that every view of the ledger has a row to show."""
    mark, day, latency = MARKS[customer], TRACES[customer][3], int(TRACES[customer][2])
    common = {
        "customer_id": customer,
        "deployment_id": f"{mark}-deployment",
        "skill_id": f"{mark}-skill",
        "skill_version": f"{mark}-version",
        "risk_level": f"{mark}-risk",
        "approval_mode": f"{mark}-mode",
        "correlation_id": f"{mark}-correlation",
        "channel_type": f"{mark}-channel",
        "error_code": f"{mark}-error",
        "latency_ms": latency,
    }
    payload = {
        "action_id": f"{mark}-action",
        "action_type": f"{mark}-type",
        "approval_id": f"{mark}-approval",
        "reason": f"{mark}-reason",
        "error": f"{mark}-error",
        f"{mark}-key": f"{mark}-value",
        "number": 1 if customer == OWN else f"{mark}-number",
    }
    exec_id = EXECUTIONS[customer]
    told: list[tuple[str, str | None]] = [
        ("deployment_created", None),
        ("deployment_activated", None),
        ("execution_triggered", exec_id),
        ("execution_processing", exec_id),
        ("action_prepared", exec_id),
        ("approval_requested", exec_id),
        ("approval_rejected", exec_id),
        ("escalation_triggered", exec_id),
        ("execution_failed", exec_id),
        ("execution_triggered", f"{exec_id}-open"),
        ("execution_processing", f"{exec_id}-open"),
        ("sla_breached", None),
        ("version_upgraded", None),
    ]
    return [
        event(
            event_type,
            execution_id,
            **common,
            event_id=f"{ID_PREFIX[customer]}-0000-4000-8000-{place:012}",
            timestamp=f"{day}T10:00:{place:02}Z",
            payload=payload,
        )
        for place, (event_type, execution_id) in enumerate(told)
    ]


def late_event(customer: str) -> dict[str, Any]:
    """One that breaks a rule, so that the log has something to list."""
    common = {**marked_events(customer)[-1], "execution_id": EXECUTIONS[customer], "event_type": "action_dispatched"}
    return {**common, "event_id": f"{ID_PREFIX[customer]}-0000-4000-8000-{99:012}"}


def contradiction(customer: str) -> dict[str, Any]:
    """The start of an execution of a version that its deployment was not at."""
    common = marked_events(customer)[-1]
    return {
        **common,
        "event_type": "execution_triggered",
        "execution_id": f"{EXECUTIONS[customer]}-other",
        "skill_version": f"{common['skill_version']}-other",
        "timestamp": common["timestamp"].replace("T10:00:", "T10:01:"),
        "event_id": f"{ID_PREFIX[customer]}-0000-4000-8000-{98:012}",
    }


STORED = len(marked_events(OWN)) + 2


def marked_run_events(customer: str) -> list[dict[str, Any]]:
    """Events of a tool run with the customer's mark in every text field."""
    mark, day = MARKS[customer], TRACES[customer][3]
    kinds = ["run.started", "run.queued", "run.running", f"{mark}.kind", "run.failed"]
    return [
        {
            "run_id": f"{mark}-run",
            "event_id": int(TRACES[customer][2]),
            "created_at": f"{day}T11:00:{place:02}Z",
            "kind": kind,
            "message": f"{mark}-message",
            "data": {f"{mark}-key": f"{mark}-value"},
            f"{mark}-further": f"{mark}-value",
        }
        for place, kind in enumerate(kinds)
    ]


def marked_run(customer: str) -> dict[str, Any]:
    """A run with the customer's mark in every text field."""
    mark = MARKS[customer]
    texts = ("run_id", "project_id", "tool_name", "contract_version", "tool_version", "params_hash", "policy_hash")
    texts += ("requested_by", "error", "log_artifact_id")
    return {
        **{name: f"{mark}-{name.removesuffix('_id')}" for name in texts},
        "status": "running",
        "created_at": f"{TRACES[customer][3]}T11:00:00Z",
        "execution_id": EXECUTIONS[customer],
        "environment": {f"{mark}-key": 1},
        "result_json": {f"{mark}-key": 1},
    }


def fill(ledger: Ledger) -> None:
    """Writes both customers' events, each as a login with the customer's mark in its name, and all that follows from them."""
    for customer, mark in MARKS.items():
        roles = ("aximo_writer", "aximo_operator")
        login = ledger.login(f"{mark}_service_{next(_numbers)}", *roles, customers=(customer,))
        with ledger.connect(login) as service:
            service.execute("select aximo.emit_events(%s)", [Jsonb(marked_events(customer))])
            service.execute("select aximo.import_events(%s)", [Jsonb([late_event(customer), contradiction(customer)])])
            service.execute("select helix.import_runs(%s)", [Jsonb([marked_run(customer)])])
            service.execute("select helix.import_run_events(%s)", [Jsonb(marked_run_events(customer))])
            service.execute("select helix.observe_run(%s, %s)", [f"{mark}-run", f"{mark}-observer"])
            with ledger.superuser() as root:
                root.execute("select aximo.advance_log()")
            service.execute("select aximo.add_checkpoint(aximo.checkpoint_text())")
            service.execute("select aximo.add_checkpoint(aximo.checkpoint_text(log => 'run_events'))")
            service.execute("select aximo.record_erasure(array[%s::uuid], %s)", [KIDS[customer], f"{mark}-reason"])
            service.execute("select aximo.open_cursor(%s)", [f"{mark}-cursor"])
            service.execute("select aximo.set_threshold('error_rate', 'warning', 0.5, %s)", [f"{mark}-deployment"])
            service.execute("select aximo.set_threshold('error_rate', 'minimum_denominator', 1, null, '-infinity')")
            service.execute("select aximo.set_high_risk_levels(%s)", [[f"{mark}-risk"]])
            service.execute("select aximo.set_lead_action_types(%s)", [[f"{mark}-type"]])
        with ledger.superuser() as root:
            # Of 256 entries; so many would only make every search here longer.
            root.execute(
                "insert into aximo_private.log_nodes values (0, 1, 'events', %s, sha256(%s))",
                [customer, customer.encode()],
            )
            # One is there already when the other comes.
            root.execute("select aximo.refresh_metrics()")


@pytest.fixture(scope="module", params=VERSIONS)
def filled_once(request: pytest.FixtureRequest, servers: Callable[[str], EmbeddedServer]) -> Iterator[Ledger]:
    """A ledger with two customers' events, made once a server."""
    with closing(_cloned(servers(request.param), "fresh", "isolation_test")) as clone:
        ledger = next(clone)
        fill(ledger)
        yield ledger


@pytest.fixture
def filled(filled_once: Ledger) -> Iterator[Ledger]:
    """A ledger with two customers' events. Shared: what a test writes here it rolls back."""
    yield filled_once
    filled_once.close()
    filled_once._open.clear()


def stranger(ledger: Ledger, *roles: str, customers: tuple[str, ...] = (OWN,)) -> psycopg.Connection[Any]:
    return ledger.connect(ledger.login(f"stranger_{next(_numbers)}", *roles, customers=customers))


# What a login can read: the catalog decides, so that whatever is added later is tried as well.


def readable_relations(connection: psycopg.Connection[Any]) -> list[str]:
    """Every relation of the ledger that the current role has any right to read."""
    rows = connection.execute(
        """
        select format('%%I.%%I', n.nspname, c.relname)
        from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
        where n.nspname = any(%s) and c.relkind in ('r', 'p', 'v', 'm', 'f')
            and (has_table_privilege(c.oid, 'select') or has_any_column_privilege(c.oid, 'select'))
        order by 1
        """,
        [SCHEMAS],
    )
    return [name for (name,) in rows]


def readable_columns(connection: psycopg.Connection[Any], relation: str) -> list[str]:
    rows = connection.execute(
        """
        select attname from pg_attribute
        where attrelid = %s::regclass and attnum > 0 and not attisdropped
            and has_column_privilege(attrelid, attnum, 'select')
        order by attnum
        """,
        [relation],
    )
    return [name for (name,) in rows]


def executable_functions(connection: psycopg.Connection[Any]) -> list[str]:
    """Every function of the ledger that the current role may execute."""
    rows = connection.execute(
        """
        select format('%%I.%%I(%%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid))
        from pg_proc as p join pg_namespace as n on n.oid = p.pronamespace
        where n.nspname = any(%s) and has_function_privilege(p.oid, 'execute')
        order by 1
        """,
        [SCHEMAS],
    )
    return [name for (name,) in rows]


_AS_OF_CALLS: list[tuple[LiteralString, list[Any]]] = [
    ("('2011-11-11T23:00:00Z')", []),
    ("('infinity')", []),
    ("('2012-12-12T23:00:00Z', now())", []),
]
_EMIT_EVENT = (
    "(%(event_type)s, %(deployment_id)s, %(skill_id)s, %(skill_version)s, %(actor)s, %(customer_id)s,"
    " %(execution_id)s, %(payload)s, event_id => %(event_id)s)"
)
_OTHERS_EVENT = {**marked_events(VICTIM)[2], "payload": Jsonb({})}

#: Shows a login what it was granted, whatever customer its session names: one that is hidden is no session's.
BY_GRANT = "aximo.placements"

#: How to call each function, by its name and the types of its arguments: with what would suit the victim best.
#: A function that is not here fails the test, as nobody has thought about what it gives away.
CALLS: dict[str, list[tuple[str, Any]]] = {
    "aximo.current_customer()": [("()", [])],
    "aximo.my_customers()": [("()", [])],
    "aximo.schema_version()": [("()", [])],
    "aximo.oldest_client()": [("()", [])],
    "aximo.execution_trace(execution_id text)": [("(%s)", [EXECUTIONS[VICTIM]]), ("(%s)", [EXECUTIONS[OWN]])],
    **{
        f"aximo.{view}_as_of(moment timestamp with time zone, known_at timestamp with time zone)": _AS_OF_CALLS
        for view in ("executions", "open_executions", "approvals", "deployments", "deployment_versions")
    },
    "aximo_private.as_of(known boolean)": [("(true)", []), ("(false)", [])],
    "aximo_private.session_grants()": [("()", [])],
    "aximo.place_customer(state text, node integer, checkpoints text[])": [
        ("('leaving', 1)", []),
        ("('here', 1, array['', ''])", []),
    ],
    (
        "aximo.emit_event(event_type text, deployment_id text, skill_id text, skill_version text, actor text,"
        " customer_id text, execution_id text, payload jsonb, \"timestamp\" timestamp with time zone, risk_level text,"
        " approval_mode text, correlation_id text, channel_type text, error_code text, latency_ms bigint,"
        " event_id uuid)"
    ): [
        (_EMIT_EVENT, _OTHERS_EVENT),
        (_EMIT_EVENT, {**_OTHERS_EVENT, "customer_id": None}),
        (_EMIT_EVENT, {**_OTHERS_EVENT, "customer_id": OWN}),
    ],
    "aximo.emit_events(events jsonb, customer_id text)": [
        ("(%s)", [Jsonb(marked_events(VICTIM))]),
        ("(%s, %s)", [Jsonb(marked_events(VICTIM)), OWN]),
        ("(%s, '*')", [Jsonb(marked_events(VICTIM))]),
        ("(%s, '*')", [Jsonb([event("execution_triggered", customer_id=OWN), *marked_events(VICTIM)])]),
        ("(%s, %s)", [Jsonb([{k: v for k, v in e.items() if k != "customer_id"} for e in marked_events(VICTIM)]), OWN]),
    ],
    "aximo.close_stale_executions(older_than interval)": [("('0')", [])],
    "aximo.import_events(events jsonb, customer_id text)": [
        ("(%s)", [Jsonb([late_event(VICTIM)])]),
        ("(%s, %s)", [Jsonb([late_event(VICTIM)]), OWN]),
        ("(%s, '*')", [Jsonb([late_event(VICTIM)])]),
    ],
    "aximo.advance_log(max_events integer)": [("(1)", []), ("()", [])],
    "aximo.mend_log()": [("()", [])],
    "aximo.read_log(after_seq bigint, max_events integer, advance boolean)": [("()", []), ("(3, 5)", []), ("(0, 9, true)", [])],
    "aximo.open_cursor(name text, log text)": [
        ("('victimmark-cursor')", []),
        ("('ownmark-cursor')", []),
        ("('victimmark-cursor', 'run_events')", []),
        ("('ownmark-cursor', %s)", ["victimmark"]),
    ],
    "aximo.move_cursor(name text, from_number bigint, to_number bigint, log text)": [
        ("('victimmark-cursor', 0, 1)", []),
        ("('ownmark-cursor', 0, 1)", []),
    ],
    "aximo.log_size(log text)": [("()", []), ("('run_events')", []), ("(%s)", ["victimmark"])],
    "aximo.log_tile(level integer, index bigint, width integer, log text)": [
        ("(0, 0)", []),
        ("(1, 0, 1)", []),
        ("(0, 0, 2, 'run_events')", []),
    ],
    "aximo.log_root(size bigint, log text)": [("()", []), ("(3)", []), ("(99)", []), ("(3, 'run_events')", [])],
    "aximo.log_origin(log text)": [("()", []), ("('run_events')", [])],
    "aximo.checkpoint_text(size bigint, log text)": [("()", []), ("(3)", []), ("(3, 'run_events')", [])],
    "aximo.record_erasure(key_ids uuid[], reason text)": [
        ("(array[%s::uuid], 'asked')", [KIDS[VICTIM]]),
        ("(array[null::uuid], %s)", ["victimmark"]),
        ("('{}', %s)", ["victimmark"]),
    ],
    "aximo.add_checkpoint(note text)": [("('x')", []), ("(aximo.checkpoint_text())", [])],
    "aximo.check_log_nodes(log text, since bigint)": [
        ("()", []),
        ("('run_events')", []),
        ("(%s)", ["victimmark"]),
        ("('events', 1)", []),
    ],
    "aximo.rebuild_log_nodes()": [("()", [])],
    "aximo.ledger_status()": [("()", [])],
    "aximo.verify_log(log text, first_number bigint, last_number bigint, in_flight interval)": [
        ("()", []),
        ("('run_events')", []),
        ("('events', 2, 3)", []),
    ],
    "aximo.verify_executions(newest integer)": [("()", []), ("(10)", [])],
    "aximo.repair_executions()": [("()", [])],
    "aximo.count_metrics(max_events integer)": [("()", []), ("(1)", [])],
    "aximo.refresh_metrics(everything boolean)": [("()", []), ("(true)", [])],
    "aximo.keep_metrics(IN max_events integer)": [("()", []), ("(1)", [])],
    "aximo.recount_metrics(from_the_start boolean, max_events integer)": [("()", []), ("(true, 1)", [])],
    "aximo.recompute_metrics(up_to bigint)": [("(1000)", [])],
    "aximo.recompute_run_metrics(up_to bigint)": [("(1000)", [])],
    "aximo.verify_metrics()": [("()", [])],
    (
        "aximo.set_threshold(metric text, level text, value double precision, deployment_id text,"
        " effective_from timestamp with time zone, for_all_customers boolean)"
    ): [
        ("('error_rate', 'warning', 0.5, 'victimmark-deployment')", []),
        ("('error_rate', 'warning', 0.5, for_all_customers => true)", []),
        ("(%s, 'warning', 0.5)", ["victimmark"]),
    ],
    "aximo.set_high_risk_levels(levels text[], effective_from timestamp with time zone, for_all_customers boolean)": [
        ("(array['victimmark-risk'])", []),
        ("(array['victimmark-risk'], for_all_customers => true)", []),
    ],
    "aximo.set_lead_action_types(action_types text[], effective_from timestamp with time zone, for_all_customers boolean)": [
        ("(array['victimmark-type'])", []),
        ("(array['victimmark-type'], for_all_customers => true)", []),
    ],
    (
        "aximo_private.threshold_at(for_deployment text, for_metric text, for_level text,"
        " moment timestamp with time zone)"
    ): [("('victimmark-deployment', 'error_rate', 'warning', now())", [])],
    "aximo_private.level_of(numerator bigint, denominator bigint, for_deployment text, for_metric text)": [
        ("(1, 2, 'victimmark-deployment', 'error_rate')", [])
    ],
    "aximo_private.high_risk_at(moment timestamp with time zone)": [("(now())", [])],
    "aximo.unlogged_events(log text)": [("()", []), ("('run_events')", [])],
    "aximo_private.run_event_line(event helix.run_events)": [("(null)", [])],
    "aximo_private.next_run_event_id()": [("()", [])],
    "aximo_private.has_extreme_number(document jsonb)": [("('1e999')", [])],
    "helix.read_log(after_seq bigint, max_events integer, advance boolean)": [("()", []), ("(3, 5)", []), ("(0, 9, true)", [])],
    "helix.compare_run_log(run_id text, lines jsonb)": [
        ("(%s, '[]')", ["victimmark-run"]),
        ("(%s, %s)", ["victimmark-run", Jsonb([{"kind": "run.started"}])]),
    ],
    "helix.observe_run(run_id text, tool_name text, requested_by text)": [("(%s)", ["victimmark-run"])],
    "helix.import_runs(lines jsonb, customer_id text)": [
        ("(%s)", [Jsonb([marked_run(VICTIM)])]),
        ("(%s, %s)", [Jsonb([marked_run(VICTIM)]), OWN]),
    ],
    (
        "helix.import_run_events(lines jsonb, run_id text, create_runs boolean, repetitions integer[], customer_id text)"
    ): [
        ("(%s)", [Jsonb(marked_run_events(VICTIM))]),
        ("(%s, create_runs => false)", [Jsonb(marked_run_events(VICTIM))]),
        ("(%s, %s, customer_id => %s)", [Jsonb([{"ts": "2012-12-12", "kind": "x"}]), "victimmark-run", OWN]),
    ],
    "aximo_private.event_line(event aximo_private.events)": [("(null)", [])],
    "aximo.tree_hash(hashes bytea[])": [("('{}')", [])],
}  # fmt: skip

PROCEDURES = {"aximo.keep_metrics(IN max_events integer)"}


@dataclass
class Harvest:
    """What a session got to see: by relation or function, each row's textual form."""

    rows: dict[str, list[str]]
    per_customer: set[str]  # the relations that have a customer_id


def without(text: str, said: str) -> str:
    """An error's text without what the caller said himself: to repeat that gives nothing away."""
    words = {word for word in re.findall(r"[\w-]+", said) if len(word) > 3}
    for word in sorted(words, key=len, reverse=True):
        text = text.replace(word, "")
    return text


def diagnosis(error: psycopg.Error) -> str:
    fields = ("message_primary", "message_detail", "message_hint", "context", "constraint_name", "table_name")
    return "\n".join(str(getattr(error.diag, field)) for field in fields)


def attempt(
    connection: psycopg.Connection[Any], query: Any, arguments: Any = None
) -> tuple[list[str], psycopg.DatabaseError | None]:
    """The rows of a query and no error, or no rows and the error; whatever it wrote is rolled back."""
    try:
        with connection.transaction(force_rollback=True):
            cursor = connection.execute(query, arguments)
            return [str(row[0]) for row in cursor] if cursor.description else [], None
    except psycopg.DatabaseError as error:
        return [], error


def harvest(connection: psycopg.Connection[Any], said: str = "") -> Harvest:
    """Reads every relation and calls every function there is for this session; writes nothing."""
    found = Harvest({}, set())
    for relation in readable_relations(connection):
        names = readable_columns(connection, relation)
        if "customer_id" in names:
            found.per_customer.add(relation)
        columns = sql.SQL(", ").join(map(sql.Identifier, names))
        query = sql.SQL("select r::text from (select {} from {}) as r").format(columns, sql.SQL(relation))
        found.rows[relation], error = attempt(connection, query)
        assert error is None or error.sqlstate == "42501"  # readable by its own privileges, in a schema that is closed
    functions = executable_functions(connection)
    unknown = [name for name in functions if name not in CALLS]
    assert not unknown, f"add arguments for it to CALLS: {unknown}"
    for function in functions:
        name = function.partition("(")[0]
        found.rows[function] = []
        for call, arguments in CALLS[function]:
            query = f"call {name}{call}" if function in PROCEDURES else f"select r::text from {name}{call} as r"
            rows, error = attempt(connection, query, arguments)
            found.rows[function] += rows
            if error is not None:
                state = str(error.sqlstate)
                # A procedure that commits does not get further in here.
                assert state.startswith("ZX") or state in ("42501", "2D000"), (function, error)
                values = arguments.values() if isinstance(arguments, dict) else arguments
                told = json.dumps([v.obj if isinstance(v, Jsonb) else v for v in values], default=str)
                left = without(diagnosis(error), f"{said} {connection.info.user} {told}")
                assert not any(trace in left for trace in TRACES[VICTIM]), (function, left)
    return found


def writes(function: str) -> bool:
    return any(name in function for name in ("emit_event", "import_events", "import_run"))


def assert_no_trace(found: Harvest, customer: str) -> None:
    for place, rows in found.rows.items():
        for row in rows:
            if writes(place):
                # Receipts of events written for the session's own customer under the other's ids, none of them known.
                assert row.endswith(",f)"), (place, row)
            else:
                assert not any(trace in row for trace in TRACES[customer]), (place, row)


@dataclass
class State:
    """How a session comes to work, or not, for a customer."""

    customers: tuple[str, ...]
    preparation: tuple[str, ...]
    sees: str | None


STATES = {
    "bound, nothing set": State((OWN,), (), OWN),
    "bound, names itself": State((OWN,), (f"set aximo.customer_id = '{OWN}'",), OWN),
    "bound, names the other": State((OWN,), (f"set aximo.customer_id = '{VICTIM}'",), None),
    "bound, names the other in other case": State((OWN,), (f"set aximo.customer_id = '{OWN.upper()}'",), None),
    "bound, names everybody": State((OWN,), ("set aximo.customer_id = '*'",), None),
    "bound, set to empty": State((OWN,), ("set aximo.customer_id = ''",), OWN),
    "bound, set to a blank": State((OWN,), ("set aximo.customer_id = ' '",), None),
    "bound, names nobody known": State((OWN,), ("set aximo.customer_id = 'nobody'",), None),
    "bound, after a transaction for the other": State(
        (OWN,), ("begin", f"set local aximo.customer_id = '{VICTIM}'", "select 1", "commit"), OWN
    ),
    "bound, after the other was set and reset": State(
        (OWN,), (f"set aximo.customer_id = '{VICTIM}'", "reset aximo.customer_id"), OWN
    ),
    "bound, names the other and is rolled back": State(
        (OWN,), ("begin", f"set aximo.customer_id = '{VICTIM}'", "rollback"), OWN
    ),
    "bound, with every other setting": State(
        (OWN,), ("set row_security = on", "set aximo.as_of = '0'", "set search_path = aximo, pg_temp"), OWN
    ),
    "all, nothing set": State(("*",), (), None),
    "all, set to empty": State(("*",), ("set aximo.customer_id = ''",), None),
    "all, names its own": State(("*",), (f"set aximo.customer_id = '{OWN}'",), OWN),
    "all, names everybody": State(("*",), ("set aximo.customer_id = '*'",), None),
    "all, names nobody known": State(("*",), ("set aximo.customer_id = 'nobody'",), None),
    "all and one, nothing set": State(("*", OWN), (), None),
    "two, nothing set": State((OWN, VICTIM), (), None),
    "two, names one": State((OWN, VICTIM), (f"set aximo.customer_id = '{OWN}'",), OWN),
    "none, nothing set": State((), (), None),
    "none, names the other": State((), (f"set aximo.customer_id = '{VICTIM}'",), None),
}


def search(ledger: Ledger, role: str, state: State, *preparation: str) -> None:
    connection = stranger(ledger, role, customers=state.customers)
    for statement in (*state.preparation, *preparation):
        connection.execute(statement)
    found = harvest(connection, said=" ".join(state.preparation))
    # Whom it was granted, itself and nobody else.
    granted = {name for name in state.customers if name != "*"} | ({OWN, VICTIM} if "*" in state.customers else set())
    assert set(found.rows.pop("aximo.my_customers()", granted)) == granted
    if set(state.customers) & {VICTIM, "*"}:  # it may write for the other, if it names him in the call
        found.rows = {place: rows for place, rows in found.rows.items() if not writes(place)}
    assert_no_trace(found, VICTIM)
    if state.sees is None:
        assert not any(found.rows[relation] for relation in found.per_customer)
        found.rows = {place: rows for place, rows in found.rows.items() if not writes(place)}
        assert_no_trace(found, OWN)
    elif "aximo.events" in found.rows:
        assert len(found.rows["aximo.events"]) == STORED
        assert all(MARKS[OWN] in row for row in found.rows["aximo.events"])


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("role", GROUP_ROLES)
def test_a_stranger_finds_no_trace_of_the_other_customer(filled: Ledger, role: str, state: str) -> None:
    search(filled, role, STATES[state])


@pytest.mark.parametrize("state", ["bound, nothing set", "bound, names the other", "all, nothing set"])
@pytest.mark.parametrize("role", GROUP_ROLES)
def test_a_stranger_who_takes_the_group_role_finds_no_trace(filled: Ledger, role: str, state: str) -> None:
    search(filled, role, STATES[state], f"set role {role}")


def test_a_login_without_a_group_role_reads_and_calls_nothing(filled: Ledger) -> None:
    connection = stranger(filled, customers=(OWN,))
    assert readable_relations(connection) == []
    assert executable_functions(connection) == []


def test_every_relation_with_a_customer_is_filled_so_that_the_search_means_something(filled: Ledger) -> None:
    for role in GROUP_ROLES:
        connection = stranger(filled, role, customers=(VICTIM,))
        found = harvest(connection)
        for relation in readable_relations(connection):
            if "customer_id" in readable_columns(connection, relation) and relation != BY_GRANT:
                assert any(MARKS[VICTIM] in row for row in found.rows[relation]), f"fill {relation}"
        for function in found.rows:
            if "_as_of(moment" in function or "trace" in function:
                assert any(MARKS[VICTIM] in row for row in found.rows[function]), f"fill {function}"


@pytest.mark.parametrize("role", GROUP_ROLES)
@pytest.mark.parametrize("state", ["arriving", "leaving", "gone"])
def test_where_a_customer_is_is_told_to_those_who_were_granted_it(filled: Ledger, role: str, state: str) -> None:
    with filled.superuser() as root, root.transaction(force_rollback=True):
        root.execute(
            "insert into aximo_private.placements (customer_id, state, node) values (%s, %s, 7)", [VICTIM, state]
        )
        for customers, told in (
            ((OWN,), []),
            ((), []),
            ((VICTIM,), [VICTIM]),
            ((OWN, VICTIM), [VICTIM]),
            (("*",), [VICTIM]),
        ):
            login = filled.login(f"stranger_{next(_numbers)}", role)
            for customer in customers:
                root.execute("select aximo.grant_customer(%s, %s)", [login, customer])
            for named in ("", OWN, VICTIM):
                root.execute(f"set local session authorization {login}")
                root.execute("select set_config('aximo.customer_id', %s, true)", [named])
                found = [customer for (customer,) in root.execute("select customer_id from aximo.placements")]
                assert found == told, (customers, named)
                # And what is here of one that is elsewhere is nobody's.
                if named == VICTIM:
                    row = root.execute("select aximo.current_customer()").fetchone()
                    assert row == (VICTIM if told and state == "leaving" else None,)
                root.execute("reset session authorization")


def test_what_postgres_itself_shows_every_login_holds_no_trace(filled: Ledger) -> None:
    views = ["pg_stats", "pg_stats_ext", "pg_stats_ext_exprs", "pg_sequences", "pg_prepared_statements", "pg_cursors"]
    views += ["pg_stat_activity", "pg_indexes", "pg_views", "pg_matviews", "pg_policies", "pg_settings", "pg_locks"]
    with filled.superuser() as root:
        root.execute("analyze")
    busy = filled.connect()
    busy.execute(f"set aximo.customer_id = '{VICTIM}'")
    busy.execute(f"select * from aximo.events where execution_id = '{EXECUTIONS[VICTIM]}'")
    for role in GROUP_ROLES:
        connection = stranger(filled, role)
        for view in views:
            for (row,) in connection.execute(f"select r::text from pg_catalog.{view} as r"):
                assert VICTIM not in row, (view, row)
                assert EXECUTIONS[VICTIM] not in row, (view, row)


# What EXPLAIN ANALYZE shows of a plan that reads everybody's rows.

#: Conditions on a column's type that a row of the victim meets and none of one's own, and the same met by nobody's row.
_PROBES = {
    "text": [(">= 'victimmark'", ">= 'victimmarz'"), ("= '{value}'", "= '{value}z'")],
    "uuid": [("<= 'aaaaaaaf-0000-4000-8000-000000000000'", "<= '00000000-0000-4000-8000-000000000000'")],
    "timestamp with time zone": [("< '2012-01-01Z'", "< '1999-01-01Z'")],
    "date": [("< '2012-01-01'", "< '1999-01-01'")],
    "bigint": [("between 900000000 and 990000000", "between 990000001 and 990000002")],
}


@pytest.mark.parametrize("forced", ["enable_indexscan, enable_bitmapscan, enable_indexonlyscan", "enable_seqscan", ""])
@pytest.mark.parametrize("role", GROUP_ROLES)
def test_a_plan_does_not_tell_whether_it_met_another_customers_row(filled: Ledger, role: str, forced: str) -> None:
    connection = stranger(filled, role)
    for setting in filter(None, forced.split(", ")):
        connection.execute(f"set {setting} = off")
    root = filled.superuser()
    tried = 0
    for relation in readable_relations(connection):
        names = readable_columns(connection, relation)
        if "customer_id" not in names:
            continue
        types = dict(
            root.execute(
                "select attname::text, format_type(atttypid, null) from pg_attribute where attrelid = %s::regclass",
                [relation],
            ).fetchall()
        )
        for column in names:
            if types[column] == "uuid" and "event_id" not in column:
                continue  # made by the database
            for met, unmet in _PROBES.get(types[column], []):
                value = (
                    VICTIM
                    if column == "customer_id"
                    else EXECUTIONS[VICTIM]
                    if column == "execution_id"
                    else "victimmark-type"
                )
                plans = []
                for condition in (met.format(value=value), unmet.format(value=value)):
                    query = f'explain (analyze, timing off, summary off, costs off) select * from {relation} where "{column}" {condition}'
                    # The first look marks index entries of one's own dead rows as such, and counts them.
                    connection.execute(query)
                    rows = connection.execute(query).fetchall()
                    plan = "\n".join(row[0] for row in rows if "Buffers" not in row[0] and "Planning" not in row[0])
                    plans.append(re.sub(r"'[^']*'", "'…'", re.sub(r"\d{8,}", "…", plan)))
                assert plans[0] == plans[1], (relation, column, met)
                tried += 1
    assert tried > (100 if role != "aximo_bi" else 50)


#: Read by logins themselves, so there is no view whose column could wait for the policy; docs/dba.md says so.
_READ_DIRECTLY = {"helix.runs", "helix.run_events"}


@pytest.mark.parametrize("forced", ["enable_indexscan, enable_bitmapscan, enable_indexonlyscan", "enable_seqscan", ""])
@pytest.mark.parametrize("role", ["aximo_reader", "aximo_operator"])
def test_a_plan_does_not_tell_whether_another_customers_document_has_a_key(
    filled: Ledger, role: str, forced: str
) -> None:
    # A subscript leaks nothing by itself, so PostgreSQL may look at it before the policy.
    connection = stranger(filled, role)
    for setting in filter(None, forced.split(", ")):
        connection.execute(f"set {setting} = off")
    root = filled.superuser()
    tried = set()
    for relation in set(readable_relations(connection)) - _READ_DIRECTLY:
        columns = root.execute(
            "select attname::text from pg_attribute"
            " where attrelid = %s::regclass and atttypid = 'jsonb'::regtype and attname = any(%s)",
            [relation, readable_columns(connection, relation)],
        ).fetchall()
        for (column,) in columns:
            for condition in ("is not null", "is null", "['x'] is not null"):
                plans = []
                for key in ("victimmark-key", "nobodymark-key"):
                    query = (
                        "explain (analyze, timing off, summary off, costs off)"
                        f" select * from {relation} where \"{column}\"['{key}'] {condition}"
                    )
                    connection.execute(query)
                    plan = "\n".join(row[0] for row in connection.execute(query) if "Buffers" not in row[0])
                    plans.append(plan.replace(key, "…"))
                assert plans[0] == plans[1], (relation, column, condition)
                tried.add(f"{relation}.{column}")
    assert {"aximo.events.payload", "aximo.execution_steps.payload", "aximo.log_entries.payload"} <= tried
    assert "helix.log_entries.data" in tried


# A session that works for one customer after the other.


@pytest.mark.parametrize("plan", ["force_generic_plan", "force_custom_plan", "auto"])
def test_a_prepared_statement_follows_the_setting(filled: Ledger, plan: str) -> None:
    connection = stranger(filled, "aximo_reader", customers=(OWN, VICTIM))
    connection.execute(f"set plan_cache_mode = {plan}")
    relations = [r for r in readable_relations(connection) if "customer_id" in readable_columns(connection, r)]
    relations.remove(BY_GRANT)
    for place, relation in enumerate(relations):
        connection.execute(f"prepare p{place} as select distinct customer_id from {relation}")
    for customer in (VICTIM, OWN, *[VICTIM] * 6, OWN, "nobody", "", OWN):
        connection.execute(f"set aximo.customer_id = '{customer}'")
        expected = [(customer,)] if customer in MARKS else []
        for place, relation in enumerate(relations):
            assert connection.execute(f"execute p{place}").fetchall() == expected, (relation, customer)


def test_a_function_that_was_called_for_one_customer_follows_the_setting(filled: Ledger) -> None:
    connection = stranger(filled, "aximo_reader", customers=(OWN, VICTIM))
    for customer in (VICTIM, OWN) * 4:
        connection.execute(f"set aximo.customer_id = '{customer}'")
        for other, execution in EXECUTIONS.items():
            steps = connection.execute("select customer_id from aximo.execution_trace(%s)", [execution]).fetchall()
            assert {c for (c,) in steps} == ({customer} if other == customer else set())


def test_a_cursor_never_mixes_customers(filled: Ledger) -> None:
    with stranger(filled, "aximo_reader", customers=(OWN, VICTIM)) as connection, connection.transaction():
        connection.execute(f"set local aximo.customer_id = '{OWN}'")
        connection.execute("declare c cursor for select customer_id from aximo.events")
        seen = connection.execute("fetch 2 from c").fetchall()
        connection.execute(f"set local aximo.customer_id = '{VICTIM}'")
        seen += connection.execute("fetch all from c").fetchall()
    assert seen == [(OWN,)] * STORED


@pytest.mark.parametrize("left", ["0|0|0", "|0|0", "-infinity|0|0", "{now}|0|0", "{now}|0|-infinity"])
def test_a_moment_left_by_an_earlier_transaction_changes_nothing(filled: Ledger, left: str) -> None:
    connection = stranger(filled, "aximo_reader")
    query = "select (select count(*) from aximo.events), (select count(*) from aximo.executions)"
    before = connection.execute(query).fetchone()
    with connection.transaction():
        row = connection.execute("select extract(epoch from now())::text").fetchone()
        assert row is not None
        connection.execute(f"set aximo.as_of = '{left.format(now=row[0])}'")
    assert connection.execute(query).fetchone() == before
    with connection.transaction():
        assert connection.execute(query).fetchone() == before
        assert connection.execute("select count(*) from aximo.executions_as_of('infinity')").fetchone() == (before[1],)
        assert connection.execute(query).fetchone() == before


# What a query's plan, its errors and its side effects give away.

_LEAK = """
create function pg_temp.leak(seen {type}) returns boolean language plpgsql cost 0.0000001 as
$$begin raise notice '%', seen; return true; end$$
"""


@pytest.mark.parametrize("role", GROUP_ROLES)
def test_a_cheap_leaky_function_is_shown_own_rows_only(filled: Ledger, role: str) -> None:
    connection = stranger(filled, role)
    shown: list[str] = []
    connection.add_notice_handler(lambda notice: shown.append(str(notice.message_primary)))
    connection.execute(_LEAK.format(type="text"))
    for relation in readable_relations(connection):
        columns = readable_columns(connection, relation)
        filters = [f"pg_temp.leak({relation.partition('.')[2]}::text)"]
        filters += [f'pg_temp.leak("{column}"::text)' for column in columns]
        filters += [f"pg_temp.leak(\"{column}\"::text) and customer_id = '{VICTIM}'" for column in columns]
        for condition in filters:
            if "customer_id" in condition and "customer_id" not in columns:
                continue
            shown.clear()
            connection.execute(f"select count(*) from {relation} where {condition}")
            connection.execute(f"select count(*) from {relation} group by {condition.partition(' and ')[0]}")
            assert not any(trace in text for text in shown for trace in TRACES[VICTIM]), (relation, condition)
            if relation == "aximo.events" and " and " not in condition:
                # A null argument is shown as well, so there is one notice a row and statement.
                assert len(shown) == 2 * STORED, condition


def test_a_condition_that_fails_on_the_others_rows_does_not_fail(filled: Ledger) -> None:
    # The victim's payload has text where this login's has a number: an error would show that text.
    connection = stranger(filled, "aximo_reader")
    query = "select count(*) from {} where (payload ->> 'number')::integer = 1"
    for relation in ("aximo.events", "aximo.execution_steps"):
        assert connection.execute(query.format(relation)).fetchone() != (0,)
    connection.execute("set aximo.customer_id = 'nobody'")
    for relation in ("aximo.events", "aximo.execution_steps"):
        assert connection.execute(query.format(relation)).fetchone() == (0,)


def estimates(plan: dict[str, Any]) -> list[Any]:
    """The numbers of a plan, node by node."""
    own = [plan["Node Type"], plan["Plan Rows"], plan["Plan Width"], plan["Total Cost"]]
    return own + [estimates(child) for child in plan.get("Plans", [])]


def test_estimates_do_not_tell_a_big_customer_from_one_that_does_not_exist(each_ledger: Ledger) -> None:
    fill(each_ledger)
    with each_ledger.superuser() as root:
        # A tenth of a percent of the table is this login's; nearly all of the rest is one customer's, one deployment's.
        root.execute(
            """
            insert into aximo_private.events
                (event_type, customer_id, deployment_id, skill_id, skill_version, execution_id, actor, correlation_id)
            select 'execution_triggered', %s, 'dep-1', 'skill-1', '1', 'exec-' || n, 'system', 'corr'
            from generate_series(1, 20000) as n
            """,
            [VICTIM],
        )
        root.execute("vacuum analyze aximo_private.events")
    connection = stranger(each_ledger, "aximo_reader", customers=(OWN,))
    victims = {"customer_id": VICTIM, "deployment_id": "dep-1", "skill_version": "1", "correlation_id": "corr"}
    tried = 0
    for relation in readable_relations(connection):
        for column in readable_columns(connection, relation):
            if column not in victims:
                continue
            plans = []
            for value in (victims[column], "x" * len(victims[column])):
                for condition in (f"{column} = '{value}'", f"{column} >= '{value}'", f"{column} in ('{value}', 'y')"):
                    row = connection.execute(
                        f"explain (format json) select * from {relation} where {condition}"
                    ).fetchone()
                    assert row is not None
                    plans.append(estimates(row[0][0]["Plan"]))
            assert plans[:3] == plans[3:], (relation, column)
            tried += 1
    assert tried >= len(victims)


def test_analyze_keeps_no_statistics_of_events(each_ledger: Ledger) -> None:
    # Of the table's columns, of index expressions, and of extended statistics: each feeds the estimates of every login.
    fill(each_ledger)
    with each_ledger.superuser() as root:
        root.execute("analyze")
        kept = root.execute(
            """
            select s.starelid::regclass::text, s.staattnum
            from pg_statistic as s join pg_class as c on c.oid = s.starelid
            left join pg_index as i on i.indexrelid = c.oid
            where exists (
                select from pg_attribute as a
                where a.attrelid = coalesce(i.indrelid, c.oid) and a.attname = 'customer_id'
            )
            and c.relnamespace in (select oid from pg_namespace where nspname = any(%s))
            and coalesce(i.indrelid, c.oid) <> 'aximo_private.customer_grants'::regclass
            """,
            [SCHEMAS],
        ).fetchall()
        extended = root.execute("select stxname from pg_statistic_ext").fetchall()
    assert kept == []
    assert extended == []


def test_the_access_map_tells_no_login_who_holds_what(filled: Ledger) -> None:
    for role in GROUP_ROLES:
        connection = stranger(filled, role)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("select * from aximo_private.customer_grants")


@pytest.mark.parametrize("role", GROUP_ROLES)
def test_the_private_schema_is_closed(filled: Ledger, role: str) -> None:
    connection = stranger(filled, role)
    assert connection.execute("select has_schema_privilege('aximo_private', 'usage')").fetchone() == (False,)
    assert connection.execute("select has_schema_privilege('aximo_private', 'create')").fetchone() == (False,)
    open_ones = connection.execute(
        """
        select c.relname
        from pg_class as c
        where c.relnamespace = 'aximo_private'::regnamespace and case
            when c.relkind = 'S' then has_sequence_privilege(c.oid, 'usage, select, update')
            when c.relkind in ('r', 'p', 'v', 'm', 'f') then
                has_table_privilege(c.oid, 'select, insert, update, delete, truncate, references, trigger')
                or has_any_column_privilege(c.oid, 'select, insert, update, references')
            else false
        end
        """
    ).fetchall()
    assert open_ones == []


@pytest.mark.parametrize("role", GROUP_ROLES)
def test_no_sequence_tells_how_much_others_write(filled: Ledger, role: str) -> None:
    with filled.superuser() as root:
        sequences = root.execute(
            """
            select c.oid, format('%I.%I', n.nspname, c.relname)
            from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
            where c.relkind = 'S' and n.nspname in ('aximo', 'aximo_private', 'aximo_metrics', 'helix')
            """
        ).fetchall()
    assert len(sequences) >= 1
    connection = stranger(filled, role)
    if role == "aximo_writer":
        with connection.transaction(force_rollback=True):
            emit(connection, "execution_triggered", "exec-sequence")
    # 55000: the session has drawn no number.
    asked = [("select lastval()", ("42501", "55000"))]
    for oid, name in sequences:
        asked += [
            (f"select currval({oid}::regclass)", ("42501", "55000")),
            (f"select nextval({oid}::regclass)", ("42501",)),
            (f"select setval({oid}::regclass, 1)", ("42501",)),
            (f"select currval('{name}')", ("42501",)),
            (f"select nextval('{name}')", ("42501",)),
            (f"select last_value from {name}", ("42501",)),
        ]
    for query, refusals in asked:
        with pytest.raises(psycopg.DatabaseError) as refusal:
            connection.execute(query)
        assert refusal.value.sqlstate in refusals, query
    for oid, _ in sequences:
        try:
            row = connection.execute("select pg_sequence_last_value(%s)", [oid]).fetchone()
        except psycopg.errors.InsufficientPrivilege:
            row = (None,)
        assert row == (None,)
    assert connection.execute(
        "select last_value from pg_sequences where schemaname = any(%s) and last_value is not null", [SCHEMAS]
    ).fetchall() == []  # fmt: skip


def test_no_relation_shows_system_columns_or_positions(filled: Ledger) -> None:
    # xmin and ctid order events of all customers.
    connection = stranger(filled, "aximo_reader")
    for relation in readable_relations(connection):
        columns = readable_columns(connection, relation)
        assert "position" not in columns
        if "customer_id" not in columns:
            continue
        for hidden in ("xmin", "xmax", "cmin", "cmax", "ctid", "tableoid", "position"):
            with pytest.raises((psycopg.errors.UndefinedColumn, psycopg.errors.InsufficientPrivilege)):
                connection.execute(f"select {hidden} from {relation}")


_STRONG_LOCKS = (
    "row share",
    "row exclusive",
    "share update exclusive",
    "share",
    "share row exclusive",
    "exclusive",
    "access exclusive",
)


@pytest.mark.parametrize("role", GROUP_ROLES)
def test_nobody_locks_what_he_may_only_read(filled: Ledger, role: str) -> None:
    connection = stranger(filled, role)
    for relation in ["aximo.events", "aximo_private.events", *readable_relations(connection)]:
        for mode in _STRONG_LOCKS:
            with pytest.raises(psycopg.DatabaseError) as refusal, connection.transaction():
                connection.execute(f"lock table {relation} in {mode} mode")
            assert refusal.value.sqlstate == "42501", (relation, mode)
        if (role, relation) == ("aximo_writer", "helix.runs"):
            continue  # whose state he changes: rows of his own
        for strength in ("update", "no key update", "share", "key share"):
            with pytest.raises(psycopg.DatabaseError) as refusal:
                connection.execute(f"select * from {relation} for {strength}")
            # 0A000: rows of a grouped or windowed view can't be locked by anybody.
            assert refusal.value.sqlstate in ("42501", "0A000"), (relation, strength)


@pytest.mark.parametrize("role", GROUP_ROLES)
def test_nobody_hooks_into_the_ledger(filled: Ledger, role: str) -> None:
    connection = stranger(filled, role)
    login = connection.info.user
    with filled.superuser() as root:
        root.execute(f"create schema own_{login} authorization {login}")
        schemas = [s for (s,) in root.execute("select nspname from pg_namespace where nspname = any(%s)", [SCHEMAS])]
    relations = ["aximo.events", "aximo_private.events", *readable_relations(connection)]
    attempts = [
        statement
        for schema in schemas
        for statement in (
            f"create table {schema}.mine ()",
            f"create view {schema}.mine as select 1",
            f"create sequence {schema}.mine",
            f"create type {schema}.mine as (a text)",
            f"create function {schema}.mine() returns integer language sql as 'select 1'",
            f"alter schema {schema} rename to taken",
        )
    ]
    anything = "execute function suppress_redundant_updates_trigger()"
    attempts += [
        statement
        for relation in relations
        for statement in (
            f"create trigger mine after insert on {relation} for each statement {anything}",
            f"create trigger mine instead of insert on {relation} for each row {anything}",
            f"create rule mine as on insert to {relation} do also notify mine",
            f"create policy mine on {relation} using (true)",
            f"create index on {relation} ((1))",
            f"create statistics own_{login}.s on customer_id, execution_id from {relation}",
            f"alter table {relation} disable trigger all",
            f"alter table {relation} owner to {login}",
            f"comment on table {relation} is 'mine'",
            f"analyze {relation}",
        )
    ]
    attempts += [
        f"create table own_{login}.r (event_type text references aximo.event_types)",
        f"create table own_{login}.c (a text, b uuid, foreign key (a, b) references aximo_private.events)",
        f"create table own_{login}.i () inherits (aximo.event_types)",
        f"create table own_{login}.l (e aximo_private.payload)",
        "alter function aximo.current_customer() volatile",
        "create or replace function aximo.current_customer() returns text language sql as 'select 1::text'",
        "grant aximo_owner to current_user",
        "set role aximo_owner",
        "set role aximo_recorder",
        "set role aximo_gatekeeper",
        f"set session authorization {DBA}",
        "set session_replication_role = replica",
    ]
    warnings: list[str] = []
    connection.add_notice_handler(lambda notice: warnings.append(str(notice.sqlstate)))
    for statement in attempts:
        warnings.clear()
        _, error = attempt(connection, statement)
        if error is None:
            # ANALYZE of what is not one's own only warns.
            assert statement.startswith("analyze") and warnings == ["01000"], statement  # noqa: PT018
        else:
            # 42809: not possible for that kind of relation.
            assert error.sqlstate in ("42501", "42809"), (statement, error)


# Writing.


def rows_of(ledger: Ledger) -> list[Any]:
    with ledger.superuser() as root:
        return root.execute("select e::text from aximo_private.events as e order by position").fetchall()


_UNGRANTED: dict[str, tuple[tuple[str, ...], str, str | None]] = {
    "bound, names the other in the call": ((OWN,), "", VICTIM),
    "bound, names the other in the setting": ((OWN,), VICTIM, None),
    "bound, names the other in both": ((OWN,), VICTIM, VICTIM),
    "bound, setting names the other, call its own": ((OWN,), VICTIM, OWN),
    "bound, setting names its own, call the other": ((OWN,), OWN, VICTIM),
    "bound, names everybody": ((OWN,), "", "*"),
    "bound, names an empty customer": ((OWN,), "", ""),
    "bound, sets everybody": ((OWN,), "*", None),
    "two, nothing named": ((OWN, VICTIM), "", None),
    "two, call differs from setting": ((OWN, VICTIM), OWN, VICTIM),
    "all, nothing named": (("*",), "", None),
    "all, call differs from setting": (("*",), OWN, VICTIM),
    "none, nothing named": ((), "", None),
    "none, names the other": ((), "", VICTIM),
    "none, sets the other": ((), VICTIM, None),
}


@pytest.mark.parametrize("case", _UNGRANTED)
def test_a_write_for_a_customer_not_granted_or_not_the_sessions_is_refused(filled: Ledger, case: str) -> None:
    customers, setting, named = _UNGRANTED[case]
    before = rows_of(filled)
    connection = stranger(filled, "aximo_operator", "aximo_writer", customers=customers)
    given = {} if named is None else {"customer_id": named}
    unnamed = event("execution_triggered", "exec-new")
    writes: list[tuple[str, list[Any]]] = [
        ("select aximo.emit_events(%s)", [Jsonb([{**unnamed, **given}])]),
        ("select aximo.emit_events(%s, %s)", [Jsonb([unnamed, {**unnamed, **given, "execution_id": "e2"}]), named]),
    ]
    if named != "*":
        # Named in the call of a batch, * stands for the customers that its events name; one that names none is the session's.
        writes.append(("select aximo.emit_events(%s, %s)", [Jsonb([unnamed]), named]))
    if named is None:
        writes.append(("select aximo.close_stale_executions('0')", []))
    fields = {**unnamed, **given}
    names = ", ".join(f"{name} => %s" for name in fields)
    writes.append((f"select aximo.emit_event({names})", list(fields.values())))
    connection.execute("select set_config('aximo.customer_id', %s, false)", [setting])
    for write, arguments in writes:
        with pytest.raises(psycopg.DatabaseError) as refusal:
            connection.execute(write, arguments)
        assert (refusal.value.sqlstate, refusal.value.diag.constraint_name) == ("ZXCUS", "customer_granted"), write
    assert rows_of(filled) == before


@pytest.mark.parametrize(("setting", "named"), [("", "*"), ("*", None), ("*", "*")])
def test_all_customers_are_no_customer_to_write_for(filled: Ledger, setting: str, named: str | None) -> None:
    before = rows_of(filled)
    connection = stranger(filled, "aximo_writer", customers=("*",))
    connection.execute("select set_config('aximo.customer_id', %s, false)", [setting])
    given = {} if named is None else {"customer_id": named}
    for write in (emit, lambda c, *a, **k: c.execute("select aximo.emit_events(%s)", [Jsonb([event(*a, **k)])])):
        with pytest.raises(psycopg.DatabaseError) as refusal:
            write(connection, "execution_triggered", "exec-new", **given)
        assert (refusal.value.sqlstate, refusal.value.diag.constraint_name) == ("ZXARG", "customer_id_not_all")
    assert rows_of(filled) == before


@pytest.mark.parametrize("place", [0, 1, 2])
def test_one_foreign_event_refuses_the_whole_batch(filled: Ledger, place: int) -> None:
    before = rows_of(filled)
    batch = [event("execution_triggered", f"e{n}", customer_id=OWN) for n in range(3)]
    batch[place]["customer_id"] = VICTIM
    for customers in ((OWN,), (OWN, VICTIM), ("*",)):
        connection = stranger(filled, "aximo_writer", customers=customers)
        with pytest.raises(psycopg.DatabaseError) as refusal:
            connection.execute("select aximo.emit_events(%s)", [Jsonb(batch)])
        assert refusal.value.sqlstate == "ZXCUS"
    assert rows_of(filled) == before


@pytest.mark.parametrize("function", ["emit_events", "import_events"])
def test_a_foreign_event_is_foreign_before_it_is_malformed(filled: Ledger, function: str) -> None:
    connection = stranger(filled, "aximo_operator", "aximo_writer", customers=(OWN,))
    batch = [event("sla_breached", None, customer_id=OWN), event("action_failed", None, customer_id=VICTIM)]
    with pytest.raises(psycopg.DatabaseError) as refusal:
        connection.execute(f"select aximo.{function}(%s)", [Jsonb(batch)])
    assert (refusal.value.sqlstate, refusal.value.diag.constraint_name) == ("ZXCUS", "customer_granted")


def test_a_refused_write_leaves_the_session_with_its_own_customer(filled: Ledger) -> None:
    connection = stranger(filled, "aximo_writer")
    with connection.transaction(force_rollback=True):
        with pytest.raises(psycopg.DatabaseError), connection.transaction():
            emit(connection, "execution_triggered", "exec-new", customer_id=VICTIM)
        assert connection.execute("select aximo.current_customer()").fetchone() == (OWN,)
        emit(connection, "execution_triggered", "exec-new")
        assert connection.execute("select distinct customer_id from aximo.events").fetchall() == [(OWN,)]


def test_a_call_that_names_its_customer_leaves_no_customer_behind(filled: Ledger) -> None:
    connection = stranger(filled, "aximo_writer", customers=("*",))
    with connection.transaction(force_rollback=True):
        emit(connection, "execution_triggered", "exec-new", customer_id=OWN)
        connection.execute("select aximo.emit_events(%s)", [Jsonb([event("sla_breached", None, customer_id=OWN)])])
        assert connection.execute("select aximo.current_customer()").fetchone() == (None,)
        assert connection.execute("select * from aximo.events").fetchall() == []


def test_a_login_for_all_customers_gets_the_first_receipts_again(filled: Ledger) -> None:
    # A call that names its customer works for that customer to its end, the receipts included.
    connection = stranger(filled, "aximo_writer", customers=("*",))
    stored = "select event_id, recorded_at from aximo_private.events where customer_id = %s order by position"
    first = filled.superuser().execute(stored, [OWN]).fetchall()
    receipts = connection.execute("select * from aximo.emit_events(%s)", [Jsonb(marked_events(OWN))]).fetchall()
    assert receipts == [(*receipt, True) for receipt in first[: len(receipts)]]
    again = [emit(connection, **e) for e in marked_events(OWN)]
    assert again == receipts


def test_no_id_of_one_customer_stands_in_the_way_of_another(filled: Ledger) -> None:
    # The same ids throughout: a conflict, or the lack of one, would tell that the other has them.
    connection = stranger(filled, "aximo_writer")
    same = [{**e, "customer_id": OWN} for e in marked_events(VICTIM)]
    with connection.transaction(force_rollback=True):
        receipts = connection.execute("select duplicate from aximo.emit_events(%s)", [Jsonb(same)]).fetchall()
        assert receipts == [(False,)] * len(same)
    with connection.transaction(force_rollback=True):
        for e in same:
            assert emit(connection, **e)[2] is False


def test_no_refusal_shows_a_value_in_its_message(filled: Ledger) -> None:
    connection = stranger(filled, "aximo_writer")
    mark, long = "secretmark", "secretmark" * 100
    good = {**event("execution_triggered", mark), "deployment_id": mark, "skill_id": mark, "skill_version": mark}
    text_fields = ("customer_id", "deployment_id", "skill_id", "skill_version", "execution_id", "event_type", "actor")
    malformed: list[Any] = [mark, [mark], None, 1, {mark: mark}]
    malformed += [
        {**good, field: value} for field in (*text_fields, *SHORT_TEXTS) for value in (long, {mark: mark}, [mark])
    ]
    malformed += [{**good, field: mark} for field in ("event_id", "timestamp", "latency_ms", "payload", "actor")]
    malformed += [{**good, "event_type": mark}, {**good, mark: mark}, {**good, "latency_ms": 1e300}]
    malformed += [
        {**good, "timestamp": moment} for moment in (f"2020-01-01 {mark}", "2020-13-77", "infinity", "99999-01-01")
    ]
    malformed += [{**good, "timestamp": "2020-01-01T00:00:00Z", "latency_ms": f"1{mark}"}]
    batches: list[tuple[Any, str]] = [([event], "ZXARG") for event in malformed]
    batches += [(mark, "ZXARG"), ({mark: mark}, "ZXARG"), ([{**good, "customer_id": mark}], "ZXCUS")]
    first = {**good, "event_id": "cccccccc-0000-4000-8000-000000000000", "payload": {mark: mark}}
    batches += [
        ([first, {**first, "payload": {mark: 2}}], "ZXDUP"),
        ([good, good], "ZXSEQ"),
        ([{**good, "event_type": "action_prepared"}], "ZXSEQ"),
        ([good, {**good, "event_type": "execution_processing", "skill_id": f"{mark}2"}], "ZXATT"),
    ]
    accepted = []
    for batch, code in batches:
        _, error = attempt(connection, "select aximo.emit_events(%s)", [Jsonb(batch)])
        if error is None:
            accepted.append(batch)
            continue
        # Another customer than the session's is refused as that, before its form is looked at.
        names_customer = isinstance(batch, list) and isinstance(batch[0], dict) and "customer_id" in batch[0]
        assert error.sqlstate in ({code, "ZXCUS"} if names_customer else {code}), (batch, error)
        spoken = (error.diag.message_primary, error.diag.message_hint, error.diag.constraint_name)
        assert mark not in str(spoken), batch
        assert all(spoken), batch
    assert accepted == []


# Giving and taking.


@pytest.mark.parametrize("role", [*GROUP_ROLES, None])
def test_only_members_of_the_owner_give_and_take_customers(filled: Ledger, role: str | None) -> None:
    connection = stranger(filled, *([role] if role else []))
    for function in ("grant_customer", "revoke_customer"):
        for customer in (VICTIM, OWN, "*"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(f"select aximo.{function}(%s, %s)", [connection.info.user, customer])


def test_a_customer_is_granted_and_revoked_at_once(each_ledger: Ledger) -> None:
    fill(each_ledger)
    connection = stranger(each_ledger, "aximo_writer", customers=())
    login = connection.info.user
    owner = each_ledger.connect()
    connection.execute("prepare p as select distinct customer_id from aximo.events")

    def seen() -> list[Any]:
        return connection.execute("execute p").fetchall()

    assert seen() == []
    owner.execute("select aximo.grant_customer(%s, %s)", [login, OWN])
    owner.execute("select aximo.grant_customer(%s, %s)", [login, OWN])
    assert seen() == [(OWN,)]
    with connection.transaction():
        emit(connection, "execution_triggered", "exec-1")
        owner.execute("select aximo.revoke_customer(%s, %s)", [login, OWN])
        assert seen() == []
        with pytest.raises(psycopg.DatabaseError) as refusal, connection.transaction():
            emit(connection, "execution_processing", "exec-1", customer_id=OWN)
        assert refusal.value.sqlstate == "ZXCUS"
    assert seen() == []


def test_a_repeatable_read_transaction_keeps_what_it_began_with_and_no_longer(each_ledger: Ledger) -> None:
    fill(each_ledger)
    connection = stranger(each_ledger, "aximo_reader")
    with connection.transaction():
        connection.execute("set transaction isolation level repeatable read")
        connection.execute("select count(*) from aximo.events")
        each_ledger.connect().execute("select aximo.revoke_customer(%s, %s)", [connection.info.user, OWN])
    assert connection.execute("select * from aximo.events").fetchall() == []


def test_a_grant_of_all_customers_holds_for_future_ones(each_ledger: Ledger) -> None:
    connection = each_ledger.as_service()
    emit(connection, "execution_triggered", customer_id="founded-today")
    connection.execute("set aximo.customer_id = 'founded-today'")
    assert connection.execute("select customer_id from aximo.events").fetchall() == [("founded-today",)]
    each_ledger.connect().execute("select aximo.revoke_customer('service', '*')")
    assert connection.execute("select customer_id from aximo.events").fetchall() == []


def test_a_group_role_passes_no_customer_on(each_ledger: Ledger) -> None:
    fill(each_ledger)
    owner = each_ledger.connect()
    connection = stranger(each_ledger, "aximo_reader", customers=())
    owner.execute("select aximo.grant_customer('aximo_reader', %s)", [OWN])
    assert connection.execute("select * from aximo.events").fetchall() == []
    connection.execute("set role aximo_reader")
    assert connection.execute("select * from aximo.events").fetchall() == []


def test_a_grant_outlives_a_dropped_login_only_until_it_is_revoked(each_ledger: Ledger) -> None:
    login = each_ledger.login("leaver", "aximo_reader", customers=(OWN,))
    with each_ledger.superuser() as root:
        root.execute(f"drop role {login}")
    each_ledger.connect().execute("select aximo.revoke_customer(%s, %s)", [login, OWN])
    with each_ledger.superuser() as root:
        assert root.execute("select * from aximo_private.customer_grants where role_name = 'leaver'").fetchall() == []


@pytest.mark.parametrize(
    ("call", "arguments", "rule"),
    [
        ("grant_customer", ["no_such_login", "c1"], "role_exists"),
        ("grant_customer", [None, "c1"], "role_exists"),
        ("grant_customer", ["DBA", "c1"], "role_exists"),
        ("grant_customer", [DBA, ""], "customer_id_present"),
        ("grant_customer", [DBA, None], "customer_id_present"),
        ("revoke_customer", [DBA, "c1"], "grant_exists"),
        ("revoke_customer", ["no_such_login", "c1"], "grant_exists"),
        ("revoke_customer", [None, None], "grant_exists"),
    ],
)
def test_a_grant_or_revocation_that_means_nothing_is_refused(
    one_ledger: Ledger, call: str, arguments: list[Any], rule: str
) -> None:
    with pytest.raises(psycopg.DatabaseError) as refusal:
        one_ledger.connect().execute(f"select aximo.{call}(%s, %s)", arguments)
    assert (refusal.value.sqlstate, refusal.value.diag.constraint_name) == ("ZXARG", rule)


def test_who_granted_what_is_on_record(one_ledger: Ledger) -> None:
    login = one_ledger.login("reader_on_record", "aximo_reader", customers=(OWN,))
    recorded = one_ledger.connect().execute(
        "select customer_id, granted_by, granted_at <= clock_timestamp()"
        " from aximo_private.customer_grants where role_name = %s",
        [login],
    )
    assert recorded.fetchall() == [(OWN, DBA, True)]


@pytest.mark.parametrize("role", [DBA, "aximo_owner", "aximo_gatekeeper"])
@pytest.mark.parametrize(
    "change",
    [
        "insert into {} (role_name, customer_id, granted_by) values ('dba', 'c1', 'somebody else')",
        "insert into {} (role_name, customer_id, granted_at) values ('dba', 'c1', '2001-01-01')",
        "insert into {} values ('dba', '*') on conflict (role_name, customer_id) do update set granted_by = 'nobody'",
        "update {} set granted_by = 'somebody else'",
        "update {} set customer_id = 'c1'",
        "truncate {}",
    ],
)
def test_nobody_rewrites_who_granted_what(one_ledger: Ledger, change: str, role: str) -> None:
    owner = one_ledger.connect()
    owner.execute(f"set role {role}")
    with owner.transaction(force_rollback=True):
        try:
            changed = owner.execute(change.format("aximo_private.customer_grants")).rowcount
        except psycopg.errors.InsufficientPrivilege:
            changed = 0
    assert changed == 0  # TRUNCATE says -1
