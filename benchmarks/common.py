"""What the benchmarks share: the lives of executions, the bare tables beside the ledger, and how both are written.

Only the ledger's public functions and views are used, so that a figure can be compared with that of another schema.
"""

from __future__ import annotations

import json
import random
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from aximo_db import NewEvent
from aximo_db.local.ledger import DATABASE, OWNER, LocalLedger

#: The types and payloads of an execution's events, in order.
Life = Sequence[tuple[str, dict[str, Any]]]

START: Life = (
    ("execution_triggered", {"channel": "web", "received_at": "2026-01-01T00:00:00+00:00"}),
    ("execution_processing", {}),
)


def actions(count: int) -> Life:
    """So many actions, each prepared and dispatched."""
    kinds = ("lead_capture", "send_email", "book_meeting")
    return [
        (step, {"action_type": kinds[number % 3]})
        for number in range(count)
        for step in ("action_prepared", "action_dispatched")
    ]


#: Executions of seven events, as an agent runtime emits them, without an approval and with one.
PLAIN: Life = (*START, *actions(2), ("execution_completed", {"actions_count": 2}))
APPROVED: Life = (
    *START,
    ("action_prepared", {"action_type": "lead_capture"}),
    ("approval_requested", {"reason": "a first message to a new contact"}),
    ("approval_granted", {"reason": "known to us"}),
    ("action_dispatched", {"action_type": "lead_capture"}),
    ("execution_completed", {"actions_count": 1}),
)
FAILED: Life = (
    *START,
    ("sla_breached", {"sla": "first_answer", "limit_ms": 5000, "took_ms": 7100}),
    ("execution_failed", {"error": "the mail server did not answer"}),
)
#: Of three executions one has an approval: of 21 events two are about one, a tenth.
MIX: Sequence[Life] = (PLAIN, APPROVED, PLAIN)

#: A login as a service has it: it emits and reads for one customer.
WRITER = "bench_writer"
CUSTOMER = "bench"

COLUMNS = (
    "event_type", "customer_id", "deployment_id", "skill_id", "skill_version", "execution_id", "actor", "payload",
    "timestamp", "event_id",
)  # fmt: skip
NAMES = ", ".join(f'"{name}"' for name in COLUMNS)
BARE_TABLE = """
create table if not exists public.{} (
    event_id uuid, event_type text, "timestamp" timestamptz, customer_id text, deployment_id text, skill_id text,
    skill_version text, execution_id text, risk_level text, approval_mode text, actor text, payload jsonb,
    correlation_id text, channel_type text, error_code text, latency_ms bigint, recorded_at timestamptz default now(),
    recorded_by text default session_user, primary key (customer_id, event_id)
);
"""
#: ``bare`` is written to, and has its primary key only; ``bare_read`` has the index of what is looked up.
BARE_TABLES = (
    BARE_TABLE.format("bare")
    + BARE_TABLE.format("bare_read")
    + "create index if not exists bare_by_execution on public.bare_read (customer_id, execution_id);"
    + "grant select, insert on public.bare, public.bare_read to public;"
)
BARE = f"insert into public.bare ({NAMES}) values ({', '.join(['%s'] * len(COLUMNS))}) returning recorded_at"
BARE_BATCH = (
    f"insert into public.bare ({NAMES}) select {NAMES} from jsonb_to_recordset(%s) as x("
    "event_type text, customer_id text, deployment_id text, skill_id text, skill_version text, execution_id text,"
    ' actor text, payload jsonb, "timestamp" timestamptz, event_id uuid)'
)
EMIT = f"select * from aximo.emit_event({', '.join(f'{name} => %s' for name in NAMES.split(', '))})"
EMIT_BATCH = "select * from aximo.emit_events(%s)"
TRACE = "select * from aximo.execution_trace(%s)"
BARE_TRACE = (
    f"select * from public.bare_read where customer_id = '{CUSTOMER}' and execution_id = %s"
    ' order by "timestamp", event_id'
)


def written(
    life: Life,
    *,
    customer: str = CUSTOMER,
    deployment: str = "dep-acme-web",
    execution: str | None = None,
    began: datetime | None = None,
) -> list[NewEvent]:
    """The events of an execution that lives that life; now, or a second apart from the moment it began."""
    name = execution if execution is not None else str(uuid.uuid4())
    return [
        NewEvent(
            event_type=event_type,
            customer_id=customer,
            deployment_id=deployment,
            skill_id="leadcapture_hvac",
            skill_version="v1.0",
            execution_id=name,
            actor="system",
            payload=payload,
            timestamp=datetime.now(UTC) if began is None else began + timedelta(seconds=place),
        )
        for place, (event_type, payload) in enumerate(life)
    ]


def mixed(executions: int, customer: str = CUSTOMER) -> list[NewEvent]:
    """The events of so many executions that live as the mix does."""
    return [event for number in range(executions) for event in written(MIX[number % 3], customer=customer)]


def values(event: NewEvent) -> Sequence[Any]:
    """The values of a bare INSERT, and of ``aximo.emit_event``."""
    return [Jsonb(event.payload) if name == "payload" else getattr(event, name) for name in COLUMNS]


def as_text(events: Sequence[NewEvent]) -> str:
    """Events as the argument of ``aximo.emit_events``."""
    return json.dumps([event.as_json() for event in events], separators=(",", ":"))


def per_item(work: Callable[[Any], object], items: Sequence[Any]) -> float:
    """Seconds an item."""
    began = time.perf_counter()
    for item in items:
        work(item)
    return (time.perf_counter() - began) / len(items)


def advance_all(connection: psycopg.Connection[Any]) -> int:
    """Numbers everything."""
    numbered: int = 0
    while True:
        row = connection.execute("select numbered, is_behind from aximo.advance_log()").fetchone()
        assert row is not None
        numbered += row[0]
        if not row[1]:
            return numbered


def fill(connection: psycopg.Connection[Any], count: int, *, bare: bool = True) -> None:
    """Emits about so many events of the mix, and writes them to both bare tables."""
    lives = [written(MIX[number % 3]) for number in range(count // 7)]
    random.Random(13).shuffle(lives)
    for start in range(0, len(lives), 100):
        text = as_text([event for life in lives[start : start + 100] for event in life])
        connection.execute(EMIT_BATCH, (text,))
        if bare:
            for table in ("bare", "bare_read"):
                connection.execute(BARE_BATCH.replace("public.bare", f"public.{table}"), (text,))


@contextmanager
def setting_up(bin_dir: Path | None, settings: dict[str, str] | None = None) -> Iterator[tuple[LocalLedger, Path]]:
    """A ledger of its own with the bare tables and the writer's login, and a folder to work in; both go afterwards."""
    with TemporaryDirectory(prefix="aximo-bench-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        ledger = LocalLedger(
            folder / "data", bin_dir=bin_dir, settings={"shared_buffers": "512MB", "jit": "off", **(settings or {})}
        )
        try:
            ledger.start()
            with psycopg.connect(ledger.dsns()["owner"], autocommit=True) as owner:
                owner.execute(BARE_TABLES)
                make_login(owner, WRITER, "aximo_writer", CUSTOMER)
            yield ledger, folder
        finally:
            ledger.server.stop("immediate")


def make_login(owner: psycopg.Connection[Any], name: str, role: str, customer: str) -> None:
    """A login with that role and that customer."""
    owner.execute(sql.SQL("create role {} login").format(sql.Identifier(name)))
    owner.execute(sql.SQL("grant {} to {}").format(sql.Identifier(role), sql.Identifier(name)))
    owner.execute("select aximo.grant_customer(%s, %s)", (name, customer))


def version_of(ledger: LocalLedger) -> str:
    """The server's version."""
    with psycopg.connect(ledger.server.dsn(OWNER, DATABASE)) as connection:
        return str(connection.info.parameter_status("server_version")).split()[0]
