"""What keeps the ledger from being installed into a database, told all at once and before anything is touched."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import psycopg

from aximo_db.client.errors import AximoError, InstallationError, ReadOnlyError
from aximo_db.dba.assets import named_statements
from aximo_db.dba.catalog import GROUP_ROLES, OWNING_ROLES

__all__ = ["is_installed", "one_error", "preflight"]

_SQL: Final = named_statements("dba/preflight.sql")


def preflight(connection: psycopg.Connection[Any]) -> list[AximoError]:
    """Everything that would keep the ledger from being installed or upgraded, in the order in which the SQL looks.

    Nothing is changed, and nothing is locked. The SQL refuses the same when it runs, one thing at a time.
    """
    cursor = psycopg.Cursor(connection)
    row = cursor.execute(_SQL["here"]).fetchone()
    number, version, encoding, login, database, may_create, is_read_only, may_make_roles = row or (0,) * 8
    found: list[AximoError] = []

    def refuse(rule: str, message: str, detail: str, hint: str) -> None:
        found.append(InstallationError(message, rule=rule, detail=detail, hint=hint))

    if number < 150000:
        refuse(
            "server_recent_enough", "this PostgreSQL is too old for the ledger",
            f"server_version is {version}", "Install into PostgreSQL 15 or later.",
        )  # fmt: skip
    if encoding != "UTF8":
        refuse(
            "database_is_utf8", "the ledger needs a database encoded in UTF8",
            f"server_encoding is {encoding}",
            "Make another database: create database ... encoding 'UTF8' template template0.",
        )  # fmt: skip
    if is_read_only:
        hint = "Connect to the primary, or look at default_transaction_read_only."
        detail = f"database {database} as {login}"
        found.append(ReadOnlyError(rule="session_may_write", detail=detail, hint=hint))
    if not may_create:
        refuse(
            "installer_owns_database", "the installing role may not create schemas in this database",
            f"role {login} lacks CREATE on database {database}", "Install as the owner of the database.",
        )  # fmt: skip
    if not is_installed(connection):
        squatters = [name for (name,) in cursor.execute(_SQL["squatters"]).fetchall()]
        if squatters:
            refuse(
                "schemas_are_ours", "a schema of the ledger's name is there already", "; ".join(squatters),
                "If it is the ledger, migrate as the login that installed it. If not, rename or drop that schema.",
            )  # fmt: skip
    roles = {
        name: (is_harmful, may_act) for name, is_harmful, may_act in cursor.execute(_SQL["roles"], (list(GROUP_ROLES),))
    }
    missing = [name for name in GROUP_ROLES if name not in roles]
    if missing and not may_make_roles:
        refuse(
            "installer_creates_roles", "the installing role may not create the ledger's roles",
            f"role {login} has no CREATEROLE, and there is no {', '.join(missing)}",
            f"As a superuser: alter role {login} createrole.",
        )  # fmt: skip
    harmful = [name for name in GROUP_ROLES if name in roles and roles[name][0]]
    if harmful:
        refuse(
            "group_roles_are_harmless", "a role of the ledger's name has rights that it must not have",
            f"{', '.join(harmful)} can log in, or is superuser, BYPASSRLS or CREATEROLE",
            "Rename or drop that role, then install again.",
        )  # fmt: skip
    closed = [name for name in OWNING_ROLES if name in roles and not roles[name][1]]
    if closed:
        refuse(
            "installer_acts_as_owner", "the installing role may not act as the ledger's owner",
            f"role {login} is not a member of {', '.join(closed)} and may not grant it",
            f"As the role that created them, or as superuser: grant {', '.join(closed)} to {login} with admin option.",
        )  # fmt: skip
    return found


def one_error(problems: Sequence[AximoError]) -> AximoError:
    """One error with every reason; its rule is the first one's."""
    if len(problems) == 1:
        return problems[0]
    told = [f"{each.rule}: {each.args[0]}: {each.detail}\n  → {each.hint}" for each in problems]
    return InstallationError(
        f"the ledger can't be installed here, for {len(problems)} reasons",
        rule=problems[0].rule,
        detail="\n".join(told),
        hint="What to do about each stands beneath it. Then migrate again.",
    )


def is_installed(connection: psycopg.Connection[Any]) -> bool:
    """Whether the ledger's own version table is there. Whoever may look at the catalog sees that."""
    row = psycopg.Cursor(connection).execute(_SQL["is_installed"]).fetchone()
    return row is not None and row[0]
