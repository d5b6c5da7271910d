"""The doctor: the facts it compares with, and every check of his with a case where it fires."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from aximo_db import EventStore
from aximo_db.dba import doctor
from aximo_db.dba.catalog import expected_facts, facts, fingerprint
from aximo_db.dba.doctor import Finding, examine
from tests.conftest import DBA, Ledger, make_database
from tests.events import emit_life, event


def snapshot(connection: psycopg.Connection[Any]) -> list[str]:
    connection.execute("set search_path = pg_catalog")
    connection.execute("set quote_all_identifiers = off")
    return facts(connection)


def found(findings: list[Finding], check: str, *levels: str) -> list[str]:
    """What a check has to say at these levels."""
    return [each.message for each in findings if each.check == check and each.level in levels]


def errors(ledger: Ledger, **options: Any) -> list[Finding]:
    return [each for each in examine(ledger.dsn(), **options) if each.level == "error"]


def test_the_facts_are_the_same_on_every_server_and_install(ledger: Ledger) -> None:
    with psycopg.connect(ledger.dsn(), autocommit=True) as connection:
        now = snapshot(connection)
    assert now == expected_facts()
    assert len(now) == len(set(now))


def test_the_facts_do_not_depend_on_who_looks(one_ledger: Ledger) -> None:
    one_ledger.login("reader", "aximo_reader", customers=("c1",))
    for user in (DBA, "postgres", "reader"):
        with psycopg.connect(one_ledger.dsn(user), autocommit=True) as connection:
            assert snapshot(connection) == expected_facts(), user


def test_a_fresh_ledger_has_no_error(ledger: Ledger) -> None:
    findings = examine(ledger.dsn())
    assert [each for each in findings if each.level == "error"] == []
    assert [each.check for each in findings if each.level == "ok"][:2] == ["schema", "drift"]
    assert fingerprint(expected_facts()) in found(findings, "fingerprint", "note")[0]
    for each in findings:
        assert set(each.as_json()) == {"level", "check", "message", "fix"}
        assert each.fix or each.level in ("ok", "note")


def test_the_fingerprint_changes_with_every_fact() -> None:
    lines = expected_facts()
    assert len({fingerprint(lines), fingerprint(lines[1:]), fingerprint([*lines, "x"])}) == 3


def test_a_database_without_the_schema_is_an_error(one_ledger: Ledger) -> None:
    make_database(one_ledger.server, "doctor_without_schema", None)
    try:
        (finding,) = examine(one_ledger.server.dsn(DBA, "doctor_without_schema"))
        assert (finding.level, finding.check) == ("error", "schema")
    finally:
        with psycopg.connect(one_ledger.server.dsn(), autocommit=True) as root:
            root.execute("drop database doctor_without_schema")


def test_another_version_of_the_schema_is_an_error(one_ledger: Ledger) -> None:
    one_ledger.superuser().execute(
        "create or replace function aximo.schema_version() returns integer language sql immutable as 'select 99'"
    )
    (finding,) = examine(one_ledger.dsn())
    assert (finding.level, finding.check) == ("error", "schema")
    assert "99" in finding.message


TAMPERINGS = {
    "a guard disabled": (
        "alter table aximo_private.events disable trigger append_only_row",
        "trigger append_only_row on aximo_private.events",
    ),
    "a guard that replicas skip": (
        "alter table aximo_private.events enable trigger append_only_statement",
        "trigger append_only_statement on aximo_private.events",
    ),
    "a guard dropped": ("drop trigger append_only_row on aximo.event_types", "append_only_row on aximo.event_types"),
    "a trigger added": (
        "create trigger intruder before insert on aximo_private.events"
        " for each row execute function suppress_redundant_updates_trigger()",
        "trigger intruder on aximo_private.events",
    ),
    "row security off": ("alter table aximo_private.events disable row level security", "table aximo_private.events"),
    "row security not forced": (
        "alter table aximo_private.events no force row level security",
        "table aximo_private.events",
    ),
    "a policy dropped": (
        "drop policy owner_reads_own_customer on aximo_private.events",
        "policy owner_reads_own_customer on aximo_private.events",
    ),
    "a policy added": (
        "create policy intruder on aximo_private.events for select to public using (true)",
        "policy intruder on aximo_private.events",
    ),
    "a policy widened": (
        "alter policy owner_reads_own_customer on aximo_private.events using (true)",
        "policy owner_reads_own_customer",
    ),
    "a table grant": ("grant select on aximo_private.events to aximo_bi", "relation aximo_private.events: select"),
    "a column grant": (
        "grant insert (recorded_at) on aximo_private.events to aximo_writer",
        "column aximo_private.events.recorded_at: insert to aximo_writer",
    ),
    "a schema grant": ("grant usage on schema aximo_private to public", "schema aximo_private: usage to public"),
    "a function grant": ("grant execute on function aximo.emit_events(jsonb, text) to public", "emit_events"),
    "a grant gone": ("revoke select on aximo.events from aximo_reader", "aximo.events: select to aximo_reader"),
    "a function unpinned": (
        "alter function aximo.current_customer() reset search_path",
        "function aximo.current_customer()",
    ),
    "a function of the invoker": (
        "alter function aximo.emit_events(jsonb, text) security invoker",
        "function aximo.emit_events",
    ),
    "a function replaced": (
        "create or replace function aximo.current_customer() returns text language plpgsql stable security definer"
        " parallel safe set search_path = pg_catalog, pg_temp as $$begin return 'victim'; end;$$",
        "function aximo.current_customer()",
    ),
    "a function added": (
        "create function aximo.intruder() returns integer language sql as 'select 1'",
        "function aximo.intruder()",
    ),
    "an owner changed": ("alter table aximo_private.events owner to aximo_recorder", "aximo_private.events"),
    "a view without its barrier": ("alter view aximo.cursors reset (security_barrier)", "view aximo.cursors"),
    "a view replaced": (
        "create or replace view aximo.schema_probe as select 1 as one",
        "view aximo.schema_probe",
    ),
    "a rule added": (
        "create rule intruder as on insert to aximo_private.events do also notify intruder",
        "rule intruder on aximo_private.events",
    ),
    "a constraint dropped": (
        "alter table aximo_private.customer_grants drop constraint customer_id_present",
        "constraint customer_id_present",
    ),
    "a domain widened": (
        "alter domain aximo_private.identifier drop constraint identifier_not_blank",
        "constraint identifier_not_blank",
    ),
    "an index dropped": ("drop index aximo_private.executions_open", "index aximo_private.executions_open"),
    "an index added": (
        'create index intruder on aximo_private.events ("timestamp")',
        "index aximo_private.intruder",
    ),
    "a default changed": (
        "alter table aximo_private.events alter recorded_by set default 'somebody'",
        "recorded_by",
    ),
    "a column added": ("alter table aximo_private.events add column intruder text", "intruder"),
    "a function made strict": (
        "alter function aximo_private.writing_customer(text) strict",
        "function aximo_private.writing_customer",
    ),
    "a policy made restrictive": (
        "drop policy sequencer_reads_events on aximo_private.events;"
        " create policy sequencer_reads_events on aximo_private.events as restrictive for select to aximo_sequencer using (true)",
        "policy sequencer_reads_events on aximo_private.events: now restrictive; as installed permissive",
    ),
    "a column of a view renamed": (
        "alter view aximo.violations rename column rule to law",
        "aximo.violations.law: text",
    ),
    "a column of a view gone": (
        "alter view aximo.violations rename column rule to law",
        "Gone: column aximo.violations.rule",
    ),
    "a column of another type": (
        "alter table aximo_private.alembic_version alter version_num type varchar(40)",
        "column aximo_private.alembic_version.version_num: now character varying(40) not null",
    ),
    "foreign keys unguarded": (
        "alter table helix.run_events disable trigger all",
        "trigger of constraint run_events_run_id_fkey on helix.run_events: disabled",
    ),
    "an index that is not valid": (
        "update pg_index set indisvalid = false where indexrelid = 'aximo_private.executions_open'::regclass",
        "not valid",
    ),
    "a sequence that sessions take fifty of": (
        "alter sequence aximo_private.events_position cache 50",
        "sequence aximo_private.events_position",
    ),
    "a kind of event that means something else": (
        "alter table aximo.event_types disable trigger user;"
        " update aximo.event_types set meaning = 'x' where event_type = 'sla_breached';"
        " alter table aximo.event_types enable always trigger append_only_row;"
        " alter table aximo.event_types enable always trigger append_only_statement",
        'row of aximo.event_types: {"meaning": "x"',
    ),
}
#: What the facts tell of a row of the catalog, with another value for it, and what they leave out and why that is no matter.
PROPERTIES: dict[str, tuple[str, dict[str, str], str]] = {
    "pg_proc": (
        "oid = 'aximo.emit_events(jsonb, text)'::regprocedure",
        {
            "proname": "'other'",
            "pronamespace": "'public'::regnamespace",
            "proowner": "'postgres'::regrole",
            "prolang": "(select oid from pg_language where lanname = 'sql')",
            "procost": "procost + 1",
            "prorows": "prorows + 1",
            "prosupport": "'textlike_support'::regproc",
            "prokind": "'w'",
            "prosecdef": "not prosecdef",
            "proleakproof": "not proleakproof",
            "proisstrict": "not proisstrict",
            "proretset": "not proretset",
            "provolatile": "'i'",
            "proparallel": "'s'",
            "prorettype": "'text'::regtype",
            "proargtypes": "'3802 1043'::oidvector",
            "proargnames": "array['a', 'b']",
            "proargdefaults": "null",
            "prosrc": "prosrc || ' '",
            "proconfig": "null",
            "proacl": "null",
        },
        # Follow from the others, or are of languages and kinds that are not used here.
        "oid provariadic pronargs pronargdefaults proallargtypes proargmodes protrftypes probin prosqlbody",
    ),
    "pg_policy": (
        "polname = 'owner_reads_own_customer'",
        {
            "polname": "'other'",
            "polrelid": "'helix.runs'::regclass",
            "polcmd": "'*'",
            "polpermissive": "not polpermissive",
            "polroles": "array[0]::oid[]",
            "polqual": "null",
        },
        # Null here, and told like the other expression.
        "oid polwithcheck",
    ),
    "pg_trigger": (
        "tgrelid = 'aximo_private.events'::regclass and tgname = 'append_only_row'",
        {
            "tgname": "'other'",
            "tgrelid": "'helix.runs'::regclass",
            "tgfoid": "'suppress_redundant_updates_trigger'::regproc",
            "tgtype": "tgtype # 8",
            "tgenabled": "'D'",
            "tgisinternal": "true",
        },
        # Of constraints and of triggers with conditions, columns, arguments and transition tables, which these are not; a definition tells them.
        "oid tgparentid tgconstrrelid tgconstrindid tgconstraint tgdeferrable tginitdeferred tgnargs tgattr tgargs tgqual tgoldtable"
        " tgnewtable",
    ),
    "pg_index": (
        "indexrelid = 'aximo_private.executions_pkey'::regclass",
        {
            "indrelid": "'helix.runs'::regclass",
            "indisunique": "not indisunique",
            "indnullsnotdistinct": "not indnullsnotdistinct",
            "indisvalid": "false",
            "indisready": "false",
            "indislive": "false",
        },
        # What a definition tells; how VACUUM, CLUSTER and logical replication use it.
        "indexrelid indnatts indnkeyatts indisprimary indisexclusion indimmediate indisclustered indcheckxmin indisreplident indkey"
        " indcollation indclass indoption indexprs indpred",
    ),
    "pg_class": (
        "oid = 'aximo_private.events'::regclass",
        {
            "relname": "'other'",
            "relnamespace": "'public'::regnamespace",
            "relowner": "'postgres'::regrole",
            "relpersistence": "'u'",
            "relkind": "'v'",
            "relrowsecurity": "not relrowsecurity",
            "relforcerowsecurity": "not relforcerowsecurity",
            "relacl": "null",
        },
        # Where and how it is stored, which is the DBA's to choose; what other lines tell (columns, triggers, rules, children).
        "oid reltype reloftype relam relfilenode reltablespace relpages reltuples relallvisible relallfrozen reltoastrelid relhasindex"
        " relisshared relnatts relchecks relhasrules relhastriggers relhassubclass relispopulated relreplident relispartition relrewrite"
        " relfrozenxid relminmxid reloptions relpartbound",
    ),
    "pg_sequence": (
        "seqrelid = 'aximo_private.events_position'::regclass",
        {
            "seqrelid": "'pg_class'::regclass",
            "seqstart": "seqstart + 1",
            "seqincrement": "seqincrement + 1",
            "seqmax": "seqmax - 1",
            "seqmin": "seqmin + 1",
            "seqcache": "seqcache + 1",
            "seqcycle": "not seqcycle",
        },
        "seqtypid",
    ),
}


@pytest.mark.parametrize("catalog", PROPERTIES)
def test_every_property_that_the_catalog_holds_is_told_or_left_out_for_a_reason(
    each_ledger: Ledger, catalog: str
) -> None:
    row, told, left_out = PROPERTIES[catalog]
    with psycopg.connect(each_ledger.dsn("postgres"), autocommit=True) as root:
        columns = {
            name
            for (name,) in root.execute(
                "select attname from pg_attribute where attrelid = %s::regclass and attnum > 0", (catalog,)
            )
        }
        assert columns <= set(told) | set(left_out.split())
        before = facts(root)
        for column, other in told.items():
            with root.transaction(force_rollback=True):
                assert root.execute(f"update {catalog} set {column} = {other} where {row}").rowcount == 1  # type: ignore[call-overload]
                assert facts(root) != before, column
        assert facts(root) == before


@pytest.mark.parametrize("tampering", TAMPERINGS)
def test_whatever_was_changed_about_the_schema_is_found_and_named(one_ledger: Ledger, tampering: str) -> None:
    statement, name = TAMPERINGS[tampering]
    one_ledger.superuser().execute(statement)
    drift = [each.message for each in errors(one_ledger) if each.check == "drift"]
    assert any(name in message for message in drift), drift
    assert found(examine(one_ledger.dsn()), "drift", "ok") == []


@contextmanager
def altered(ledger: Ledger, change: str, back: str) -> Iterator[None]:
    """Something changed for the whole cluster, and changed back."""
    with psycopg.connect(ledger.server.dsn(), autocommit=True) as root:
        root.execute(change)
        try:
            yield
        finally:
            root.execute(back)


@pytest.mark.parametrize("right", ["login", "superuser", "bypassrls", "createrole"])
def test_a_group_role_with_rights_is_an_error(each_ledger: Ledger, right: str) -> None:
    no = {"login": "nologin"}.get(right, f"no{right}")
    with altered(each_ledger, f"alter role aximo_reader {right}", f"alter role aximo_reader {no}"):
        findings = examine(each_ledger.dsn())
    assert any("aximo_reader" in message for message in found(findings, "roles", "error"))
    assert found(findings, "roles", "ok") == []


@pytest.mark.parametrize("right", ["superuser", "bypassrls"])
def test_a_login_that_works_for_customers_and_skips_row_security_is_named(each_ledger: Ledger, right: str) -> None:
    name = each_ledger.login(f"{right}-service", "aximo_writer", customers=("c1",))
    each_ledger.login("ordinary", "aximo_writer", customers=("c1",))
    each_ledger.superuser().execute(sql.SQL("alter role {} " + right).format(sql.Identifier(name)))
    findings = examine(each_ledger.dsn())
    assert any(name in message for message in found(findings, "roles", "warning", "error"))
    assert not any("ordinary" in message for message in found(findings, "roles", "warning", "error"))
    assert found(findings, "roles", "ok") == []


def test_logins_that_can_change_the_schema_and_superusers_are_noted(each_ledger: Ledger) -> None:
    name = each_ledger.login("deputy", "aximo_recorder")
    notes = found(examine(each_ledger.dsn()), "roles", "note")
    assert any(name in message and "aximo_recorder" in message for message in notes)
    assert any(DBA in message for message in notes)
    assert any("postgres" in message for message in notes)


@pytest.mark.parametrize(
    ("right", "named"),
    [
        ("grant pg_read_all_data to {}", "pg_read_all_data"),
        ("grant pg_write_all_data to {}", "pg_write_all_data"),
        ("grant pg_monitor to {}", "pg_monitor"),
        ("alter role {} replication", "REPLICATION"),
        ("alter role {} createrole", "CREATEROLE"),
        ("grant aximo_recorder to {}", "aximo_recorder"),
    ],
)
def test_a_login_that_reaches_past_the_views_of_its_customers_is_named(
    each_ledger: Ledger, right: str, named: str
) -> None:
    name = each_ledger.login("far-reaching", "aximo_writer", customers=("c1",))
    assert not any(name in message for message in found(examine(each_ledger.dsn()), "roles", "warning"))
    each_ledger.superuser().execute(sql.SQL(right).format(sql.Identifier(name)))
    assert any(
        name in message and named in message for message in found(examine(each_ledger.dsn()), "roles", "warning")
    )


STRANGERS = {
    "a view with a ledger's role": (
        "create view public.intruder as select 1; alter view public.intruder owner to aximo_owner",
        "view public.intruder belongs to aximo_owner",
    ),
    "a function with a ledger's role": (
        "create function public.intruder() returns integer language sql security definer as 'select 1';"
        " alter function public.intruder() owner to aximo_recorder",
        "function public.intruder() belongs to aximo_recorder",
    ),
    "a schema with a ledger's role": (
        "create schema intruder authorization aximo_owner",
        "schema intruder belongs to aximo_owner",
    ),
    "a view of a superuser": (
        "create view public.intruder as select * from aximo_private.events",
        "public.intruder of postgres over events reads as postgres, whom row-level security does not hold",
    ),
    "a copy": (
        "create materialized view public.intruder as select * from aximo.events",
        "public.intruder of postgres over events keeps a copy",
    ),
    "an event trigger": (
        "create function public.intruder() returns event_trigger language plpgsql as 'begin end';"
        " create event trigger intruder on ddl_command_end execute function public.intruder()",
        "event trigger intruder of postgres runs intruder at ddl_command_end",
    ),
    "a setting of a database": (
        "do $$ begin execute format('alter database %I set search_path = evil', current_database()); end $$",
        "Sessions of every role begin with search_path=evil",
    ),
    "a setting of a role": (
        "do $$ begin execute format('alter role postgres in database %I set session_replication_role = replica', current_database());"
        " end $$",
        "Sessions of postgres begin with session_replication_role=replica",
    ),
}


@pytest.mark.parametrize("stranger", STRANGERS)
def test_what_strangers_made_around_the_schema_is_named(each_ledger: Ledger, stranger: str) -> None:
    statement, message = STRANGERS[stranger]
    assert found(examine(each_ledger.dsn()), "strangers", "ok")
    each_ledger.superuser().execute(statement)
    warnings = found(examine(each_ledger.dsn()), "strangers", "warning")
    assert any(message in each for each in warnings), warnings


def test_a_view_of_others_that_reads_as_its_reader_is_no_stranger(each_ledger: Ledger) -> None:
    root = each_ledger.superuser()
    root.execute("create view public.careful with (security_invoker = on) as select * from aximo_private.events")
    root.execute("create view public.ordinary as select * from aximo.events")
    assert found(examine(each_ledger.dsn()), "strangers", "warning") == []


def test_what_a_stopped_reindex_leaves_is_no_drift(one_ledger: Ledger) -> None:
    one_ledger.superuser().execute("create index executions_open_ccnew on aximo_private.executions (customer_id)")
    findings = examine(one_ledger.dsn())
    assert found(findings, "drift", "error") == []
    assert any("executions_open_ccnew" in message for message in found(findings, "drift", "warning"))


def test_createrole_is_a_way_in_before_postgresql_16(each_ledger: Ledger) -> None:
    name = each_ledger.login("role-maker")
    each_ledger.superuser().execute(sql.SQL("alter role {} createrole").format(sql.Identifier(name)))
    with psycopg.connect(each_ledger.dsn()) as connection:
        version = connection.info.server_version
    named = any(name in message for message in found(examine(each_ledger.dsn()), "roles", "warning"))
    assert named is (version < 160000)


def test_grants_of_a_role_that_is_gone_are_named(each_ledger: Ledger) -> None:
    name = each_ledger.login("leaver", "aximo_reader", customers=("c1", "c2"))
    assert found(examine(each_ledger.dsn()), "access", "warning") == []
    each_ledger.superuser().execute(sql.SQL("drop role {}").format(sql.Identifier(name)))
    (message,) = found(examine(each_ledger.dsn()), "access", "warning")
    assert name in message
    with psycopg.connect(each_ledger.dsn()) as connection:
        for customer in ("c1", "c2"):
            connection.execute("select aximo.revoke_customer(%s, %s)", (name, customer))
    assert found(examine(each_ledger.dsn()), "access", "warning") == []


def test_logins_with_all_or_several_customers_are_noted(each_ledger: Ledger) -> None:
    every, several = each_ledger.login("every", customers=("*",)), each_ledger.login("several", customers=("a", "b"))
    each_ledger.login("one-only", customers=("a",))
    notes = found(examine(each_ledger.dsn()), "access", "note")
    for name in (every, several, DBA):
        assert any(f" {name} " in message for message in notes), name
    assert not any("one-only" in message for message in notes)


def test_logins_of_customers_without_timeouts_are_noted(each_ledger: Ledger) -> None:
    names = ["idle_in_transaction_session_timeout", "statement_timeout"]
    if each_ledger.connect().info.server_version >= 170000:
        names.append("transaction_timeout")
    root = each_ledger.superuser()
    each_ledger.login("service_1", "aximo_writer", customers=("c1",))
    each_ledger.login("service_2", "aximo_writer", customers=("c1",))
    each_ledger.login("no_customer", "aximo_operator")
    each_ledger.login("an_owner", "aximo_owner", customers=("c1",))

    def noted() -> dict[str, list[str]]:
        findings = [each for each in examine(each_ledger.dsn()) if each.check == "timeouts"]
        assert all(each.level == ("note" if each.message.startswith("Login ") else "ok") for each in findings)
        words = [each.message.split(":")[0].replace(",", "").split() for each in findings if each.level == "note"]
        return {each[1]: each[4:] for each in words}

    assert noted() == {"service_1": names, "service_2": names}
    for name in names:
        root.execute(f"alter role service_1 set {name} = '1min'")
    assert noted() == {"service_2": names}
    root.execute(f"alter database {each_ledger.name} set statement_timeout = '30s'")
    assert noted() == {"service_2": [name for name in names if name != "statement_timeout"]}
    # The role's own comes before the database's, and 0 is none.
    root.execute("alter role service_1 set statement_timeout = '0'")
    assert noted()["service_1"] == ["statement_timeout"]
    root.execute(f"alter role service_1 in database {each_ledger.name} set statement_timeout = '2s'")
    assert "service_1" not in noted()
    for name in names:
        root.execute(f"alter database {each_ledger.name} set {name} = '1h'")
    assert noted() == {}
    fixes = [each.fix for each in examine(each_ledger.dsn()) if each.check == "timeouts"]
    assert len(fixes) == 1


def test_a_login_that_may_not_read_the_access_map_is_told(one_ledger: Ledger) -> None:
    one_ledger.login("reader", "aximo_reader", customers=("c1",))
    findings = examine(one_ledger.dsn("reader"))
    assert [each.level for each in findings if each.check == "access"] == ["note"]
    assert found(findings, "access", "ok") == []


def test_a_release_without_the_fix_is_a_warning(each_ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    with psycopg.connect(each_ledger.dsn()) as connection:
        major, minor = divmod(connection.info.server_version, 10000)
    for safe, expected in ((minor + 1, 1), (minor, 0)):
        monkeypatch.setattr(doctor, "SAFE_MINORS", {major: safe})
        messages = found(examine(each_ledger.dsn()), "server", "warning")
        assert sum("CVE" in message for message in messages) == expected


DATABASE = {
    "schema public is open": ("grant create on schema public to public", "note", "schema public"),
    "session_replication_role": (
        "alter database {} set session_replication_role = replica",
        "error",
        "session_replication_role",
    ),
    "synchronous_commit": ("alter database {} set synchronous_commit = off", "warning", "synchronous_commit"),
    "a publication": ("create publication everything for all tables", "note", "publication"),
}


@pytest.mark.parametrize("case", DATABASE)
def test_what_is_set_about_the_database_is_found(each_ledger: Ledger, case: str) -> None:
    statement, level, word = DATABASE[case]
    assert not any(word in message for message in found(examine(each_ledger.dsn()), "server", level))
    each_ledger.superuser().execute(sql.SQL(statement).format(sql.Identifier(each_ledger.name)))
    assert any(word in message for message in found(examine(each_ledger.dsn()), "server", level))


def test_temporary_tables_for_everybody_are_noted(each_ledger: Ledger) -> None:
    assert any("temporary" in message for message in found(examine(each_ledger.dsn()), "server", "note"))
    each_ledger.superuser().execute(
        sql.SQL("revoke temporary on database {} from public").format(sql.Identifier(each_ledger.name))
    )
    assert not any("temporary" in message for message in found(examine(each_ledger.dsn()), "server", "note"))


def test_a_grant_to_set_session_replication_role_is_a_warning(each_ledger: Ledger) -> None:
    name = each_ledger.login("replica")
    word = "session_replication_role"
    assert not any(word in message for message in found(examine(each_ledger.dsn()), "server", "warning"))
    root = each_ledger.superuser()
    root.execute(f"grant set on parameter session_replication_role to {name}")
    try:
        assert any(word in message for message in found(examine(each_ledger.dsn()), "server", "warning"))
    finally:
        root.execute(f"revoke set on parameter session_replication_role from {name}")


class _Sooner:
    """A connection to which an hour is nothing."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection
        self.info = connection.info

    def execute(self, query: str) -> Any:
        return self._connection.execute(query.replace("interval '1 hour'", "interval '0'"))


def test_a_prepared_transaction_that_was_forgotten_is_a_warning(each_ledger: Ledger) -> None:
    word = "prepared transaction"
    with psycopg.connect(each_ledger.dsn(), autocommit=True) as connection:

        def look(each: Any) -> list[str]:
            return [finding.message for finding in doctor._database(each) if finding.level == "warning"]

        gid = str(uuid4())
        connection.execute("begin")
        connection.execute("select pg_current_xact_id()")
        connection.execute(f"prepare transaction '{gid}'")
        try:
            assert not any(word in message for message in look(connection))  # it is young
            assert any(word in message for message in look(_Sooner(connection)))
        finally:
            connection.execute(f"rollback prepared '{gid}'")
        assert not any(word in message for message in look(_Sooner(connection)))


def test_fsync_off_is_a_warning(one_ledger: Ledger) -> None:
    # The servers of the tests run with it.
    assert any("fsync" in message for message in found(examine(one_ledger.dsn()), "server", "warning"))
    assert found(examine(one_ledger.dsn()), "server", "ok") == []


def test_backups_are_spoken_of(one_ledger: Ledger) -> None:
    assert any("BYPASSRLS" in message for message in found(examine(one_ledger.dsn()), "backup", "note"))


def test_clocks_that_differ_are_a_warning(one_ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(found(examine(one_ledger.dsn()), "clock", "ok")) == 1

    class Skewed(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
            return datetime.now(tz) + timedelta(minutes=5)

    monkeypatch.setattr(doctor, "datetime", Skewed)
    assert len(found(examine(one_ledger.dsn()), "clock", "warning")) == 1


def test_executions_that_were_forgotten_are_counted_by_customer(one_ledger: Ledger) -> None:
    one_ledger.login("service", "aximo_writer", customers=("*",))
    with EventStore(one_ledger.dsn("service")) as store:
        for customer, age in (("old", timedelta(hours=2)), ("young", timedelta(minutes=2))):
            moment = datetime.now(UTC) - age
            for execution_id in ("one", "two"):
                store.emit(event("execution_triggered", execution_id, customer_id=customer, timestamp=moment))
        store.emit(event("execution_failed", "two", customer_id="old"))
    findings = examine(one_ledger.dsn(), customers=["old", "young", "unknown"])
    (warning,) = found(findings, "open executions", "warning")
    assert warning.startswith("old: 1 ")
    assert len(found(findings, "open executions", "ok")) == 2


@pytest.mark.parametrize(
    "setting",
    [
        "timezone = 'Europe/Berlin'",
        "datestyle = 'German'",
        "quote_all_identifiers = on",
        "search_path = aximo, aximo_private, public",
        "extra_float_digits = -5",
        "standard_conforming_strings = off",
    ],
)
def test_what_the_database_prefers_does_not_look_like_drift(one_ledger: Ledger, setting: str) -> None:
    statement = sql.SQL(f"alter database {{}} set {setting}").format(sql.Identifier(one_ledger.name))
    one_ledger.superuser().execute(statement)
    assert errors(one_ledger) == []


def metrics_findings(ledger: Ledger) -> list[tuple[str, str]]:
    return [(f.level, f.message) for f in examine(ledger.dsn()) if f.check == "metrics"]


def test_metrics_that_do_not_count_everything_or_can_not_be_refreshed_are_named(each_ledger: Ledger) -> None:
    root = each_ledger.superuser()
    assert [level for level, _ in metrics_findings(each_ledger)] == ["ok"]
    emit_life(each_ledger.connect(), "c1")
    root.execute("select aximo.advance_log()")
    assert metrics_findings(each_ledger) == [("note", "Metrics were never refreshed.")]
    root.execute("select aximo.refresh_metrics()")
    assert [level for level, _ in metrics_findings(each_ledger)] == ["ok"]
    root.execute("update aximo_private.metric_state set refreshed_at = now() - interval '2 days'")
    assert metrics_findings(each_ledger) == [("note", "Metrics were last refreshed more than a day ago.")]
    root.execute("update aximo_private.counted_logs set number = 2")
    assert metrics_findings(each_ledger) == [("warning", "3 numbered events are not counted in the metrics.")]
    root.execute("update aximo_private.counted_logs set number = 5, failed_at = now()")
    assert metrics_findings(each_ledger) == [
        ("warning", "Events of 1 customers can't be counted, so their metrics stand still: c1."),
        ("note", "Metrics were last refreshed more than a day ago."),
    ]
    root.execute("update aximo_private.counted_logs set failed_at = null")
    root.execute("update aximo_private.metric_state set refreshed_at = now()")
    emit_life(each_ledger.connect(), "c2")
    root.execute("select aximo.advance_log()")
    assert metrics_findings(each_ledger) == [("ok", "5 numbered events wait for the next refresh.")]
    root.execute("delete from aximo_private.metric_state")
    assert [level for level, _ in metrics_findings(each_ledger)] == ["error"]
