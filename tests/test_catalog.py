"""What every object of the ledger must be like, looked up in the catalog, so that new ones are held to it as well.

Where the list of what there is matters (privileges), it is kept as a text that people can read and review:
`make generated` writes it anew.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from aximo_db.client.errors import AximoError, register
from aximo_db.dba.assets import sql_files
from tests.conftest import DBA, Ledger
from tools import privileges

SNAPSHOTS = Path(__file__).parent / "snapshots"
SQL = Path(__file__).parent.parent / "sql"
SCHEMAS = ["aximo", "aximo_private", "aximo_metrics", "helix"]
KINDS = ("actions", "activity", "counted", "deployments", "runs")
METERED = {f"aximo_private.{kind}_{what}" for kind in KINDS for what in ("recent", "to_publish")}
DEFINERS = {"aximo_gatekeeper", "aximo_recorder", "aximo_sequencer", "aximo_meter"}
OURS = "(select oid from pg_namespace where nspname in ('aximo', 'aximo_private', 'aximo_metrics', 'helix'))"
# Alembic's own table, made by Alembic on a migrated database: its shape is not the ledger's to choose.
ALEMBIC = "aximo_private.alembic_version"


@pytest.fixture
def root(ledger: Ledger) -> psycopg.Connection[Any]:
    connection = ledger.superuser()
    connection.execute("set search_path = pg_catalog")  # so that every name is printed with its schema
    return connection


def all_of(connection: psycopg.Connection[Any], query: str) -> list[tuple[Any, ...]]:
    return connection.execute(query).fetchall()


# Functions.


def test_every_function_pins_its_search_path(root: psycopg.Connection[Any]) -> None:
    functions = all_of(
        root,
        f"select oid::regprocedure::text, proconfig, prosqlbody is not null from pg_proc where pronamespace in {OURS}",
    )
    assert len(functions) > 10
    for name, config, bound in functions:
        paths = [setting for setting in config or [] if setting.startswith("search_path=")]
        # One whose body is bound when it is created looks nothing up. One that commits can have no setting of its own; it has its
        # caller's rights and no more, and names the schema of all it calls.
        free = bound or name == "aximo.keep_metrics(integer)"
        assert paths == ([] if free else ["search_path=pg_catalog, pg_temp"]), name


def test_functions_with_their_owners_rights_belong_to_roles_that_own_nothing_else(
    root: psycopg.Connection[Any],
) -> None:
    functions = all_of(
        root,
        f"""
        select oid::regprocedure::text, pg_get_userbyid(proowner), prosecdef, proleakproof, lanname
        from pg_proc join (select oid as lang, lanname from pg_language) as l on l.lang = prolang
        where pronamespace in {OURS}
        """,
    )
    for name, owner, definer, leakproof, language in functions:
        assert owner in (DEFINERS if definer else {*DEFINERS, "aximo_owner"}), name
        assert not leakproof, name  # only a superuser may say so
        assert language in ("sql", "plpgsql"), name
    assert {owner for _, owner, definer, *_ in functions if definer} == DEFINERS
    relations = all_of(
        root,
        "select oid::regclass::text, pg_get_userbyid(relowner) from pg_class where relnamespace <> 'pg_toast'::regnamespace",
    )
    types = all_of(root, "select oid::regtype::text, pg_get_userbyid(typowner) from pg_type")
    schemas = all_of(root, "select nspname, pg_get_userbyid(nspowner) from pg_namespace")
    # The meter owns the materialized views it refreshes, as only an owner may, and what they are made of.
    owned = [(name, owner) for name, owner in (*relations, *types, *schemas) if owner in DEFINERS]
    assert {owner for _, owner in owned} == {"aximo_meter"}
    assert {name for name, _ in owned if not name.endswith("[]")} <= METERED


def test_everything_else_belongs_to_the_owner(root: psycopg.Connection[Any]) -> None:
    others = all_of(
        root,
        f"""
        select oid::regclass::text, pg_get_userbyid(relowner) from pg_class
        where relnamespace in {OURS} and pg_get_userbyid(relowner) <> 'aximo_owner'
        union all
        select oid::regtype::text, pg_get_userbyid(typowner) from pg_type
        where typnamespace in {OURS} and typtype in ('d', 'e', 'r') and pg_get_userbyid(typowner) <> 'aximo_owner'
        union all
        select nspname, pg_get_userbyid(nspowner) from pg_namespace
        where oid in {OURS} and pg_get_userbyid(nspowner) <> 'aximo_owner'
        """,
    )
    assert {name for name, _ in others} <= {ALEMBIC, "aximo_private.alembic_version_pkc", *METERED}


def test_no_login_can_read_beneath_the_views_of_metrics(root: psycopg.Connection[Any]) -> None:
    readers = all_of(
        root,
        f"""
        select c.oid::regclass::text, g.rolname
        from pg_class as c, pg_roles as g
        where c.relnamespace in {OURS} and (c.relkind = 'm' or c.relname ~ '(_to_publish|_kept|_sums|^known_customer)$')
            and has_table_privilege(g.oid, c.oid, 'select') and g.rolname !~ '^pg_' and not g.rolsuper
        """,
    )
    counting = {name for name, reader in readers if reader == "aximo_sequencer"}
    assert counting == {f"aximo_private.{kind}_sums" for kind in ("action", "activity", "deployment", "run")}
    assert {reader for _, reader in readers} == {"aximo_owner", "aximo_meter", "aximo_sequencer", DBA}


def test_public_may_nothing(root: psycopg.Connection[Any]) -> None:
    # A row type's or an array type's USAGE can't be taken away from PUBLIC by itself, and gives nothing to see.
    granted = all_of(
        root,
        f"""
        select 'schema ' || nspname, a.privilege_type
        from pg_namespace, aclexplode(coalesce(nspacl, acldefault('n', nspowner))) as a
        where oid in {OURS} and a.grantee = 0
        union all
        select oid::regclass::text, a.privilege_type
        from pg_class, aclexplode(coalesce(relacl, acldefault(case relkind when 'S' then 's' else 'r' end::"char", relowner))) as a
        where relnamespace in {OURS} and a.grantee = 0
        union all
        select attrelid::regclass::text || '.' || attname, a.privilege_type
        from pg_attribute join pg_class as c on c.oid = attrelid, aclexplode(attacl) as a
        where c.relnamespace in {OURS} and a.grantee = 0
        union all
        select oid::regprocedure::text, a.privilege_type
        from pg_proc, aclexplode(coalesce(proacl, acldefault('f', proowner))) as a
        where pronamespace in {OURS} and a.grantee = 0
        union all
        select t.oid::regtype::text, a.privilege_type
        from pg_type as t left join pg_class as c on c.oid = t.typrelid,
            aclexplode(coalesce(typacl, acldefault('T', typowner))) as a
        where typnamespace in {OURS} and a.grantee = 0 and t.typcategory <> 'A' and coalesce(c.relkind, 'c') = 'c'
        """,
    )
    assert granted == []
    may = (
        f"select oid::regprocedure::text from pg_proc where pronamespace in {OURS}"
        " and has_function_privilege('public', oid, 'execute')"
    )
    assert all_of(root, may) == []


def test_what_the_owners_make_later_is_not_public_either(ledger: Ledger) -> None:
    with ledger.connect() as connection:
        connection.execute("set role aximo_owner")
        connection.execute("create function aximo.later() returns integer language sql as 'select 1'")
        connection.execute("create domain aximo.later as text")
        connection.execute("create table aximo.later_table (a integer)")
    with ledger.superuser() as root:
        allowed = root.execute(
            """
            select has_function_privilege('public', 'aximo.later()', 'execute'),
                has_type_privilege('public', 'aximo.later', 'usage'),
                has_table_privilege('public', 'aximo.later_table', 'select')
            """
        ).fetchone()
        assert allowed == (False, False, False)
        for role in DEFINERS:
            root.execute(f"grant create on schema aximo to {role}")
            root.execute(f"set role {role}")
            root.execute(f"create function aximo.later_{role}() returns integer language sql as 'select 1'")
            root.execute("reset role")
            row = root.execute(f"select has_function_privilege('public', 'aximo.later_{role}()', 'execute')").fetchone()
            assert row == (False,)


# Roles.


def test_no_role_of_the_ledger_logs_in_or_has_a_right_over_the_cluster(root: psycopg.Connection[Any]) -> None:
    roles = all_of(
        root,
        "select rolname, rolcanlogin, rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolreplication"
        " from pg_roles where rolname ~ '^aximo_'",
    )
    assert len(roles) == 11
    assert [row for row in roles if any(row[1:])] == []


def test_no_group_role_that_is_given_to_logins_is_a_member_of_an_owner(root: psycopg.Connection[Any]) -> None:
    for role in ("aximo_reader", "aximo_writer", "aximo_bi", "aximo_operator", "aximo_auditor", "aximo_monitor"):
        for owner in ("aximo_owner", *DEFINERS):
            assert all_of(root, f"select pg_has_role('{role}', '{owner}', 'member')") == [(False,)]
    for definer in DEFINERS:
        members = all_of(root, f"select rolname from pg_roles where pg_has_role(rolname, '{definer}', 'member')")
        assert {name for (name,) in members} <= {definer, "postgres", "dba"}


# Isolation, as declared.

_CUSTOMER_TABLES = f"""
    select c.oid from pg_class as c join pg_attribute as a on a.attrelid = c.oid
    where c.relnamespace in {OURS} and c.relkind in ('r', 'p', 'f') and a.attname = 'customer_id' and not a.attisdropped
"""


def test_every_table_with_a_customer_has_row_security_forced(root: psycopg.Connection[Any]) -> None:
    tables = all_of(
        root,
        "select oid::regclass::text, relrowsecurity, relforcerowsecurity from pg_class"
        f" where oid in ({_CUSTOMER_TABLES})",
    )
    assert {name for name, *_ in tables} >= {"aximo_private.events", "aximo_private.customer_grants"}
    assert [name for name, enabled, forced in tables if not (enabled and forced)] == []


POLICIES = [
    (
        "aximo_private.access_changes",
        "gatekeeper_notes_access",
        "PERMISSIVE",
        ["aximo_gatekeeper"],
        "INSERT",
        None,
        "true",
    ),
    (
        "aximo_private.access_changes",
        "gatekeeper_reads_access",
        "PERMISSIVE",
        ["aximo_gatekeeper"],
        "SELECT",
        "true",
        None,
    ),
    (
        "aximo_private.access_changes",
        "owner_reads_own_access",
        "PERMISSIVE",
        ["aximo_owner"],
        "SELECT",
        "((customer_id = ( SELECT aximo.current_customer() AS current_customer)) OR (customer_id = '*'::text))",
        None,
    ),
    ("aximo_private.action_sums", "meter_reads_sums", "PERMISSIVE", ["aximo_meter"], "SELECT", "true", None),
    ("aximo_private.action_sums", "sequencer_keeps_sums", "PERMISSIVE", ["aximo_sequencer"], "ALL", "true", "true"),
    ("aximo_private.actions_kept", "meter_keeps_published", "PERMISSIVE", ["aximo_meter"], "ALL", "true", "true"),
    (
        "aximo_private.actions_kept",
        "owner_reads_own",
        "PERMISSIVE",
        ["aximo_owner"],
        "SELECT",
        "((customer_id = ( SELECT aximo.current_customer() AS current_customer)) AND COALESCE((customer_id = ( SELECT aximo.current_customer() AS current_customer)), false))",
        None,
    ),
    ("aximo_private.activity_kept", "meter_keeps_published", "PERMISSIVE", ["aximo_meter"], "ALL", "true", "true"),
    (
        "aximo_private.activity_kept",
        "owner_reads_own",
        "PERMISSIVE",
        ["aximo_owner"],
        "SELECT",
        "((customer_id = ( SELECT aximo.current_customer() AS current_customer)) AND COALESCE((customer_id = ( SELECT aximo.current_customer() AS current_customer)), false))",
        None,
    ),
    ("aximo_private.activity_sums", "meter_reads_sums", "PERMISSIVE", ["aximo_meter"], "SELECT", "true", None),
    ("aximo_private.activity_sums", "sequencer_keeps_sums", "PERMISSIVE", ["aximo_sequencer"], "ALL", "true", "true"),
    (
        "aximo_private.approvals",
        "owner_reads_own_approvals",
        "PERMISSIVE",
        ["aximo_owner"],
        "SELECT",
        "((customer_id = ( SELECT aximo.current_customer() AS current_customer)) AND COALESCE((customer_id = ( SELECT aximo.current_customer() AS current_customer)), false))",
        None,
    ),
    ("aximo_private.approvals", "recorder_keeps_approvals", "PERMISSIVE", ["aximo_recorder"], "ALL", "true", "true"),
    ("aximo_private.approvals", "sequencer_reads_approvals", "PERMISSIVE", ["aximo_sequencer"], "SELECT", "true", None),
    (
        "aximo_private.checkpoints",
        "owner_reads_own_checkpoints",
        "PERMISSIVE",
        ["aximo_owner"],
        "SELECT",
        "((customer_id = ( SELECT aximo.current_customer() AS current_customer)) AND COALESCE((customer_id = ( SELECT aximo.current_customer() AS current_customer)), false))",
        None,
    ),
    (
        "aximo_private.checkpoints",
        "sequencer_adds_own_checkpoints",
        "PERMISSIVE",
        ["aximo_sequencer"],
        "INSERT",
        None,
        "(customer_id = ( SELECT aximo.current_customer() AS current_customer))",
    ),
    ("aximo_private.counted_kept", "meter_keeps_published", "PERMISSIVE", ["aximo_meter"], "ALL", "true", "true"),
    (
        "aximo_private.counted_kept",
        "owner_reads_own",
        "PERMISSIVE",
        ["aximo_owner"],
        "SELECT",
        "((customer_id = ( SELECT aximo.current_customer() AS current_customer)) AND COALESCE((customer_id = ( SELECT aximo.current_customer() AS current_customer)), false))",
        None,
    ),
    ("aximo_private.counted_logs", "meter_reads_sums", "PERMISSIVE", ["aximo_meter"], "SELECT", "true", None),
    ("aximo_private.counted_logs", "sequencer_keeps_sums", "PERMISSIVE", ["aximo_sequencer"], "ALL", "true", "true"),
    (
        "aximo_private.customer_grants",
        "gatekeeper_keeps_the_map",
        "PERMISSIVE",
        ["aximo_gatekeeper"],
        "ALL",
        "true",
        "true",
    ),
    ("aximo_private.customer_grants", "owner_reads_the_map", "PERMISSIVE", ["aximo_owner"], "SELECT", "true", None),
    (
        "aximo_private.customer_grants",
        "recorder_reads_own_grants",
        "PERMISSIVE",
        ["aximo_recorder"],
        "SELECT",
        "(role_name = (SESSION_USER)::text)",
        None,
    ),
    ("aximo_private.deployment_sums", "meter_reads_sums", "PERMISSIVE", ["aximo_meter"], "SELECT", "true", None),
    ("aximo_private.deployment_sums", "sequencer_keeps_sums", "PERMISSIVE", ["aximo_sequencer"], "ALL", "true", "true"),
    ("aximo_private.deployments_kept", "meter_keeps_published", "PERMISSIVE", ["aximo_meter"], "ALL", "true", "true"),
    (
        "aximo_private.deployments_kept",
        "owner_reads_own",
        "PERMISSIVE",
        ["aximo_owner"],
        "SELECT",
        "((customer_id = ( SELECT aximo.current_customer() AS current_customer)) AND COALESCE((customer_id = ( SELECT aximo.current_customer() AS current_customer)), false))",
        None,
    ),
    (
        "aximo_private.erasures",
        "owner_reads_own_erasures",
        "PERMISSIVE",
        ["aximo_owner"],
        "SELECT",
        "((customer_id = ( SELECT aximo.current_customer() AS current_customer)) AND COALESCE((customer_id = ( SELECT aximo.current_customer() AS current_customer)), false))",
        None,
    ),
    (
        "aximo_private.erasures",
        "sequencer_adds_own_erasures",
        "PERMISSIVE",
        ["aximo_sequencer"],
        "INSERT",
        None,
        "(customer_id = ( SELECT aximo.current_customer() AS current_customer))",
    ),
    (
        "aximo_private.events",
        "owner_reads_own_customer",
        "PERMISSIVE",
        ["aximo_owner"],
        "SELECT",
        "((customer_id = ( SELECT aximo.current_customer() AS current_customer)) AND COALESCE((customer_id = ( SELECT aximo.current_customer() AS current_customer)), false))",
        None,
    ),
    ("aximo_private.events", "recorder_reads_events", "PERMISSIVE", ["aximo_recorder"], "SELECT", "true", None),
    (
        "aximo_private.events",
        "recorder_writes_events",
        "PERMISSIVE",
        ["aximo_recorder"],
        "INSERT",
        None,
        "(aximo_private.is_well_formed(events.*) OR aximo_private.event_well_formed(events.*))",
    ),
    ("aximo_private.events", "sequencer_reads_events", "PERMISSIVE", ["aximo_sequencer"], "SELECT", "true", None),
    (
        "aximo_private.executions",
        "owner_reads_own_executions",
        "PERMISSIVE",
        ["aximo_owner"],
        "SELECT",
        "((customer_id = ( SELECT aximo.current_customer() AS current_customer)) AND COALESCE((customer_id = ( SELECT aximo.current_customer() AS current_customer)), false))",
        None,
    ),
    ("aximo_private.executions", "recorder_keeps_executions", "PERMISSIVE", ["aximo_recorder"], "ALL", "true", "true"),
    (
        "aximo_private.executions",
        "sequencer_reads_executions",
        "PERMISSIVE",
        ["aximo_sequencer"],
        "SELECT",
        "true",
        None,
    ),
    (
        "aximo_private.known_deployments",
        "owner_reads_own_deployments",
        "PERMISSIVE",
        ["aximo_owner"],
        "SELECT",
        "((customer_id = ( SELECT aximo.current_customer() AS current_customer)) AND COALESCE((customer_id = ( SELECT aximo.current_customer() AS current_customer)), false))",
        None,
    ),
    (
        "aximo_private.known_deployments",
        "recorder_notes_deployments",
        "PERMISSIVE",
        ["aximo_recorder"],
        "INSERT",
        None,
        "true",
    ),
    (
        "aximo_private.known_deployments",
        "recorder_reads_deployments",
        "PERMISSIVE",
        ["aximo_recorder"],
        "SELECT",
        "true",
        None,
    ),
    (
        "aximo_private.log_cursors",
        "owner_reads_own_cursors",
        "PERMISSIVE",
        ["aximo_owner"],
        "SELECT",
        "((customer_id = ( SELECT aximo.current_customer() AS current_customer)) AND COALESCE((customer_id = ( SELECT aximo.current_customer() AS current_customer)), false))",
        None,
    ),
    (
        "aximo_private.log_cursors",
        "sequencer_keeps_own_cursors",
        "PERMISSIVE",
        ["aximo_sequencer"],
        "ALL",
        "(customer_id = ( SELECT aximo.current_customer() AS current_customer))",
        "(customer_id = ( SELECT aximo.current_customer() AS current_customer))",
    ),
    (
        "aximo_private.log_entries",
        "owner_reads_own_log",
        "PERMISSIVE",
        ["aximo_owner"],
        "SELECT",
        "((customer_id = ( SELECT aximo.current_customer() AS current_customer)) AND COALESCE((customer_id = ( SELECT aximo.current_customer() AS current_customer)), false))",
        None,
    ),
    ("aximo_private.log_entries", "sequencer_adds_to_log", "PERMISSIVE", ["aximo_sequencer"], "INSERT", None, "true"),
    ("aximo_private.log_entries", "sequencer_reads_log", "PERMISSIVE", ["aximo_sequencer"], "SELECT", "true", None),
    ("aximo_private.log_holes", "owner_reads_log_holes", "PERMISSIVE", ["aximo_owner"], "SELECT", "true", None),
    ("aximo_private.log_holes", "sequencer_keeps_log_holes", "PERMISSIVE", ["aximo_sequencer"], "ALL", "true", "true"),
    (
        "aximo_private.log_nodes",
        "owner_reads_own_log_nodes",
        "PERMISSIVE",
        ["aximo_owner"],
        "SELECT",
        "((customer_id = ( SELECT aximo.current_customer() AS current_customer)) AND COALESCE((customer_id = ( SELECT aximo.current_customer() AS current_customer)), false))",
        None,
    ),
    ("aximo_private.log_nodes", "sequencer_adds_log_nodes", "PERMISSIVE", ["aximo_sequencer"], "INSERT", None, "true"),
    ("aximo_private.log_nodes", "sequencer_reads_log_nodes", "PERMISSIVE", ["aximo_sequencer"], "SELECT", "true", None),
    ("aximo_private.log_state", "owner_reads_log_state", "PERMISSIVE", ["aximo_owner"], "SELECT", "true", None),
    ("aximo_private.log_state", "sequencer_keeps_log_state", "PERMISSIVE", ["aximo_sequencer"], "ALL", "true", "true"),
    ("aximo_private.logs", "owner_reads_logs", "PERMISSIVE", ["aximo_owner"], "SELECT", "true", None),
    ("aximo_private.logs", "sequencer_keeps_logs", "PERMISSIVE", ["aximo_sequencer"], "ALL", "true", "true"),
    (
        "aximo_private.metric_lists",
        "meter_reads_lists",
        "PERMISSIVE",
        ["aximo_meter", "aximo_sequencer"],
        "SELECT",
        "true",
        None,
    ),
    (
        "aximo_private.metric_lists",
        "owner_reads_own_lists",
        "PERMISSIVE",
        ["aximo_owner"],
        "SELECT",
        "((customer_id = ( SELECT aximo.current_customer() AS current_customer)) OR (customer_id = '*'::text))",
        None,
    ),
    (
        "aximo_private.metric_lists",
        "recorder_adds_lists",
        "PERMISSIVE",
        ["aximo_recorder"],
        "INSERT",
        None,
        "true",
    ),
    ("aximo_private.metric_state", "meter_keeps_metric_state", "PERMISSIVE", ["aximo_meter"], "ALL", "true", "true"),
    ("aximo_private.metric_state", "owner_reads_metric_state", "PERMISSIVE", ["aximo_owner"], "SELECT", "true", None),
    (
        "aximo_private.metric_state",
        "sequencer_keeps_metric_state",
        "PERMISSIVE",
        ["aximo_sequencer"],
        "ALL",
        "true",
        "true",
    ),
    (
        "aximo_private.observations",
        "owner_reads_own_observations",
        "PERMISSIVE",
        ["aximo_owner"],
        "SELECT",
        "((customer_id = ( SELECT aximo.current_customer() AS current_customer)) AND COALESCE((customer_id = ( SELECT aximo.current_customer() AS current_customer)), false))",
        None,
    ),
    (
        "aximo_private.observations",
        "recorder_adds_observations",
        "PERMISSIVE",
        ["aximo_recorder"],
        "INSERT",
        None,
        "true",
    ),
    (
        "aximo_private.observations",
        "recorder_reads_observations",
        "PERMISSIVE",
        ["aximo_recorder"],
        "SELECT",
        "true",
        None,
    ),
    (
        "aximo_private.placements",
        "gatekeeper_reads_placements",
        "PERMISSIVE",
        ["aximo_gatekeeper"],
        "SELECT",
        "true",
        None,
    ),
    (
        "aximo_private.placements",
        "owner_reads_granted_placements",
        "PERMISSIVE",
        ["aximo_owner"],
        "SELECT",
        "(ARRAY[customer_id, '*'::text] && ( SELECT aximo_private.session_grants() AS session_grants))",
        None,
    ),
    ("aximo_private.placements", "recorder_reads_placements", "PERMISSIVE", ["aximo_recorder"], "SELECT", "true", None),
    (
        "aximo_private.placements",
        "sequencer_keeps_placements",
        "PERMISSIVE",
        ["aximo_sequencer"],
        "ALL",
        "true",
        "true",
    ),
    ("aximo_private.run_ids", "recorder_adds_run_ids", "PERMISSIVE", ["aximo_recorder"], "INSERT", None, "true"),
    ("aximo_private.run_ids", "recorder_reads_run_ids", "PERMISSIVE", ["aximo_recorder"], "SELECT", "true", None),
    (
        "aximo_private.run_states",
        "sequencer_keeps_run_states",
        "PERMISSIVE",
        ["aximo_sequencer"],
        "ALL",
        "true",
        "true",
    ),
    ("aximo_private.run_sums", "meter_reads_sums", "PERMISSIVE", ["aximo_meter"], "SELECT", "true", None),
    ("aximo_private.run_sums", "sequencer_keeps_sums", "PERMISSIVE", ["aximo_sequencer"], "ALL", "true", "true"),
    ("aximo_private.runs_kept", "meter_keeps_published", "PERMISSIVE", ["aximo_meter"], "ALL", "true", "true"),
    (
        "aximo_private.runs_kept",
        "owner_reads_own",
        "PERMISSIVE",
        ["aximo_owner"],
        "SELECT",
        "((customer_id = ( SELECT aximo.current_customer() AS current_customer)) AND COALESCE((customer_id = ( SELECT aximo.current_customer() AS current_customer)), false))",
        None,
    ),
    ("aximo_private.thresholds", "meter_reads_thresholds", "PERMISSIVE", ["aximo_meter"], "SELECT", "true", None),
    (
        "aximo_private.thresholds",
        "owner_reads_own_thresholds",
        "PERMISSIVE",
        ["aximo_owner"],
        "SELECT",
        "((customer_id = ( SELECT aximo.current_customer() AS current_customer)) OR (customer_id = '*'::text))",
        None,
    ),
    ("aximo_private.thresholds", "recorder_adds_thresholds", "PERMISSIVE", ["aximo_recorder"], "INSERT", None, "true"),
    (
        "aximo_private.uncounted_logs",
        "sequencer_keeps_uncounted_logs",
        "PERMISSIVE",
        ["aximo_sequencer"],
        "ALL",
        "true",
        "true",
    ),
    (
        "aximo_private.unjudged_leads",
        "recorder_adds_unjudged_leads",
        "PERMISSIVE",
        ["aximo_recorder"],
        "INSERT",
        None,
        "true",
    ),
    (
        "aximo_private.unjudged_leads",
        "sequencer_keeps_unjudged_leads",
        "PERMISSIVE",
        ["aximo_sequencer"],
        "ALL",
        "true",
        "true",
    ),
    (
        "aximo_private.violations",
        "owner_reads_own_violations",
        "PERMISSIVE",
        ["aximo_owner"],
        "SELECT",
        "((customer_id = ( SELECT aximo.current_customer() AS current_customer)) AND COALESCE((customer_id = ( SELECT aximo.current_customer() AS current_customer)), false))",
        None,
    ),
    ("aximo_private.violations", "recorder_adds_violations", "PERMISSIVE", ["aximo_recorder"], "INSERT", None, "true"),
    ("aximo_private.violations", "recorder_reads_violations", "PERMISSIVE", ["aximo_recorder"], "SELECT", "true", None),
    (
        "helix.run_events",
        "readers_read_own_run_events",
        "PERMISSIVE",
        ["aximo_reader"],
        "SELECT",
        "((customer_id = ( SELECT aximo.current_customer() AS current_customer)) AND COALESCE((customer_id = ( SELECT aximo.current_customer() AS current_customer)), false))",
        None,
    ),
    (
        "helix.run_events",
        "recorder_adds_run_events",
        "PERMISSIVE",
        ["aximo_recorder"],
        "INSERT",
        None,
        "(( SELECT CURRENT_USER AS \"current_user\") = 'aximo_recorder'::name)",
    ),
    (
        "helix.run_events",
        "recorder_reads_run_events",
        "PERMISSIVE",
        ["aximo_recorder"],
        "SELECT",
        "(( SELECT CURRENT_USER AS \"current_user\") = 'aximo_recorder'::name)",
        None,
    ),
    (
        "helix.run_events",
        "sequencer_reads_run_events",
        "PERMISSIVE",
        ["aximo_sequencer"],
        "SELECT",
        "(( SELECT CURRENT_USER AS \"current_user\") = 'aximo_sequencer'::name)",
        None,
    ),
    (
        "helix.run_events",
        "writers_add_own_run_events",
        "PERMISSIVE",
        ["aximo_writer"],
        "INSERT",
        None,
        "((customer_id = ( SELECT aximo.current_customer() AS current_customer)) AND (recorded_by = SESSION_USER))",
    ),
    (
        "helix.runs",
        "owner_deletes_own_runs",
        "PERMISSIVE",
        ["aximo_owner"],
        "DELETE",
        "((customer_id = ( SELECT aximo.current_customer() AS current_customer)) AND COALESCE((customer_id = ( SELECT aximo.current_customer() AS current_customer)), false))",
        None,
    ),
    (
        "helix.runs",
        "readers_read_own_runs",
        "PERMISSIVE",
        ["aximo_reader"],
        "SELECT",
        "((customer_id = ( SELECT aximo.current_customer() AS current_customer)) AND COALESCE((customer_id = ( SELECT aximo.current_customer() AS current_customer)), false))",
        None,
    ),
    (
        "helix.runs",
        "recorder_keeps_runs",
        "PERMISSIVE",
        ["aximo_recorder"],
        "ALL",
        "(( SELECT CURRENT_USER AS \"current_user\") = 'aximo_recorder'::name)",
        "(( SELECT CURRENT_USER AS \"current_user\") = 'aximo_recorder'::name)",
    ),
    (
        "helix.runs",
        "sequencer_reads_runs",
        "PERMISSIVE",
        ["aximo_sequencer"],
        "SELECT",
        "(( SELECT CURRENT_USER AS \"current_user\") = 'aximo_sequencer'::name)",
        None,
    ),
    (
        "helix.runs",
        "writers_add_own_runs",
        "PERMISSIVE",
        ["aximo_writer"],
        "INSERT",
        None,
        "((customer_id = ( SELECT aximo.current_customer() AS current_customer)) AND (recorded_by = SESSION_USER))",
    ),
    (
        "helix.runs",
        "writers_move_own_runs",
        "PERMISSIVE",
        ["aximo_writer"],
        "UPDATE",
        "((customer_id = ( SELECT aximo.current_customer() AS current_customer)) AND COALESCE((customer_id = ( SELECT aximo.current_customer() AS current_customer)), false))",
        "(customer_id = ( SELECT aximo.current_customer() AS current_customer))",
    ),
]


def test_there_are_exactly_these_policies(root: psycopg.Connection[Any]) -> None:
    policies = root.execute(
        """
        select schemaname || '.' || tablename, policyname::text, permissive, roles::text[], cmd, qual, with_check
        from pg_policies where schemaname = any(%s) order by 1, 2
        """,
        [SCHEMAS],
    ).fetchall()
    assert policies == POLICIES


def test_every_index_of_a_table_with_a_customer_leads_with_it(root: psycopg.Connection[Any]) -> None:
    indexes = all_of(
        root,
        f"""
        select i.indexrelid::regclass::text, a.attname
        from pg_index as i left join pg_attribute as a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
        where i.indrelid in ({_CUSTOMER_TABLES})
        """,
    )
    assert len(indexes) > 5
    # The access map is asked by login, and no login reads it. The index by position is partial, on a condition that only
    # numbering states. What changed is read by the refresh alone.
    assert {name for name, first in indexes if first != "customer_id"} == {
        "aximo_private.customer_grants_pkey",
        "aximo_private.events_by_position",
        # The frozen contract's primary keys: one run_id and one sequence of event_id for all.
        "helix.runs_pkey",
        "aximo_private.run_ids_pkey",
        "helix.run_events_pkey",
        "aximo_private.action_sums_changed",
        "aximo_private.activity_sums_changed",
        "aximo_private.counted_logs_changed",
        "aximo_private.deployment_sums_changed",
        "aximo_private.run_sums_changed",
    }


# A barrier would keep ORDER BY ... LIMIT and join conditions out of the indexes. These read only a table whose own
# row-level security is one already.
_WITHOUT_BARRIER = {
    "aximo.approvals",
    "aximo.deployments",
    "aximo.events",
    "aximo.executions",
    "aximo.log_entries",
    "aximo.log_leaves",
    "aximo.log_lines",
    "aximo.log_nodes",
    "aximo.open_executions",
    "aximo_private.approvals_from_events",
    "aximo_private.executions_from_events",
    "aximo_private.history",
    "aximo_private.started_executions",
    "helix.log_entries",
}
# Shows its reader what he may see: only the sequencer reads it, whose policies show all.
_AS_THE_READER = {"aximo_private.events_of_logs"}


def test_every_view_is_a_security_barrier_and_runs_as_the_owner(root: psycopg.Connection[Any]) -> None:
    views = all_of(
        root,
        "select oid::regclass::text, pg_get_userbyid(relowner), reloptions"
        f" from pg_class where relnamespace in {OURS} and relkind = 'v'",
    )
    assert len(views) > 5
    for name, owner, options in views:
        assert owner == ("aximo_meter" if name in METERED else "aximo_owner"), name
        expected = ["security_invoker=true"] if name in _AS_THE_READER else ["security_barrier=true"]
        assert options == (None if name in _WITHOUT_BARRIER else expected), name


def test_a_view_without_a_barrier_reads_only_tables_with_forced_row_security(root: psycopg.Connection[Any]) -> None:
    for view in _WITHOUT_BARRIER:
        read = all_of(
            root,
            f"""
            select distinct c.oid::regclass::text, c.relkind::text, c.relrowsecurity, c.relforcerowsecurity
            from pg_rewrite as w
            join pg_depend as d on d.classid = 'pg_rewrite'::regclass and d.objid = w.oid
            join pg_class as c on d.refclassid = 'pg_class'::regclass and c.oid = d.refobjid
            where w.ev_class = '{view}'::regclass and c.oid <> w.ev_class
            """,
        )
        tables = {name for name, kind, *_ in read if kind != "v"}
        private = ("approvals", "events", "executions", "known_deployments", "log_entries", "log_nodes")
        shown = {*(f"aximo_private.{table}" for table in private), "helix.run_events"}
        assert tables | {name for name, kind, *_ in read if kind == "v"} <= {*shown, *_WITHOUT_BARRIER}
        assert all(enabled and forced for _, kind, enabled, forced in read if kind != "v"), view


def test_no_column_beside_a_customers_has_statistics(root: psycopg.Connection[Any]) -> None:
    """Of tables and materialized views; but for the access map, of which no login reads a row."""
    columns = all_of(
        root,
        f"""
        select c.oid::regclass::text, a.attname from pg_attribute as a join pg_class as c on c.oid = a.attrelid
        where c.relnamespace in {OURS} and c.relkind in ('r', 'p', 'm') and a.attnum > 0 and not a.attisdropped
            and a.attstattarget is distinct from 0 and c.oid <> 'aximo_private.customer_grants'::regclass
            and exists (select from pg_attribute as w where w.attrelid = c.oid and w.attname = 'customer_id')
        """,
    )
    assert columns == []


def test_text_is_compared_by_bytes(root: psycopg.Connection[Any]) -> None:
    other = all_of(
        root,
        f"""
        select c.oid::regclass::text || '.' || a.attname
        from pg_attribute as a join pg_class as c on c.oid = a.attrelid join pg_collation as o on o.oid = a.attcollation
        where c.relnamespace in {OURS} and c.relkind in ('r', 'p', 'm') and a.attnum > 0 and o.collname <> 'C'
        """,
    )
    # Prose that is never compared; and Alembic's.
    assert {name for (name,) in other} <= {
        "aximo.event_types.meaning",
        "helix.event_kinds.meaning",
        "helix.event_kinds.origin",
        f"{ALEMBIC}.version_num",
    }
    # A view must not lose the collation of the column it shows: an index is used only with the same one.
    lost = all_of(
        root,
        f"""
        select c.oid::regclass::text || '.' || a.attname
        from pg_attribute as a join pg_class as c on c.oid = a.attrelid join pg_collation as o on o.oid = a.attcollation
        where c.relnamespace in {OURS} and c.relkind = 'v' and o.collname <> 'C' and a.attname in (
            select e.attname from pg_attribute as e
            where e.attrelid = 'aximo_private.events'::regclass and e.attnum > 0
        ) and c.relname <> 'deployment_versions'
        """,
    )
    assert lost == []


def test_no_foreign_key_cascades(root: psycopg.Connection[Any]) -> None:
    cascading = all_of(
        root,
        f"select conname from pg_constraint where connamespace in {OURS} and contype = 'f'"
        " and (confdeltype not in ('a', 'r') or confupdtype not in ('a', 'r'))",
    )
    assert cascading == []


def test_there_is_nothing_that_changes_rows_behind_the_scenes(root: psycopg.Connection[Any]) -> None:
    rules = (
        "select 1 from pg_rewrite as r join pg_class as c on c.oid = r.ev_class"
        f" where c.relnamespace in {OURS} and rulename <> '_RETURN'"
    )
    assert all_of(root, rules) == []
    assert (
        all_of(root, f"select 1 from pg_inherits join pg_class as c on c.oid = inhrelid where relnamespace in {OURS}")
        == []
    )
    assert all_of(root, f"select 1 from pg_class where relnamespace in {OURS} and relpersistence <> 'p'") == []
    assert all_of(root, "select 1 from pg_event_trigger") == []
    assert all_of(root, "select extname from pg_extension where extname <> 'plpgsql'") == []


# Comments.


def test_everything_is_commented(root: psycopg.Connection[Any]) -> None:
    uncommented = all_of(
        root,
        f"""
        select 'schema ' || nspname from pg_namespace
        where oid in {OURS} and obj_description(oid, 'pg_namespace') is null
        union all
        -- Not the indexes that constraints make: the constraint says what they are for.
        select 'relation ' || c.oid::regclass from pg_class as c
        where c.relnamespace in {OURS} and c.relkind in ('r', 'p', 'v', 'm', 'f', 'S', 'i', 'I')
            and obj_description(c.oid, 'pg_class') is null
            and not exists (select from pg_constraint as k where k.conindid = c.oid and k.contype in ('p', 'u', 'x'))
        union all
        select 'column ' || c.oid::regclass || '.' || a.attname
        from pg_attribute as a join pg_class as c on c.oid = a.attrelid
        where c.relnamespace in {OURS} and c.relkind in ('r', 'p', 'v', 'm', 'f', 'c') and a.attnum > 0
            and not a.attisdropped and col_description(c.oid, a.attnum) is null
        union all
        select 'function ' || oid::regprocedure from pg_proc
        where pronamespace in {OURS} and obj_description(oid, 'pg_proc') is null
        union all
        select 'type ' || t.oid::regtype from pg_type as t left join pg_class as c on c.oid = t.typrelid
        where t.typnamespace in {OURS} and t.typcategory <> 'A' and coalesce(c.relkind, 'c') = 'c'
            and obj_description(t.oid, 'pg_type') is null
        union all
        select 'policy ' || polname from pg_policy join pg_class as c on c.oid = polrelid
        where c.relnamespace in {OURS} and obj_description(pg_policy.oid, 'pg_policy') is null
        union all
        select 'trigger ' || tgname || ' on ' || tgrelid::regclass from pg_trigger join pg_class as c on c.oid = tgrelid
        where c.relnamespace in {OURS} and not tgisinternal and obj_description(pg_trigger.oid, 'pg_trigger') is null
        """,
    )
    assert [name for (name,) in uncommented if ALEMBIC not in name] == []


# Privileges.


def test_these_are_all_the_privileges(root: psycopg.Connection[Any]) -> None:
    # "make generated" writes the file.
    written = (SNAPSHOTS / "privileges.txt").read_text(encoding="utf-8")
    assert privileges.render(root).splitlines() == written.splitlines()


def test_autovacuum_freezes_what_is_only_added_to(root: psycopg.Connection[Any]) -> None:
    options = dict(
        all_of(
            root,
            """
            select c.oid::regclass::text, array(select unnest(c.reloptions) order by 1)
            from pg_class as c join pg_trigger as t on t.tgrelid = c.oid
            where t.tgname = 'append_only_row'
            """,
        )
    )
    assert {"aximo_private.events", "helix.run_events", "aximo_private.log_entries"} <= set(options)
    wanted = {
        "autovacuum_freeze_min_age=0",
        "autovacuum_vacuum_insert_scale_factor=0",
        "autovacuum_vacuum_insert_threshold=100000",
    }
    assert {table: set(given or []) for table, given in options.items()} == dict.fromkeys(options, wanted)


def test_what_is_stored_apart_is_frozen_alike(root: psycopg.Connection[Any]) -> None:
    """A TOAST table goes by its table's options, all of them, unless it has one of its own."""
    options = dict(
        all_of(
            root,
            """
            select c.oid::regclass::text, s.reloptions
            from pg_class as c join pg_trigger as t on t.tgrelid = c.oid join pg_class as s on s.oid = c.reltoastrelid
            where t.tgname = 'append_only_row'
            """,
        )
    )
    assert {"aximo_private.events", "helix.run_events", "aximo_private.checkpoints"} <= set(options)
    assert options == dict.fromkeys(options)


# How much a row can hold.

#: Tables that functions of the ledger fill with what has its bounds where it comes from, and from where.
DERIVED = {
    **dict.fromkeys(
        ("executions", "approvals", "known_deployments", "violations"),
        "fields of events, in the transaction that writes them",
    ),
    **dict.fromkeys(("log_entries", "log_nodes"), "hashes, of 32 bytes"),
    **dict.fromkeys(("log_holes", "counted_logs", "uncounted_logs", "counted_kept", "unjudged_leads"), "a name"),
    "logs": "the name of a log, and which transactions were under way",
    **dict.fromkeys(
        ("activity_sums", "action_sums", "deployment_sums", "run_sums", "run_states"),
        "numbers, and fields of events and runs",
    ),
    **dict.fromkeys(("activity_kept", "actions_kept", "deployments_kept", "runs_kept"), "what is published of them"),
    "metric_lists": "at most 100 entries; aximo_private.set_list takes 255 characters each",
}
_UNBOUNDED = """
    select format('%%s.%%s', c.oid::regclass, a.attname)
    from pg_class as c
    join pg_attribute as a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    where c.relnamespace = any(%s::regnamespace[]) and c.relkind in ('r', 'p') and a.attlen = -1
        and exists (
            select from unnest(%s::text[]) as r (role)
            where has_column_privilege(r.role, c.oid, a.attnum, 'insert') or has_column_privilege(r.role, c.oid, a.attnum, 'update')
        )
        -- A domain or a constraint that says how long it is, or which values there are, or that such a row is there.
        and not exists (
            select from pg_constraint as k
            where (k.conrelid = c.oid and a.attnum = any(k.conkey) or k.contypid = a.atttypid)
                and (k.contype = 'f' or pg_get_constraintdef(k.oid) ~ 'length\\(|ANY \\(ARRAY\\[')
        )
        -- The policy for inserting is the constraint.
        and not exists (
            select from pg_policy as p
            where p.polrelid = c.oid and p.polcmd = 'a' and pg_get_expr(p.polwithcheck, p.polrelid) ~ 'is_well_formed'
        )
    order by 1
"""


def unbounded(root: psycopg.Connection[Any], roles: set[str]) -> list[str]:
    found = root.execute(_UNBOUNDED, [SCHEMAS, sorted(roles)]).fetchall()
    # A customer's name comes from the access map, which has a limit; a login's is of type name.
    return [
        name for (name,) in found if name.split(".")[1] not in DERIVED and not name.endswith((".customer_id", "_by"))
    ]


def test_no_login_can_write_a_column_without_a_bound(root: psycopg.Connection[Any]) -> None:
    logins = {"aximo_reader", "aximo_writer", "aximo_bi", "aximo_operator", "aximo_auditor", "aximo_monitor", "public"}
    assert unbounded(root, logins) == []
    # And none by a function: what is not made of rows that have their bounds.
    assert unbounded(root, DEFINERS) == []
    for table in DERIVED:
        for role in logins:
            assert root.execute(
                "select has_any_column_privilege(%s, %s, 'insert, update')", [role, f"aximo_private.{table}"]
            ).fetchone() == (False,)


def test_a_column_without_a_bound_would_be_found(root: psycopg.Connection[Any]) -> None:
    with root.transaction(force_rollback=True):
        root.execute("alter table helix.runs add column label text, add column tags jsonb")
        root.execute("grant insert (label), update (tags) on helix.runs to aximo_writer")
        assert unbounded(root, {"aximo_writer"}) == ["helix.runs.label", "helix.runs.tags"]
        root.execute("alter table helix.runs drop constraint run_size")
        assert "helix.runs.policy_snapshot" in unbounded(root, {"aximo_writer"})


# Errors, as the files raise them.


def raises(text: str) -> Iterator[str]:
    """Every RAISE EXCEPTION of a file, up to its semicolon, with comments left out."""
    code = re.sub(r"('(?:[^']|'')*')|--[^\n]*", lambda match: match.group(1) or "", text)
    for match in re.finditer(r"\braise exception\b((?:'(?:[^']|'')*'|[^';])*);", code, re.IGNORECASE):
        yield match.group(1)


def options(statement: str) -> dict[str, str]:
    """The options of a RAISE ... USING, by name."""
    blanked = re.sub(r"'(?:[^']|'')*'", lambda match: "'" + "x" * (len(match.group()) - 2) + "'", statement)
    starts = [(m.group(1), m.end(), m.start()) for m in re.finditer(r"(?:using|,)\s+(\w+)\s*=(?!=)", blanked)]
    ends = [start for _, _, start in starts[1:]] + [len(statement)]
    return {name: statement[begin:end] for (name, begin, _), end in zip(starts, ends, strict=True)}


RAISES = [
    (path.relative_to(SQL).as_posix(), raise_)
    for path in sorted(SQL.rglob("*.sql"))
    for raise_ in raises(path.read_text())
]
# Raised to be caught a few lines on, in the same function, where they become ZXARG.
INTERNAL = {"invalid_datetime_format", "check_violation"}
PYTHON_ONLY = {
    "ZXVER",  # the package and the schema don't fit: only the package knows
    "ZXVLT",  # the vault, which is another database
    "ZXCON",  # the connection can't be used for the call: nothing is sent
    "08006",  # the connection was lost: there is no database to say so
    "08001",  # there is no connection
    "25006",  # PostgreSQL's own
}


def codes(statement: str) -> set[str]:
    literals = set(re.findall(r"'([^']*)'", options(statement).get("errcode", "")))
    return {code for code in literals if re.fullmatch(r"ZX[A-Z]{3}", code)} or literals


def refusals() -> list[tuple[str, str]]:
    return [(path, statement) for path, statement in RAISES if not codes(statement) <= INTERNAL]


def test_every_refusal_is_found() -> None:
    written = sum(path.read_text(encoding="utf-8").lower().count("raise exception") for path in SQL.rglob("*.sql"))
    assert len(RAISES) == written
    assert len(RAISES) > 10
    caught = [(path, statement) for path, statement in RAISES if codes(statement) <= INTERNAL]
    assert {path for path, _ in caught} == {"05_emit/refuse_malformed.sql"}


def test_every_refusal_has_a_code_a_message_the_values_and_a_hint() -> None:
    for path, statement in refusals():
        assert {"errcode", "message", "detail", "hint"} <= set(options(statement)), (path, statement)


def test_every_refusal_names_its_rule() -> None:
    assert [path for path, statement in refusals() if "constraint" not in options(statement)] == []


def test_no_message_or_hint_has_values_in_it() -> None:
    for path, statement in refusals():
        said = re.sub(r"'(?:[^']|'')*'", "", options(statement)["message"])
        # A message may choose between texts, and that is all.
        assert "format" not in said, path
        assert "||" not in said, path


def test_every_code_is_registered_and_every_registered_code_is_raised() -> None:
    raised = set().union(*(codes(statement) for _, statement in refusals()))
    assert raised == set(register) - PYTHON_ONLY
    assert all(register[code].sqlstate == code and register[code].meaning for code in register)
    subclasses = {cls for cls in AximoError.__subclasses__() if cls.__module__ == "aximo_db.client.errors"}
    assert subclasses == set(register.values())


def test_every_file_is_installed_and_every_function_states_what_it_is() -> None:
    on_disk = {path.relative_to(SQL).as_posix() for path in SQL.rglob("*.sql")} - {"install.sql"}
    assert on_disk == {path.relative_to(SQL).as_posix() for path in sql_files()}
    for path in sql_files():
        text = path.read_text(encoding="utf-8")
        for function in re.findall(r"create function (.*?)\nas ", text, re.DOTALL):
            assert re.search(r"\b(volatile|stable|immutable)\b", function), path
            assert re.search(r"\bsecurity (definer|invoker)\b", function), path
            assert re.search(r"\bparallel (safe|restricted|unsafe)\b", function), path
