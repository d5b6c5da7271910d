"""Every stored column, changed by somebody whom no guard stops, and who notices it."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from aximo_db import tlog
from aximo_db.client.errors import ProofError
from aximo_db.client.events import Log
from aximo_db.dba.doctor import examine
from aximo_db.dba.verify_log import verify_log
from aximo_db.dba.verify_metrics import verify_metrics
from aximo_db.lines.exporter import export_log
from tests.conftest import Ledger
from tests.events import emit
from tests.log_support import advance_all, emit_many, of_customer
from tests.metrics_story import history

Connection = psycopg.Connection[Any]

KEEPER: Final = "noticed_keeper"
#: Who checks, and can number nothing.
AUDITOR: Final = "noticed_auditor"
#: The customer whose rows are changed, and the one whose events wait for their numbers.
CUSTOMER: Final = "c1"
WAITING: Final = "c3"
SCHEMAS: Final = ("aximo", "aximo_private", "aximo_metrics", "helix")
TAKEN: Final = "a row taken away"
ADDED: Final = "a row added"

#: What another value of a type is, of the column {0}.
OTHERS: Final = {
    "text": "{0} || 'x'",
    "character varying": "{0} || 'x'",
    "bigint": "{0} + 1000",
    "integer": "{0} + 1000",
    "numeric": "{0} + 1000000",
    "double precision": "{0} * 3 + 0.5",
    "boolean": "not {0}",
    "timestamp with time zone": "case when isfinite({0}) then {0} + interval '1 hour' else now() end",
    "interval": "{0} + interval '1 second'",
    "uuid": "gen_random_uuid()",
    "bytea": "sha256({0})",
    "jsonb": """{0} || '{{"forged": true}}'""",
    "xid8": "({0}::text::bigint + 1)::text::xid8",
    "smallint[]": "{0}[2:] || {0}[1] + 40::smallint",
    "bigint[]": "{0}[2:] || {0}[1] + 1000",
    "text[]": "{0} || 'x'::text",
    "uuid[]": "{0} || gen_random_uuid()",
    "pg_snapshot": "pg_current_snapshot()",
}
#: A value where there was none.
VALUES: Final = {
    "text": "'forged'",
    "bigint": "7",
    "integer": "7",
    "numeric": "7",
    "double precision": "0.5",
    "timestamp with time zone": "now()",
    "interval": "interval '1 second'",
    "pg_snapshot": "pg_current_snapshot()",
    "uuid": "gen_random_uuid()",
    "jsonb": """'{"forged": true}'""",
    "xid8": "'7'",
    "smallint[]": "'{7}'",
    "bigint[]": "'{7}'",
    "text[]": "'{forged}'",
}
#: Where another value has to be one of few, of a column or of all of that name.
MEANT: Final = {
    # Of a customer who has nothing else.
    ("", "customer_id"): "'c9'",
    ("", "bucket"): "{0} + interval '40 days'",
    ("", "day"): "{0} + interval '40 days'",
    ("", "grain"): "case {0} when 'day' then 'hour' else 'day' end",
    (
        "aximo_private.events",
        "event_type",
    ): "case {0} when 'sla_breached' then 'pressure_invoked' else 'sla_breached' end",
    ("aximo_private.events", "actor"): "case {0} when 'system' then 'founder' else 'system' end",
    ("aximo_private.checkpoints", "log"): "case {0} when 'events' then 'run_events' else 'events' end",
    ("aximo_private.log_cursors", "log"): "case {0} when 'events' then 'run_events' else 'events' end",
    ("aximo_private.log_entries", "log"): "case {0} when 'events' then 'run_events' else 'events' end",
    ("aximo_private.log_nodes", "log"): "case {0} when 'events' then 'run_events' else 'events' end",
    ("aximo_private.thresholds", "metric"): "case {0} when 'error_rate' then 'sla_breach_rate' else 'error_rate' end",
    ("aximo_private.thresholds", "level"): "case {0} when 'warning' then 'escalation' else 'warning' end",
    ("aximo_private.placements", "state"): "case {0} when 'gone' then 'leaving' else 'gone' end",
    ("aximo.event_types", "event_type"): "'sla_' || {0}",
    ("aximo.event_types", "category"): "case {0} when 'action' then 'approval' else 'action' end",
    ("helix.event_kinds", "family"): "case {0} when 'run' then 'exec' else 'run' end",
    ("helix.event_kinds", "state"): "case {0} when 'failed' then 'blocked' else 'failed' end",
    ("aximo_private.deployment_sums", "status_type"): "'deployment_suspended'",
    ("aximo_private.customer_grants", "role_name"): "'noticed_auditor'",
    # The hole is two positions wide.
    ("aximo_private.log_holes", "first_position"): "{0} + 1",
    ("aximo_private.log_holes", "last_position"): "{0} - 1",
    ("helix.runs", "status"): "case {0} when 'failed' then 'blocked' else 'failed' end",
}
#: From an event of an execution to one of none.
ORDER: Final = {
    "aximo_private.events": ["execution_id", "position"],
    "aximo_private.access_changes": ["is_granted", "changed_at"],
    "aximo_private.log_entries": ["number"],
}
#: What has to differ beside the primary key.
ALSO_UNIQUE: Final = {
    "aximo_private.events": {"step", "position"},
    "aximo_private.log_entries": {"event_id"},
}


@dataclass
class Audit:
    """A ledger with a row in every table, a superuser who has opened every guard, and what was true before."""

    ledger: Ledger
    root: Connection
    kept: dict[str, tlog.Checkpoint]
    columns: dict[str, dict[str, str]]
    nullable: set[tuple[str, str]]
    keys: dict[str, list[str]]
    healthy: set[tuple[str, str]] = field(default_factory=set)

    @property
    def dsn(self) -> str:
        return self.ledger.dsn(AUDITOR)

    def doctor(self) -> set[tuple[str, str]]:
        found = examine(self.ledger.dsn("postgres"), customers=[CUSTOMER])
        # How long executions have been open is another each time, and says nothing of a change.
        return {
            (each.check, each.message)
            for each in found
            if each.level in ("warning", "error") and each.check != "open executions"
        }

    def notices(self, who: str) -> bool:
        """Whether one who checks finds something wrong now."""
        if who == "verify":
            looked_at: tuple[tuple[str, Log], ...] = (
                (CUSTOMER, "events"),
                (CUSTOMER, "run_events"),
                (WAITING, "events"),
            )
            return not all(verify_log(self.dsn, customer_id=customer, log=log).ok for customer, log in looked_at)
        if who == "verify-metrics":
            return not verify_metrics(self.dsn, customer_id=CUSTOMER).ok
        if who == "doctor":
            return self.doctor() != self.healthy
        assert who == "checkpoint"
        for log, kept in self.kept.items():
            lines = io.StringIO()
            try:
                export_log(self.dsn, lines, customer_id=CUSTOMER, log=log)
            except ProofError:
                return True
            if not tlog.verify_export(lines.getvalue().encode().splitlines(keepends=True), kept).ok:
                return True
        return False

    def notices_when_refreshed(self, statement: sql.Composable) -> bool:
        """Whether metrics are found wrong when they are worked out of what was changed. Nothing of it is kept."""
        with self.root.transaction(force_rollback=True):
            self.root.execute(statement)
            self.root.execute("select from aximo.refresh_metrics(true)")
            self.root.execute("select set_config('aximo.customer_id', 'c1', true)")
            return bool(self.root.execute("select from aximo.verify_metrics() limit 1").fetchall())

    @contextmanager
    def forged(self, statement: sql.Composable, table: str) -> Iterator[int]:
        """Changes one row, and puts it back as it was."""
        name = sql.Identifier(*table.split("."))
        with self.root.transaction():
            self.root.execute(
                sql.SQL("create temporary table before as select t.ctid as place, t.* from {} as t").format(name)
            )
            changed = self.root.execute(statement).rowcount
        try:
            yield changed
        finally:
            columns = sql.SQL(", ").join(map(sql.Identifier, self.columns[table]))
            with self.root.transaction():
                self.root.execute(
                    sql.SQL(
                        "delete from {0} as t where not exists (select from before as b where b.place = t.ctid)"
                    ).format(name)
                )
                self.root.execute(
                    sql.SQL(
                        "insert into {0} ({1}) overriding system value select {1} from before as b"
                        " where not exists (select from {0} as t where t.ctid = b.place)"
                    ).format(name, columns)
                )
            self.root.execute("drop table before")

    def rows(self, table: str, condition: sql.Composable) -> list[str]:
        """The first and the last row that meets a condition, of a metric those of each grain.

        Rows are the customer's, if the table has any of them.
        """
        name, order = (
            sql.Identifier(*table.split(".")),
            sql.SQL(", ").join(map(sql.Identifier, ORDER.get(table, self.keys[table]))),
        )
        shown, grain = sql.SQL("true"), sql.SQL("null")
        if "grain" in self.columns[table]:
            # When an hour, its day and its month begin at one moment, which of their rows comes last is anybody's guess.
            shown, grain = sql.SQL("grain <> 'customer'"), sql.SQL("grain")
        own = sql.SQL("customer_id = 'c1'") if "customer_id" in self.columns[table] else sql.SQL("true")
        if not self.root.execute(sql.SQL("select from {} where {} limit 1").format(name, own)).fetchall():
            own = sql.SQL("true")
        query = sql.SQL("select ctid::text, {}::text from {} where {} and {} and {} order by {}").format(
            grain, name, own, shown, condition, order
        )
        found: dict[str | None, list[str]] = {}
        for place, its in self.root.execute(query):
            found.setdefault(its, []).append(place)
        return [place for places in found.values() for place in dict.fromkeys([places[0], places[-1]])]

    def changes(self, table: str, column: str) -> Iterator[tuple[str, sql.Composable]]:
        """Each way to change a column: another value, none, one where there was none; or to take away or add a row."""
        name = sql.Identifier(*table.split("."))
        if column == TAKEN:
            for place in self.rows(table, sql.SQL("true")):
                yield f"the row at {place}", sql.SQL("delete from {} where ctid = {}").format(name, sql.Literal(place))
            return
        if column == ADDED:
            for place in self.rows(table, sql.SQL("true"))[-1:]:
                yield "a copy with another key", self._copy(table, place)
            return
        kind = self.columns[table][column]
        identifier = sql.Identifier(column)
        present, absent = sql.SQL("{} is not null").format(identifier), sql.SQL("{} is null").format(identifier)
        ways: list[tuple[str, sql.Composable, sql.Composable]] = [
            ("another value", present, self._other(table, column))
        ]
        if (table, column) in self.nullable:
            ways.append(("no value", present, sql.SQL("null")))
            meant = MEANT.get((table, column))
            value = sql.SQL(VALUES[kind]) if meant is None else sql.SQL(meant).format(identifier)
            ways.append(("a value where there was none", absent, value))
        for way, condition, value in ways:
            for place in self.rows(table, condition):
                yield (
                    f"{way} at {place}",
                    sql.SQL("update {} set {} = {} where ctid = {}").format(
                        name, identifier, value, sql.Literal(place)
                    ),
                )

    def _other(self, table: str, column: str) -> sql.Composable:
        meant = MEANT.get((table, column)) or MEANT.get(("", column)) or OTHERS[self.columns[table][column]]
        return sql.SQL(meant).format(sql.Identifier(column))

    def _copy(self, table: str, place: str) -> sql.Composable:
        keys = self.keys[table]
        other = {column for column in keys if column not in ("customer_id", "log", "grain")}
        other = other or set(keys) - {"customer_id"} or set(keys)
        other |= ALSO_UNIQUE.get(table, set())
        values = [
            self._other(table, column) if column in other else sql.Identifier(column) for column in self.columns[table]
        ]
        return sql.SQL("insert into {0} ({1}) overriding system value select {2} from {0} where ctid = {3}").format(
            sql.Identifier(*table.split(".")),
            sql.SQL(", ").join(map(sql.Identifier, self.columns[table])),
            sql.SQL(", ").join(values),
            sql.Literal(place),
        )


def audited(ledger: Ledger) -> Audit:
    """A ledger in which every table has rows."""
    ledger.login("noticed_reader", "aximo_reader", customers=(CUSTOMER,))
    ledger.login(AUDITOR, "aximo_auditor", "aximo_bi", customers=("*",))
    service = ledger.connect(
        ledger.login(KEEPER, "aximo_writer", "aximo_operator", "aximo_auditor", "aximo_bi", customers=("*",))
    )
    ledger.connect().execute("select aximo.grant_customer('postgres', '*')")
    for change in ("revoke_customer", "grant_customer"):
        ledger.connect().execute(f"select aximo.{change}('noticed_reader', 'c1')")
    service.execute("select set_config('aximo.customer_id', 'c1', false)")
    _tell(service)
    root = ledger.superuser()
    _run(root)
    emit_many(service, 300)
    for log in ("events", "run_events"):
        service.execute("select aximo.open_cursor(%s, %s)", (f"consumer of {log}", log))
    for deployment in ("dep-1", None):
        service.execute("select aximo.set_threshold('error_rate', 'warning', 0.1, %s)", (deployment,))
    service.execute("select aximo.set_high_risk_levels('{high}')")
    service.execute("reset aximo.customer_id")
    emit_many(service, 3, "c2")
    kept = {}
    advance_all(service)
    service.execute("select from aximo.refresh_metrics()")
    for log in ("events", "run_events"):
        text = of_customer(service, CUSTOMER, "select aximo.checkpoint_text(null, %s)", log)[0][0]
        of_customer(service, CUSTOMER, "select aximo.add_checkpoint(%s)", text)
        kept[log] = tlog.parse_checkpoint(text)
    of_customer(service, CUSTOMER, "select aximo.record_erasure(array[gen_random_uuid()], 'asked')")
    of_customer(service, "c2", "select aximo.set_lead_action_types('{lead_capture, store_lead}')")
    _leave_a_hole(ledger, service)
    root.execute("insert into aximo_private.placements (customer_id, state, node) values ('c8', 'gone', 7)")

    columns: dict[str, dict[str, str]] = {}
    nullable = set()
    for table, column, kind, required in root.execute(
        """
        select format('%%s.%%s', n.nspname, c.relname), a.attname, format_type(coalesce(nullif(t.typbasetype, 0), a.atttypid), null), a.attnotnull
        from pg_class as c
        inner join pg_namespace as n on n.oid = c.relnamespace
        inner join pg_attribute as a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
        inner join pg_type as t on t.oid = a.atttypid
        where n.nspname = any(%s) and c.relkind in ('r', 'p')
        order by 1, a.attnum
        """,
        (list(SCHEMAS),),
    ):
        columns.setdefault(table, {})[column] = kind
        if not required:
            nullable.add((table, column))
    keys: dict[str, list[str]] = {}
    for table, column in root.execute(
        "select i.indrelid::regclass::text, a.attname from pg_index as i"
        " inner join pg_attribute as a on a.attrelid = i.indrelid and a.attnum = any(i.indkey) where i.indisprimary"
    ):
        keys.setdefault(table, []).append(column)
    # The guards: triggers, foreign keys among them. Checks and unique indexes stay: what lacks one is drift for as long as the row is there.
    for table in columns:
        root.execute(f"alter table {table} disable trigger all")
    audit = Audit(ledger, root, kept, columns, nullable, keys)
    audit.healthy = audit.doctor()
    return audit


def _tell(service: Connection) -> None:
    """What happens in a ledger: deployments, lives with and without approvals, and a history with its mistakes."""
    from tests.test_rows import tell

    service.execute("select from aximo.emit_events(%s)", (Jsonb(history()),))
    for kind in (
        "deployment_created",
        "deployment_activated",
        "version_upgraded",
        "pressure_invoked",
        "escalation_triggered",
    ):
        emit(service, kind, None, deployment_id="dep-1")
    tell(service)
    # A day on which nothing ran, so that there are no rates.
    emit(service, "sla_breached", None, timestamp="2026-01-07T12:00:00Z")
    emit(service, "sla_breached", None, deployment_id="quiet")
    emit(service, "execution_triggered", "rich")
    emit(
        service, "execution_processing", "rich", risk_level="high", approval_mode="founder", correlation_id="k", channel_type="web",
        latency_ms=12, error_code="E", payload={"n": 1},
    )  # fmt: skip


def _run(root: Connection) -> None:
    """A run that ended, one that waits, and one that observed."""
    root.execute("select set_config('aximo.customer_id', 'c1', false)")
    for name in ("r1", "r2"):
        root.execute(
            "insert into helix.runs (run_id, project_id, tool_name, contract_version, params_hash, policy_hash, status, customer_id)"
            " values (%s, 'p', 'align', 'v1', 'h', 'h', 'queued', 'c1')",
            (name,),
        )
    root.execute(
        "insert into helix.runs (run_id, project_id, tool_name, contract_version, tool_version, params_hash, policy_hash, status, requested_by,"
        " started_at, finished_at, policy_snapshot, environment, exit_code, error, result_json, log_artifact_id, customer_id, execution_id)"
        """ values ('r3', 'p', 'align', 'v1', '1', 'h', 'h', 'succeeded', 'me', now(), now(), '{}', '{}', 0, 'e', '{"n": 1}', 'a', 'c1', 'a')"""
    )
    for run, kind, data, extra in (
        ("r1", "run.queued", None, None), ("r1", "run.started", {"now": 1}, {"more": 1}), ("r1", "run.succeeded", {}, None),
        ("r2", "run.queued", None, None), ("r3", "studio.command", None, None),
    ):  # fmt: skip
        root.execute(
            "insert into helix.run_events (run_id, kind, message, data, extra, customer_id) values (%s, %s, %s, %s, %s, 'c1')",
            (
                run,
                kind,
                None if data is None else "m",
                data if data is None else Jsonb(data),
                extra if extra is None else Jsonb(extra),
            ),
        )
    for number in (1, 2):
        root.execute(
            "insert into aximo_private.observations (customer_id, run_id, target_run_id) values ('c1', %s, 'r1')",
            (f"o{number}",),
        )


def _leave_a_hole(ledger: Ledger, service: Connection) -> None:
    """Two events whose positions were passed, and which have no number yet."""
    with psycopg.connect(ledger.dsn(KEEPER)) as late:
        for _ in range(2):
            emit(late, "sla_breached", None, customer_id=WAITING)
        emit(service, "sla_breached", None, customer_id="c2")
        advance_all(service)
