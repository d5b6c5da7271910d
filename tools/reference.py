"""Writes docs/reference.md from the catalog of a fresh installation: the text is that of the comments in sql/."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import psycopg

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "docs" / "reference.md"

# Roles belong to the whole cluster, so the schema does not comment on them.
ROLES = {
    "aximo_auditor": "May read, check the proofs and keep checkpoints.",
    "aximo_monitor": "May see how the ledger does, and no customer.",
    "aximo_bi": "May read its customer's metrics, and no event.",
    "aximo_gatekeeper": "Owns only the functions that decide which customer a session works for. Nobody logs in as it.",
    "aximo_meter": "Owns only the materialized views of the metrics, and what refreshes them; sees no event. Nobody logs in as it.",
    "aximo_operator": "May read, close stale executions, number events, refresh metrics and set thresholds.",
    "aximo_owner": "Owns schemas, tables, views and types. Nobody logs in as it; the installing login is a member.",
    "aximo_reader": "May read its customer's events and everything derived from them.",
    "aximo_recorder": "Owns only the functions that write events; the one role that may insert them. Nobody logs in as it.",
    "aximo_sequencer": "Owns only the functions that number events, keep the log and count; the one role that may add to the log and the sums. Nobody logs in as it.",
    "aximo_writer": "May also emit.",
}

SETTINGS = {
    "aximo.customer_id": "The customer of this transaction: `set local`, or `set_config(…, true)`. It is looked up in the access map; a value that was not granted means no rows and no writes. A login with one customer needs none.",
    "aximo.grant_installer": "Read once, by the installation: `off` keeps it from granting `*` to the installing login. `aximo-db migrate --no-grant-installer` sets it.",
    "aximo.as_of": "Internal: how the `_as_of` functions tell the views which moment to look at.",
}


def _rows(connection: psycopg.Connection[Any], query: str, *values: object) -> list[tuple[Any, ...]]:
    return connection.execute(query, values or None).fetchall()


def _cell(text: object) -> str:
    return str(text if text is not None else "").replace("|", "\\|").replace("\n", " ")


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> Iterator[str]:
    yield "| " + " | ".join(head) + " |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield "| " + " | ".join(_cell(value) for value in row) + " |"
    yield ""


def _roles(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names) if names else "nobody but its owner"


def _schemas(connection: psycopg.Connection[Any]) -> Iterator[str]:
    yield "## Schemas"
    yield ""
    yield from _table(
        ("schema", "what it is"),
        _rows(
            connection,
            "select format('`%s`', nspname), obj_description(oid, 'pg_namespace') from pg_namespace"
            " where nspname in ('aximo', 'aximo_metrics', 'helix', 'aximo_private') order by nspname",
        ),
    )


def _group_roles(connection: psycopg.Connection[Any]) -> Iterator[str]:
    found = _rows(
        connection,
        """
        select r.rolname, shobj_description(r.oid, 'pg_authid'), array(
            select distinct g.rolname::text
            from pg_auth_members as m
            inner join pg_roles as g on g.oid = m.roleid
            where m.member = r.oid
            order by 1
        )
        from pg_roles as r
        where r.rolname like 'aximo\\_%'
        order by r.rolname
        """,
    )
    unknown = {name for name, _, _ in found} ^ set(ROLES)
    if unknown:
        raise SystemExit(f"roles without a text, or texts without a role: {', '.join(sorted(unknown))}")
    yield "## Roles"
    yield ""
    yield "None of them can log in. A login gets what it may do by membership, and its customers by `aximo.grant_customer`."
    yield ""
    yield from _table(
        ("role", "what for", "member of"),
        [
            (f"`{name}`", comment or ROLES[name], ", ".join(f"`{group}`" for group in groups))
            for name, comment, groups in found
        ],
    )


def _settings() -> Iterator[str]:
    yield "## Settings"
    yield ""
    yield from _table(("setting", "meaning"), [(f"`{name}`", meaning) for name, meaning in SETTINGS.items()])


def _relations(connection: psycopg.Connection[Any]) -> Iterator[str]:
    yield "## Views and tables"
    yield ""
    relations = _rows(
        connection,
        """
        select c.oid, format('%s.%s', c.relnamespace::regnamespace, c.relname), case c.relkind when 'v' then 'view' else 'table' end, obj_description(c.oid, 'pg_class'), array(
            select r.rolname::text
            from pg_roles as r
            where r.rolname like 'aximo\\_%' and r.oid <> c.relowner and has_table_privilege(r.oid, c.oid, 'select')
            order by 1
        )
        from pg_class as c
        where c.relnamespace in ('aximo'::regnamespace, 'aximo_metrics'::regnamespace, 'helix'::regnamespace) and c.relkind in ('r', 'v', 'm')
        order by 2
        """,
    )
    for oid, name, kind, comment, readers in relations:
        yield f"### {name}"
        yield ""
        yield f"A {kind}. {comment}"
        yield ""
        yield f"Read by: {_roles(readers)}."
        yield ""
        yield from _table(
            ("column", "type", "meaning"),
            _rows(
                connection,
                "select format('`%%s`', attname), format_type(atttypid, atttypmod), col_description(attrelid, attnum)"
                " from pg_attribute where attrelid = %s and attnum > 0 and not attisdropped order by attnum",
                oid,
            ),
        )


def _functions(connection: psycopg.Connection[Any]) -> Iterator[str]:
    yield "## Functions"
    yield ""
    functions = _rows(
        connection,
        """
        select format('%s.%s', p.pronamespace::regnamespace, p.proname), pg_get_function_arguments(p.oid), pg_get_function_result(p.oid), obj_description(p.oid, 'pg_proc'),
            case p.provolatile when 'i' then 'immutable' when 's' then 'stable' else 'volatile' end,
            case when p.prosecdef then 'security definer, as ' || o.rolname else 'security invoker' end,
            array(
                select r.rolname::text
                from pg_roles as r
                where r.rolname like 'aximo\\_%' and r.oid <> p.proowner and has_function_privilege(r.oid, p.oid, 'execute')
                order by 1
            )
        from pg_proc as p
        inner join pg_roles as o on o.oid = p.proowner
        where p.pronamespace in ('aximo'::regnamespace, 'aximo_metrics'::regnamespace, 'helix'::regnamespace)
        order by 1, 2
        """,
    )
    for name, arguments, result, comment, volatility, security, callers in functions:
        yield f"### {name}()"
        yield ""
        yield "```text"
        if len(arguments) <= 80:
            yield f"{name}({arguments}) returns {result}"
        else:
            yield f"{name}("
            yield ",\n".join(f"    {argument}" for argument in arguments.split(", "))
            yield f") returns {result}"
        yield "```"
        yield ""
        yield str(comment)
        yield ""
        yield f"Called by: {_roles(callers)}. {volatility.capitalize()}, {security}."
        yield ""


def _types(connection: psycopg.Connection[Any]) -> Iterator[str]:
    yield "## Types"
    yield ""
    composites = _rows(
        connection,
        """
        select format('%s.%s', t.typnamespace::regnamespace, t.typname), t.typrelid, obj_description(t.oid, 'pg_type')
        from pg_type as t
        inner join pg_class as c on c.oid = t.typrelid and c.relkind = 'c'
        where t.typnamespace in ('aximo'::regnamespace, 'helix'::regnamespace)
        order by 1
        """,
    )
    for name, relation, comment in composites:
        yield f"### {name}"
        yield ""
        yield str(comment)
        yield ""
        yield from _table(
            ("field", "type", "meaning"),
            _rows(
                connection,
                "select format('`%%s`', attname), format_type(atttypid, atttypmod), col_description(attrelid, attnum)"
                " from pg_attribute where attrelid = %s and attnum > 0 order by attnum",
                relation,
            ),
        )


def _domains(connection: psycopg.Connection[Any]) -> Iterator[str]:
    yield "## Limits"
    yield ""
    yield "The limits of an event's fields are domains. A value that breaks one is refused with `ZXARG`, and the constraint's name"
    yield "is in the error's constraint field."
    yield ""
    yield from _table(
        ("domain", "type", "null", "constraints", "what it is"),
        _rows(
            connection,
            """
            select format('`%s`', t.typname), format_type(t.typbasetype, t.typtypmod), case when t.typnotnull then 'no' else 'yes' end,
                (
                    select string_agg(format('`%s`', k.conname), ', ' order by k.conname)
                    from pg_constraint as k
                    where k.contypid = t.oid and k.contype = 'c'
                ),
                obj_description(t.oid, 'pg_type')
            from pg_type as t
            where t.typnamespace = 'aximo_private'::regnamespace and t.typtype = 'd'
            order by t.typname
            """,
        ),
    )
    yield from _table(
        ("field of an event", "domain", "required"),
        _rows(
            connection,
            """
            select format('`%s`', a.attname), format('`%s`', t.typname),
                case
                    when (a.attnotnull or t.typnotnull) and not a.atthasdef then 'yes'
                    when a.attname = 'execution_id' then 'for execution, action and approval events'
                    else 'no'
                end
            from pg_attribute as a
            inner join pg_type as t on t.oid = a.atttypid and t.typtype = 'd'
            where a.attrelid = 'aximo_private.events'::regclass and a.attnum > 0
            order by a.attname
            """,
        ),
    )


def _event_types(connection: psycopg.Connection[Any]) -> Iterator[str]:
    yield "## Event types"
    yield ""
    yield from _table(
        ("event_type", "category", "meaning"),
        _rows(
            connection,
            "select format('`%s`', event_type), category, meaning from aximo.event_types"
            " order by array_position(array['execution', 'action', 'approval', 'governance', 'lifecycle'], category), event_type",
        ),
    )


def _private(connection: psycopg.Connection[Any]) -> Iterator[str]:
    yield "## Behind the API"
    yield ""
    yield "Schema `aximo_private`: no login has USAGE on it, and nothing in it is a contract."
    yield ""
    yield from _table(
        ("object", "kind", "what it is"),
        _rows(
            connection,
            """
            select format('`%s`', c.relname), case c.relkind when 'v' then 'view' when 'S' then 'sequence' else 'table' end as kind,
                obj_description(c.oid, 'pg_class')
            from pg_class as c
            where c.relnamespace = 'aximo_private'::regnamespace and c.relkind in ('r', 'v', 'm', 'S')
            union all
            select format('`%s()`', p.proname), 'function', obj_description(p.oid, 'pg_proc')
            from pg_proc as p
            where p.pronamespace = 'aximo_private'::regnamespace
            order by kind desc, 1
            """,
        ),
    )


def render(connection: psycopg.Connection[Any]) -> str:
    """The page, from the catalog that a connection sees."""
    lines = [
        "# Reference",
        "",
        "Made by `make generated` from the comments in `sql/`; do not edit it here.",
        "",
    ]
    for section in (_schemas, _group_roles):
        lines.extend(section(connection))
    lines.extend(_settings())
    for section in (_relations, _functions, _types, _domains, _event_types, _private):
        lines.extend(section(connection))
    return "\n".join(lines).rstrip("\n") + "\n"
