"""Nobody changes or deletes an event: not the owner, not a replica, not a superuser who forgot where he is."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from tests.conftest import DBA, Ledger
from tests.events import BASE, emit, emit_life

SCHEMAS = ["aximo", "aximo_private", "aximo_metrics", "helix"]
EVENTS = "aximo_private.events"

# The tables that may change, each for a reason. Every other table of the ledger, present and future, is append-only.
CHANGEABLE = {
    "aximo_private.customer_grants",  # access is given and taken away
    "aximo_private.alembic_version",  # Alembic's own, one row
    "helix.runs",  # the state of a run; what it is and which events it has is kept by a guard
    "aximo_private.log_state",  # the lock of who numbers
    "aximo_private.logs",  # how far the numbering is
    "aximo_private.log_holes",  # what may still come
    "aximo_private.log_cursors",  # how far consumers are
    "aximo_private.executions",  # how executions and approvals stand, which follows from events and can be told again
    "aximo_private.approvals",
    # Sums, which follow from the log and can be counted again
    "aximo_private.activity_sums",
    "aximo_private.action_sums",
    "aximo_private.deployment_sums",
    "aximo_private.run_sums",
    "aximo_private.run_states",
    "aximo_private.counted_logs",
    "aximo_private.uncounted_logs",
    "aximo_private.unjudged_leads",
    "aximo_private.metric_state",  # how far they are
    # What a refresh worked out of the sums
    "aximo_private.activity_kept",
    "aximo_private.actions_kept",
    "aximo_private.deployments_kept",
    "aximo_private.runs_kept",
    "aximo_private.counted_kept",
    "aximo_private.placements",
}

_KEYS = {
    EVENTS: ("customer_id", "event_id"),
    "aximo.event_types": ("event_type",),
    "helix.run_events": ("event_id",),
    "helix.event_kinds": ("kind", "version"),
    "aximo_private.observations": ("customer_id", "run_id"),
    "aximo_private.run_ids": ("run_id",),
    "aximo_private.log_entries": ("customer_id", "log", "number"),
    "aximo_private.log_nodes": ("customer_id", "log", "level", "index"),
    "aximo_private.violations": ("customer_id", "event_id"),
    "aximo_private.known_deployments": ("customer_id", "deployment_id", "event_id"),
    "aximo_private.checkpoints": ("customer_id", "checkpoint_id"),
    "aximo_private.erasures": ("customer_id", "erasure_id"),
    "aximo_private.access_changes": ("customer_id", "change_id"),
    "aximo_private.thresholds": ("customer_id", "setting_id"),
    "aximo_private.metric_lists": ("customer_id", "setting_id"),
}
_COLUMNS = {
    EVENTS: "payload",
    "aximo.event_types": "meaning",
    "helix.run_events": "data",
    "helix.event_kinds": "meaning",
    "aximo_private.observations": "target_run_id",
    "aximo_private.run_ids": "customer_id",
    "aximo_private.log_entries": "leaf",
    "aximo_private.log_nodes": "hash",
    "aximo_private.violations": "rule",
    "aximo_private.known_deployments": "deployment_id",
    "aximo_private.checkpoints": "note",
    "aximo_private.erasures": "reason",
    "aximo_private.thresholds": "value",
    "aximo_private.metric_lists": "items",
    "aximo_private.access_changes": "role_name",
}


def attacks(table: str) -> list[str]:
    """Every statement that changes, replaces or removes rows of a table, with rows to meet and without."""
    column, keys = _COLUMNS[table], _KEYS[table]
    same = " and ".join(f"t.{key} = s.{key}" for key in keys)
    conflict = ", ".join(keys)
    return [
        f"update {table} set {column} = {column}",
        f"update {table} set {column} = {column} where false",
        f"update {table} as t set {column} = s.{column} from {table} as s where {same}",
        f"delete from {table}",
        f"delete from {table} where false",
        f"delete from {table} as t using {table} as s where {same}",
        f"with gone as (delete from {table} returning *) select count(*) from gone",
        f"with changed as (update {table} set {column} = {column} returning 1) select count(*) from changed",
        f"truncate {table}",
        f"truncate only {table} cascade",
        f"truncate {table} restart identity cascade",
        f"truncate aximo_private.events, aximo.event_types, {table} cascade",
        f"merge into {table} as t using {table} as s on {same} when matched then update set {column} = s.{column}",
        f"merge into {table} as t using {table} as s on {same} when matched then delete",
        f"merge into {table} as t using {table} as s on false when matched then delete",
        f"insert into {table} table {table} on conflict ({conflict}) do update set {column} = excluded.{column}",
        f"insert into {table} select * from {table} where false on conflict ({conflict}) do update set {column} = null",
    ]


ATTACKS = [
    *(attack for table in _KEYS for attack in attacks(table)),
    "update aximo.events set recorded_by = 'somebody'",
    "update aximo.events set recorded_at = now() where false",
    "delete from aximo.events",
    "delete from aximo.events where false",
]

ACTORS = {
    "the login that installed": (DBA, []),
    "the owner of the tables": (DBA, ["set role aximo_owner"]),
    "the owner, working for the customer": (DBA, ["set role aximo_owner", "set aximo.customer_id = 'c1'"]),
    "a superuser": ("postgres", []),
    "a superuser applying as a replica": ("postgres", ["set session_replication_role = replica"]),
    "a superuser with the switches off": (
        "postgres",
        ["set session_replication_role = local", "set aximo.customer_id = '*'", "set check_function_bodies = off"],
    ),
}


def contents(ledger: Ledger) -> list[Any]:
    """Every row of every append-only table byte by byte, with the place and the transaction that put it there."""
    with ledger.superuser() as root:
        return [
            (table, *row)
            for table in append_only_tables(root)
            for row in root.execute(
                f"select t.ctid::text, t.xmin::text, encode(record_send(t), 'hex') from {table} as t order by t.ctid"
            )
        ]


def derive(ledger: Ledger) -> None:
    """A row in every append-only table that is derived from events."""
    with ledger.superuser() as root:
        root.execute("select aximo.advance_log()")
        for statement in (
            "insert into helix.runs (run_id, project_id, tool_name, contract_version, params_hash, policy_hash, status, customer_id)"
            " values ('r1', 'p', 't', 'v1', 'h', 'h', 'running', 'c1')",
            "insert into helix.run_events (run_id, kind, customer_id) values ('r1', 'run.started', 'c1')",
            "insert into aximo_private.observations (customer_id, run_id, target_run_id) values ('c1', 'r2', 'r1')",
            "insert into aximo_private.log_nodes values (0, 1, 'events', 'c1', '')",
            "insert into aximo_private.violations (event_id, customer_id, execution_id, rule)"
            " values (gen_random_uuid(), 'c1', 'e', 'r')",
            "insert into aximo_private.checkpoints (size, log, customer_id, root, note) values (0, 'events', 'c1', sha256(''), '')",
            "insert into aximo_private.erasures (erasure_id, log_size, customer_id, key_ids, reason)"
            " values (gen_random_uuid(), 0, 'c1', array[gen_random_uuid()], 'asked')",
        ):
            root.execute(statement)


def append_only_tables(connection: psycopg.Connection[Any]) -> list[str]:
    tables = connection.execute(
        """
        select format('%%I.%%I', n.nspname, c.relname)
        from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
        where n.nspname = any(%s) and c.relkind in ('r', 'p', 'f') order by 1
        """,
        [SCHEMAS],
    )
    return [name for (name,) in tables if name not in CHANGEABLE]


def refusal_of(connection: psycopg.Connection[Any], statement: str) -> psycopg.DatabaseError:
    with pytest.raises(psycopg.DatabaseError) as refusal:
        connection.execute(statement)
    connection.rollback()
    return refusal.value


@pytest.mark.parametrize("actor", ACTORS)
def test_no_statement_changes_a_row(ledger: Ledger, actor: str) -> None:
    emit_life(ledger.connect(), "c1")
    derive(ledger)
    before = contents(ledger)
    user, preparations = ACTORS[actor]
    with ledger.connect(user) as connection:
        for preparation in preparations:
            connection.execute(preparation)
        for attack in ATTACKS:
            refusal = refusal_of(connection, attack)
            if refusal.sqlstate == "42501" and attack.startswith("insert") and user == DBA:
                continue  # refused as an INSERT before it could be refused as an UPDATE
            assert (refusal.sqlstate, refusal.diag.constraint_name) == ("ZXIMM", "append_only"), attack
            assert refusal.diag.message_hint
    assert contents(ledger) == before
    assert len([row for row in before if row[0] == EVENTS]) == 5


@pytest.mark.parametrize("role", ["aximo_recorder", "aximo_gatekeeper"])
def test_the_roles_behind_the_functions_may_not_even_try(ledger: Ledger, role: str) -> None:
    emit_life(ledger.connect(), "c1")
    before = contents(ledger)
    with ledger.connect() as connection:
        connection.execute(f"set role {role}")
        connection.execute("set aximo.customer_id = 'c1'")
        for attack in ATTACKS:
            assert refusal_of(connection, attack).sqlstate == "42501", attack
    assert contents(ledger) == before


@pytest.mark.parametrize("role", ["aximo_writer", "aximo_reader", "aximo_operator", "aximo_auditor", "aximo_bi"])
def test_no_service_changes_a_row(each_ledger: Ledger, role: str) -> None:
    emit_life(each_ledger.connect(), "c1")
    connection = each_ledger.as_customer("c1", role)
    before = contents(each_ledger)
    for attack in ATTACKS:
        assert refusal_of(connection, attack).sqlstate in ("42501", "ZXIMM"), attack
    assert contents(each_ledger) == before


@pytest.mark.parametrize("replication", ["origin", "replica"])
@pytest.mark.parametrize("disabled", ["append_only_row", "append_only_statement"])
def test_each_guard_is_enough_by_itself(each_ledger: Ledger, disabled: str, replication: str) -> None:
    # Logical replication fires row guards only, and a statement that finds no row fires statement guards only.
    emit_life(each_ledger.connect(), "c1")
    derive(each_ledger)
    before = contents(each_ledger)
    with each_ledger.superuser() as root:
        root.execute(f"set session_replication_role = {replication}")
        for table, column in _COLUMNS.items():
            root.execute(f"alter table {table} disable trigger {disabled}")
            assert refusal_of(root, f"update {table} set {column} = {column}").sqlstate == "ZXIMM"
            assert refusal_of(root, f"delete from {table}").sqlstate == "ZXIMM"
            if disabled == "append_only_row":
                assert refusal_of(root, f"truncate {table} cascade").sqlstate == "ZXIMM"
    assert contents(each_ledger) == before


def test_no_other_trigger_gets_the_guards_out_of_the_way(each_ledger: Ledger) -> None:
    # A BEFORE trigger that returns null skips the row, and later row triggers with it: a silent success.
    emit_life(each_ledger.connect(), "c1")
    before = contents(each_ledger)
    with each_ledger.superuser() as root:
        root.execute("create function public.skip() returns trigger language plpgsql as 'begin return null; end'")
        root.execute(f"create trigger aaa before delete on {EVENTS} for each row execute function public.skip()")
        root.execute(f"create trigger aab before delete on {EVENTS} for each statement execute function public.skip()")
        assert refusal_of(root, f"delete from {EVENTS}").sqlstate == "ZXIMM"
    assert contents(each_ledger) == before


@pytest.mark.parametrize("action", ["cascade", "set null", "set default"])
def test_no_foreign_key_carries_a_change_in(each_ledger: Ledger, action: str) -> None:
    emit_life(each_ledger.connect(), "c1")
    with each_ledger.superuser() as root:
        root.execute("create table public.parents (customer_id text primary key)")
        root.execute("insert into public.parents values ('c1'), ('c2')")
        root.execute(
            f"alter table {EVENTS} add foreign key (customer_id) references public.parents"
            f" on delete {action} on update cascade"
        )
        before = contents(each_ledger)
        assert refusal_of(root, "delete from public.parents where customer_id = 'c1'").sqlstate == "ZXIMM"
        assert refusal_of(root, "update public.parents set customer_id = 'c3' where customer_id = 'c1'").sqlstate == (
            "ZXIMM"
        )
        assert refusal_of(root, "truncate public.parents cascade").sqlstate == "ZXIMM"
    assert contents(each_ledger) == before


def test_deleting_what_others_refer_to_is_refused_too(each_ledger: Ledger) -> None:
    with each_ledger.superuser() as root:
        root.execute("create table public.children (event_type text references aximo.event_types on delete cascade)")
        root.execute("insert into public.children values ('action_failed')")
        assert refusal_of(root, "delete from aximo.event_types where event_type = 'action_failed'").sqlstate == "ZXIMM"
        assert root.execute("select * from public.children").fetchall() == [("action_failed",)]


_FORGERIES = {
    "recorded_at": "'2001-01-01'",
    "recorded_by": "'somebody'",
    "position": "1",
}
_REQUIRED = (
    "event_type, customer_id, deployment_id, skill_id, skill_version, actor",
    "'deployment_created', 'c1', 'dep-1', 'skill-1', '1.0', 'system'",
)


@pytest.mark.parametrize("role", ["aximo_owner", "aximo_recorder", "aximo_gatekeeper", DBA])
@pytest.mark.parametrize("forged", _FORGERIES)
def test_what_the_database_states_cannot_be_forged(ledger: Ledger, forged: str, role: str) -> None:
    columns, values = _REQUIRED
    columns, values = f"{columns}, {forged}", f"{values}, {_FORGERIES[forged]}"
    with ledger.connect() as connection:
        connection.execute(f"set role {role}")
        connection.execute("set aximo.customer_id = 'c1'")
        for overriding in ("", "overriding system value ", "overriding user value "):
            insert = f"insert into {EVENTS} ({columns}) {overriding}values ({values})"
            assert refusal_of(connection, insert).sqlstate == "42501", insert
        # 0A000: PostgreSQL copies into no table that has row-level security.
        assert refusal_of(connection, f"copy {EVENTS} ({columns}) from stdin").sqlstate in ("42501", "0A000")
        if forged != "position":
            insert = f"insert into aximo.events (event_id, {forged}) values (gen_random_uuid(), {_FORGERIES[forged]})"
            # 23502: the view's other columns can't be set, and the table wants them.
            assert refusal_of(connection, insert).sqlstate in ("42501", "23502"), insert
    assert not [row for row in contents(ledger) if row[0] == EVENTS]


@pytest.mark.parametrize("field", _FORGERIES)
def test_no_emitted_field_sets_what_the_database_states(ledger: Ledger, field: str) -> None:
    service = ledger.as_service("c1")
    forged = {**BASE, "event_type": "deployment_created", field: "2001-01-01T00:00:00Z"}
    with pytest.raises(psycopg.DatabaseError) as refusal:
        service.execute("select aximo.emit_events(%s)", [psycopg.types.json.Jsonb([forged])])
    assert (refusal.value.sqlstate, refusal.value.diag.constraint_name) == ("ZXARG", "fields_known")
    assert not [row for row in contents(ledger) if row[0] == EVENTS]


def test_the_recorder_himself_is_on_record(ledger: Ledger) -> None:
    # Who may act as the recorder writes past the flow rules, but under his own name and at the database's time.
    columns, values = _REQUIRED
    with ledger.connect() as connection:
        connection.execute("set aximo.customer_id = 'c1'")
        connection.execute("set role aximo_recorder")
        connection.execute(f"insert into {EVENTS} ({columns}, timestamp) values ({values}, '2001-01-01Z')")
    with ledger.superuser() as root:
        honest = root.execute(
            f"select recorded_by = 'dba' and recorded_at between now() - interval '1 minute' and now() from {EVENTS}"
        ).fetchall()
    assert honest == [(True,)]


@pytest.mark.parametrize("event_type", ["execution_triggered", "action_prepared", "approval_requested"])
def test_not_even_the_recorder_leaves_out_the_execution(ledger: Ledger, event_type: str) -> None:
    columns, values = _REQUIRED
    with ledger.connect() as connection:
        connection.execute("set role aximo_recorder")
        insert = f"insert into {EVENTS} ({columns}, execution_id) values ({values}, %s)"
        typed = insert.replace("'deployment_created'", f"'{event_type}'")
        assert typed != insert
        with pytest.raises(psycopg.DatabaseError) as refusal:
            connection.execute(typed.encode(), [None])
        assert (refusal.value.sqlstate, refusal.value.diag.constraint_name) == ("ZXARG", "execution_id_present")
        connection.rollback()
        connection.execute("set role aximo_recorder")
        connection.execute(typed.encode(), ["exec-1"])
        connection.execute(insert.encode(), [None])


def test_the_recorder_sees_the_grants_of_the_sessions_login_only(ledger: Ledger) -> None:
    ledger.as_service("c1")
    with ledger.connect() as connection:
        connection.execute("select aximo.grant_customer('dba', 'c2')")
        connection.execute("set role aximo_recorder")
        logins = connection.execute("select distinct role_name from aximo_private.customer_grants").fetchall()
    with ledger.superuser() as root:
        everybody = root.execute("select distinct role_name from aximo_private.customer_grants").fetchall()
    assert logins == [("dba",)]
    assert len(everybody) > 1


def test_an_old_transaction_does_not_record_its_events_early(one_ledger: Ledger) -> None:
    with one_ledger.connect(autocommit=False) as connection:
        start = connection.execute("select now()").fetchone()
        receipts = [emit(connection, "execution_triggered", f"exec-{n}", customer_id="c1") for n in range(2)]
    assert start is not None
    assert start[0] < receipts[0][1] < receipts[1][1]


def test_every_table_that_must_be_append_only_has_both_guards_always_on(ledger: Ledger) -> None:
    row, statement = 1 + 2 + 8 + 16, 2 + 8 + 16 + 32  # the bits of tgtype: row, before, delete, update, truncate
    with ledger.superuser() as root:
        tables = append_only_tables(root)
        guards = root.execute(
            """
            select
                t.tgrelid::regclass::text, t.tgname, t.tgtype, t.tgenabled::text,
                t.tgqual is null and cardinality(t.tgattr::int2[]) = 0 and t.tgnargs = 0
            from pg_trigger as t
            where t.tgfoid = 'aximo_private.refuse_change'::regproc and not t.tgisinternal
            """
        ).fetchall()
    assert {EVENTS, "aximo.event_types", "helix.run_events"} <= set(tables)
    assert sorted(guards) == sorted(
        [
            ("helix.runs", "no_truncate", 2 + 32, "A", True),
            *(
                guard
                for table in tables
                for guard in (
                    (table, "append_only_row", row, "A", True),
                    (table, "append_only_statement", statement, "A", True),
                )
            ),
        ]
    )


def test_no_append_only_table_is_of_a_kind_that_the_guards_do_not_cover(ledger: Ledger) -> None:
    with ledger.superuser() as root:
        for table in append_only_tables(root):
            kind = root.execute(
                """
                select c.relkind::text, c.relpersistence::text, c.relhasrules, c.relispartition, c.reloftype,
                    exists (select from pg_inherits as i where c.oid in (i.inhrelid, i.inhparent))
                from pg_class as c where c.oid = %s::regclass
                """,
                [table],
            ).fetchone()
            assert kind == ("r", "p", False, False, 0, False), table
