"""One place to read the metrics of all nodes of a fleet: SQL for postgres_fdw, made of the contract's list of views.

The script only adds, so it can be run again when a node or a login has come. Source: ``docs/scale.md``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import psycopg
from psycopg.conninfo import conninfo_to_dict

from aximo_db.client.dsn import libpq_dsn
from aximo_db.client.errors import InstallationError
from aximo_db.contract import shipped_contract

__all__ = ["federation_script", "password_variable"]

#: The schema of the views that show all nodes.
SCHEMA: Final = "aximo_fleet"
#: These say something of every customer that a login was granted, with events or without: the node of its log does.
_WITHOUT_EVENTS: Final = ("freshness", "high_risk_levels", "lead_action_types", "thresholds")
#: What postgres_fdw takes from somewhere else: the user mapping, or the session that reads.
_NOT_THE_SERVERS: Final = ("user", "password", "passfile", "client_encoding", "fallback_application_name")


def password_variable(login: str) -> str:
    """The environment variable from which the script takes a login's password on the nodes."""
    return "AXIMO_FLEET_PASSWORD_" + re.sub(r"\W", "_", login).upper()


def federation_script(nodes: Mapping[int, str], logins: Sequence[str]) -> str:
    """The script, for psql: foreign servers and tables, a user mapping a login and node, and views over all nodes.

    Args:
        nodes: a libpq connection string for each node, as the database that reads reaches it. A user and a password in
            it are left out: every login comes as itself.
        logins: BI logins, of the same name here and on every node.

    Raises:
        InstallationError: a node is no number from 0 to 1023, its connection string can't be read, or there is no node
            or login.
    """
    if not nodes or not logins:
        raise InstallationError(
            "a fleet to read has nodes and logins",
            rule="fleet_has_nodes_and_logins",
            hint="Name each node with --node NUMBER=DSN, and each BI login with --login NAME.",
        )
    options = {node: _options(node, dsn) for node, dsn in sorted(nodes.items())}
    return "\n".join(
        [
            *_head(logins),
            *_servers(options, logins),
            *_tables(options),
            *_views(options),
            *_grants(options, logins),
            "commit;",
            "",
        ]
    )


def _options(node: int, dsn: str) -> dict[str, str]:
    if not 0 <= node <= 1023:
        raise InstallationError(
            "this is no number of a node",
            rule="node_known",
            detail=f"node {node}",
            hint="A node is a number from 0 to 1023.",
        )
    try:
        given = conninfo_to_dict(libpq_dsn(dsn))
    except psycopg.ProgrammingError:
        raise InstallationError(
            "the connection string of a node can't be read",
            rule="node_is_reached",
            detail=f"node {node}",
            hint="Write postgresql://HOST:PORT/DATABASE, or host=HOST dbname=DATABASE.",
        ) from None
    return {name: str(value) for name, value in given.items() if name not in _NOT_THE_SERVERS}


def _head(logins: Sequence[str]) -> Iterator[str]:
    yield "-- The metrics of all nodes of a fleet in one place. Run it with psql, in the database that BI tools read,"
    yield "-- as its owner; postgres_fdw comes with PostgreSQL, and a superuser creates it."
    yield "-- It only adds: run it again when a node has come."
    yield "-- Passwords come from the environment:"
    yield from (f"--   {password_variable(login)}" for login in logins)
    yield "\\set ON_ERROR_STOP on"
    yield from (f"\\getenv {_variable(login)} {password_variable(login)}" for login in logins)
    yield "begin;"
    yield "create extension if not exists postgres_fdw;"
    yield f"create schema if not exists {SCHEMA};"


def _variable(login: str) -> str:
    return password_variable(login).lower()


def _servers(options: Mapping[int, Mapping[str, str]], logins: Sequence[str]) -> Iterator[str]:
    for node, given in options.items():
        # Nodes are asked at the same time, and asked for the customer's rows only: their views see to that.
        listed = ", ".join(
            f"{name} {_literal(value)}"
            for name, value in {**given, "async_capable": "true", "fetch_size": "10000"}.items()
        )
        yield f"create server if not exists {_server(node)} foreign data wrapper postgres_fdw options ({listed});"
        for login in logins:
            yield f"create user mapping if not exists for {_name(login)} server {_server(node)}"
            yield f"options (user {_literal(login)}, password :'{_variable(login)}');"


def _tables(options: Mapping[int, Mapping[str, str]]) -> Iterator[str]:
    for node in options:
        yield f"create schema if not exists {_schema(node)};"
        for view, entry in _metric_views():
            columns = ", ".join(f"{_name(each['name'])} {each['type']}" for each in entry["columns"])
            yield f"create foreign table if not exists {_schema(node)}.{view} ({columns})"
            yield f"server {_server(node)} options (schema_name 'aximo_metrics', table_name '{view}');"


def _views(options: Mapping[int, Mapping[str, str]]) -> Iterator[str]:
    for view, entry in _metric_views():
        parts = []
        for node in options:
            where = (
                f" where exists (select from {_schema(node)}.freshness where log_size > 0)"
                if view in _WITHOUT_EVENTS
                else ""
            )
            columns = ", ".join(_name(each["name"]) for each in entry["columns"])
            parts.append(f"select {columns} from {_schema(node)}.{view}{where}")
        yield f"create or replace view {SCHEMA}.{view} with (security_invoker = true) as"
        yield "\nunion all\n".join(parts) + ";"
        yield f"comment on view {SCHEMA}.{view} is {_literal(entry['meaning'])};"
        for each in entry["columns"]:
            yield f"comment on column {SCHEMA}.{view}.{_name(each['name'])} is {_literal(each['meaning'])};"


def _grants(options: Mapping[int, Mapping[str, str]], logins: Sequence[str]) -> Iterator[str]:
    schemas = ", ".join([SCHEMA, *(_schema(node) for node in options)])
    for login in logins:
        yield f"grant usage on schema {schemas} to {_name(login)};"
        yield f"grant select on all tables in schema {schemas} to {_name(login)};"


def _metric_views() -> Iterator[tuple[str, dict[str, Any]]]:
    for name, entry in sorted(shipped_contract("aximo").document["relations"].items()):
        schema, _, view = name.partition(".")
        if schema == "aximo_metrics" and entry["kind"] == "view":
            yield view, entry


def _server(node: int) -> str:
    return f"aximo_node_{node}"


def _schema(node: int) -> str:
    return f"{SCHEMA}_{node}"


def _name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return (
        "'" + text.replace("'", "''") + "'"
        if "\\" not in text
        else "E'" + text.replace("\\", "\\\\").replace("'", "''") + "'"
    )
