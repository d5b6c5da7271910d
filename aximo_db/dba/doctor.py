"""What a DBA should worry about, looked up in the catalog: one function a check. Its queries are in ``doctor.sql``."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal, NamedTuple

import psycopg

from aximo_db.client import statements
from aximo_db.client.connect import connect
from aximo_db.dba.assets import HEAD_SCHEMA_VERSION, named_statements
from aximo_db.dba.catalog import (
    GATEWAY_TABLES,
    GROUP_ROLES,
    OWNING_ROLES,
    VOCABULARY,
    differences,
    expected_facts,
    facts,
    fingerprint,
)

__all__ = ["Finding", "examine"]

Level = Literal["ok", "note", "warning", "error"]
LEVELS: Final[tuple[Level, ...]] = ("ok", "note", "warning", "error")
_SQL: Final = named_statements("dba/doctor.sql")
#: From so many events without a number on, somebody should look why.
_FAR_BEHIND: Final = 100_000
#: After so many seconds, a move was forgotten.
_LONGEST_MOVE_S: Final = 3600
#: How many executions of a customer are compared with their events.
_NEWEST: Final = 200
#: From so many remembered gaps on, each look at them takes more than a moment.
_MANY_HOLES: Final = 10_000
#: The first minor releases without CVE-2026-14680, by major version.
SAFE_MINORS: Final = {15: 19, 16: 15, 17: 11, 18: 6}

_API_GRANT: Final = re.compile(
    r"grant on ((function|type) (aximo|helix)\..*|schema (aximo|helix): usage) to (?!public$|aximo_)"
)

#: What ends a session that holds something up; the last one from PostgreSQL 17 on.
_TIMEOUTS: Final = ("statement_timeout", "idle_in_transaction_session_timeout", "transaction_timeout")

#: Roles of PostgreSQL's own that reach past the ledger's views.
_FAR_REACHING: Final = (
    "pg_read_all_data", "pg_write_all_data", "pg_maintain", "pg_monitor", "pg_read_all_stats", "pg_stat_scan_tables",
    "pg_read_server_files", "pg_write_server_files", "pg_execute_server_program", "pg_create_subscription",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at.

    Attributes:
        level: ``ok``, ``note`` (to know), ``warning`` (to look into) or ``error`` (a promise does not hold).
        check: which check.
        message: what was found.
        fix: what to do, or ``None``.
    """

    level: Level
    check: str
    message: str
    fix: str | None = None

    def as_json(self) -> dict[str, str | None]:
        """The finding as a JSON object."""
        return asdict(self)


def examine(dsn: str | None = None, *, customers: Sequence[str] = ()) -> list[Finding]:
    """Looks at everything, as the login of the connection string; the DBA sees most.

    Args:
        dsn: a libpq connection string; ``None`` for ``AXIMO_DB_URL``, else libpq's own variables.
        customers: whose open executions to count, and whose newest executions to compare with their events.
    """
    with connect(dsn, of_catalog=True) as connection:
        found = list(_schema(connection))
        if any(finding.level == "error" for finding in found):
            return found
        for check in (
            _drift, _strangers, _roles, _neighbours, _access_map, _gateway, _timeouts, _database, _clock, _log, _metrics,
            _placements,
        ):  # fmt: skip
            found.extend(check(connection))
        for customer in customers:
            found.extend(_open_executions(connection, customer))
            found.extend(_execution_rows(connection, customer))
        return found


def _schema(connection: psycopg.Connection[Any]) -> Iterator[Finding]:
    row = connection.execute("select to_regprocedure('aximo.schema_version()') is not null").fetchone()
    if row is None or not row[0]:
        yield Finding("error", "schema", "The schema is not installed in this database.", "aximo-db migrate")
        return
    row = connection.execute("select aximo.schema_version()").fetchone()
    version = row[0] if row else None
    if version != HEAD_SCHEMA_VERSION:
        yield Finding(
            "error",
            "schema",
            f"The schema is at version {version}, this package is made for {HEAD_SCHEMA_VERSION}.",
            "aximo-db migrate, or upgrade the package",
        )
        return
    yield Finding("ok", "schema", f"The schema is at version {version}.")


def _drift(connection: psycopg.Connection[Any]) -> Iterator[Finding]:
    now = facts(connection)
    unread = tuple(
        f"row of {table}:" for table in VOCABULARY if not any(line.startswith(f"row of {table}:") for line in now)
    )
    missing = sorted(line for line in set(expected_facts()) - set(now) if not line.startswith(unread))
    new = sorted(set(now) - set(expected_facts()))
    # What REINDEX CONCURRENTLY leaves behind when it is stopped.
    leftovers = [line for line in new if re.match(r"index \S+_cc(new|old)\d*: ", line)]
    for line in leftovers:
        name = line.split(" ")[1].rstrip(":")
        yield Finding(
            "warning", "drift", f"A REINDEX that was stopped left the index {name}.", f"drop index concurrently {name}"
        )
    new = [line for line in new if line not in leftovers]
    # The API's own functions may be granted to logins one by one, for one that only writes for example.
    granted = [line for line in new if _API_GRANT.match(line)]
    for line in granted:
        yield Finding("note", "grants", f"Beyond the group roles: {line}")
    moving = {row[0] for row in connection.execute(_SQL["rights_of_moves"], ())}
    for line in sorted(moving.intersection(new)):
        yield Finding("note", "grants", f"Until the move of a customer to this node is done: {line}")
    strange = [line for line in new if line not in granted and line not in moving]
    for message in differences(missing, strange):
        yield Finding("error", "drift", message, "Compare with sql/, and find out who did it.")
    if not missing and not strange:
        yield Finding("ok", "drift", "Guards, policies, functions and grants are as installed.")
    yield Finding("note", "fingerprint", f"Keep it elsewhere and compare: {fingerprint(now)}")


def _strangers(connection: psycopg.Connection[Any]) -> Iterator[Finding]:
    """What others made around the schema: objects, views, event triggers, settings of roles and databases."""
    findings = list(_made_by_others(connection))
    yield from findings
    if not findings:
        yield Finding("ok", "strangers", "Nothing of others acts with the ledger's roles, or in every session.")


def _made_by_others(connection: psycopg.Connection[Any]) -> Iterator[Finding]:
    for role, kind, name in connection.execute(_SQL["elsewhere"], (list(GROUP_ROLES),)).fetchall():
        yield Finding(
            "warning", "strangers", f"The {kind} {name} belongs to {role} and is not the ledger's: it acts as that role.",
            "Give it to another owner, or drop it.",
        )  # fmt: skip
    for view, table, owner, is_copy, is_free in connection.execute(_SQL["views_of_others"]).fetchall():
        what = (
            "keeps a copy of what it read, for everybody who may read the view"
            if is_copy
            else f"reads as {owner}, whom row-level security does not hold"
            if is_free
            else f"reads as {owner}"
        )
        yield Finding(
            "warning", "strangers", f"The view {view} of {owner} over {table} {what}.",
            "Let it read the views of schema aximo, each time.",
        )  # fmt: skip
    for name, owner, occasion, function in connection.execute(
        "select e.evtname, pg_get_userbyid(e.evtowner), e.evtevent, e.evtfoid::regproc::text from pg_event_trigger as e order by 1"
    ).fetchall():
        yield Finding(
            "warning", "strangers",
            f"The event trigger {name} of {owner} runs {function} at {occasion}, with the rights of whoever is there.",
            "Read it: it runs in migrations too.",
        )  # fmt: skip
    for role, setting in connection.execute(_SQL["settings_of_others"]).fetchall():
        yield Finding(
            "warning", "strangers", f"Sessions of {role} begin with {setting}.",
            "alter role … reset, or alter database … reset, unless it is meant: the ledger's own functions do not heed it.",
        )  # fmt: skip


class _Role(NamedTuple):
    """A role, and which far-reaching roles and group roles it may act as."""

    name: str
    is_super: bool
    bypasses: bool
    creates_roles: bool
    logs_in: bool
    is_group: bool
    replicates: bool
    is_dba: bool
    reaches: list[str]
    groups: list[str]


def _roles(connection: psycopg.Connection[Any]) -> Iterator[Finding]:
    rows = connection.execute(_SQL["roles"], {"groups": list(GROUP_ROLES), "reaching": list(_FAR_REACHING)}).fetchall()
    roles = [_Role(*row) for row in rows]
    findings = [finding for role in roles for finding in _wrong_with(connection, role)]
    yield from findings
    supers = [role.name for role in roles if role.is_super and role.logs_in]
    yield Finding("note", "roles", f"Superusers, whom nothing in the database stops: {', '.join(supers) or 'none'}.")
    if all(finding.level == "note" for finding in findings):
        yield Finding("ok", "roles", "No service login is superuser or BYPASSRLS; the group roles can't log in.")


def _wrong_with(connection: psycopg.Connection[Any], role: _Role) -> Iterator[Finding]:
    """What a role may do that it should not."""
    name = role.name
    if role.is_group and (role.is_super or role.bypasses or role.creates_roles or role.logs_in):
        yield Finding(
            "error", "roles", f"Group role {name} can log in, or has rights it must not have.",
            f"alter role {name} nologin nosuperuser nobypassrls nocreaterole",
        )  # fmt: skip
    if role.is_group or not role.logs_in:
        return
    serves = _serves_customers(connection, name)
    if (role.is_super or role.bypasses) and serves:
        what = "superuser" if role.is_super else "BYPASSRLS"
        yield Finding(
            "warning", "roles", f"Login {name} works for customers and is {what}: row-level security does not hold for it.",
            "Give services and people logins of their own.",
        )  # fmt: skip
    more = list(role.reaches)
    more += ["REPLICATION"] if role.replicates else []
    more += ["CREATEROLE"] if role.creates_roles and not role.is_dba else []
    if serves and not role.is_super and more:
        yield Finding(
            "warning", "roles", f"Login {name} works for customers and has {', '.join(more)}: it reaches past their views.",
            "Give services and people logins of their own.",
        )  # fmt: skip
    owners = ", ".join(group for group in role.groups if group in OWNING_ROLES)
    if owners and serves and not role.is_super and not role.is_dba:
        yield Finding(
            "warning", "roles", f"Login {name} works for customers and can act as {owners}: it can change the schema.",
            f"revoke {owners} from {name}",
        )  # fmt: skip
    elif owners and not role.is_super:
        yield Finding("note", "roles", f"Login {name} can act as {owners}: it can change the schema.")
    elif role.creates_roles and not role.is_super and connection.info.server_version < 160000:
        yield Finding(
            "warning", "roles",
            f"Login {name} has CREATEROLE, with which it can make itself a member of any role before PostgreSQL 16.",
            f"alter role {name} nocreaterole",
        )  # fmt: skip


def _serves_customers(connection: psycopg.Connection[Any], login: str) -> bool:
    """Whether a login was granted customers, if that may be read."""
    query = "select exists (select from aximo_private.customer_grants where role_name = %s)"
    return _reads_access_map(connection) and connection.execute(query, (login,)).fetchone() == (True,)


def _neighbours(connection: psycopg.Connection[Any]) -> Iterator[Finding]:
    """Other ledgers of the cluster: who may act as their owners may act as this one's, where he may connect."""
    row = connection.execute(_SQL["neighbours"], (list(OWNING_ROLES),)).fetchone()
    databases, logins = row or ([], [])
    if databases and logins:
        yield Finding(
            "warning", "neighbours",
            f"The group roles are shared with another ledger in this cluster, {', '.join(databases)}: whoever may act as its owner may"
            f" act as this one's, read and write here, as long as he may connect: {', '.join(logins)}.",
            "docs/hardening.sql lets in only logins of this ledger. Owners who don't trust each other need a cluster each.",
        )  # fmt: skip
    elif databases:
        yield Finding(
            "ok", "neighbours", f"Another ledger is in this cluster, {', '.join(databases)}; no other owner of it may connect here.",
        )  # fmt: skip
    else:
        yield Finding("ok", "neighbours", "No other database of this cluster uses the ledger's roles.")


def _reads_access_map(connection: psycopg.Connection[Any]) -> bool:
    row = connection.execute(
        "select has_schema_privilege('aximo_private', 'usage')"
        " and has_table_privilege('aximo_private.customer_grants', 'select')"
    ).fetchone()
    return bool(row and row[0])


def _access_map(connection: psycopg.Connection[Any]) -> Iterator[Finding]:
    if not _reads_access_map(connection):
        yield Finding("note", "access", "This login may not read the access map.", "Run doctor as the owner's login.")
        return
    rows = connection.execute(_SQL["access"]).fetchall()
    for name, is_gone, has_all, customers in rows:
        if is_gone:
            yield Finding(
                "warning", "access", f"Role {name} is gone and still has grants: a new login of that name would get them.",
                "select aximo.revoke_customer(role_name, customer_id) for each of them",
            )  # fmt: skip
        elif has_all:
            yield Finding("note", "access", f"Login {name} may work for every customer.")
        elif customers > 1:
            yield Finding("note", "access", f"Login {name} may work for {customers} customers, one a transaction.")
    differences = connection.execute(
        "select role_name, customer_id, is_granted from aximo_private.access_differences() order by 1, 2"
    ).fetchall()
    for name, customer, is_granted in differences:
        what = (
            "may work for {}, and no grant is in the history" if is_granted else "was granted {}, and is not in the map"
        )
        yield Finding(
            "warning", "access", f"Login {name} {what.format(customer)}: somebody changed the access map past its functions.",
            "Find out who; then aximo.revoke_customer, or aximo.grant_customer, makes it right from now on.",
        )  # fmt: skip
    yield Finding("ok", "access", f"{len(rows)} logins have customers.")


def _timeouts(connection: psycopg.Connection[Any]) -> Iterator[Finding]:
    """Logins of customers that may keep something open for as long as they like."""
    if not _reads_access_map(connection):
        return
    missing: dict[str, list[str]] = {}
    for login, name, value in connection.execute(
        _SQL["timeouts"], {"names": list(_TIMEOUTS), "owners": list(OWNING_ROLES)}
    ).fetchall():
        if re.match(r"0*\D*$", value):
            missing.setdefault(login, []).append(name)
    for login, names in missing.items():
        yield Finding(
            "note", "timeouts", f"Login {login} has no {', '.join(names)}: a transaction that it leaves open keeps rows and holes remembered.",
            "; ".join(f"alter role {login} set {name} = '…'" for name in names),
        )  # fmt: skip
    if not missing:
        yield Finding("ok", "timeouts", "Logins with customers can't leave a transaction open for ever.")


def _gateway(connection: psycopg.Connection[Any]) -> Iterator[Finding]:
    """Tables in schema helix that are a gateway's own: as it makes them, they do not say whose a row is."""
    tables = [row[0] for row in connection.execute(_SQL["gateway_tables"], (list(GATEWAY_TABLES),))]
    if not tables or not _reads_access_map(connection):
        return
    rows = connection.execute(_SQL["gateway_logins"], (tables,)).fetchall()
    customers = {customer for _, granted in rows for customer in granted}
    if len(customers) > 1 or "*" in customers:
        yield Finding(
            "note", "gateway",
            f"The gateway's own tables in schema helix ({', '.join(tables)}) are not isolated by customer: every login that may"
            f" use them sees all of them, and those are of more than one customer: {', '.join(row[0] for row in rows)}.",
            "As the tables' owner: select helix.isolate_gateway_tables(). Or give each customer's gateway a database of its own.",
        )  # fmt: skip
    else:
        yield Finding("ok", "gateway", "The gateway's own tables in schema helix serve one customer at most.")


#: What of the server and the database is not as it should be: the question, how bad a yes is, what it means, and what to do.
_QUESTIONS: Final[tuple[tuple[str, Level, str, str], ...]] = (
    (
        "select has_schema_privilege('public', 'public', 'create') from pg_namespace where nspname = 'public'",
        "note",
        "Everybody may create objects in schema public.",
        "revoke create on schema public from public",
    ),
    (
        "select has_database_privilege('public', current_database(), 'temp')",
        "note",
        "Everybody may make temporary tables in this database.",
        "revoke temporary on database … from public, if nothing else in it needs them",
    ),
    (
        "select current_setting('session_replication_role') <> 'origin'",
        "error",
        "session_replication_role is not origin: ordinary triggers and foreign keys do not fire.",
        "Find out where it is set: pg_db_role_setting, or the server's configuration.",
    ),
    (
        "select exists (select from pg_parameter_acl where parname = 'session_replication_role')",
        "warning",
        "A role was granted to set session_replication_role.",
        "revoke set on parameter session_replication_role from …",
    ),
    (
        "select exists (select from pg_prepared_xacts where database = current_database() and prepared < now() - interval '1 hour')",
        "warning",
        "A prepared transaction is older than an hour: it holds its rows' places.",
        "commit prepared or rollback prepared",
    ),
    (
        "select exists (select from pg_publication_tables where schemaname in ('aximo_private', 'helix'))",
        "note",
        "A publication sends the ledger's tables: row-level security does not hold for its subscribers.",
        "Use row filters by customer.",
    ),
    (
        "select to_regnamespace('aximo_vault') is not null",
        "warning",
        "The vault of sealed values is in the ledger's own database: its backups hold the keys, and bring back what was erased.",
        "Make the vault in a database of its own (AXIMO_VAULT_URL), with a backup of its own.",
    ),
    (
        "select current_setting('random_page_cost')::float > 2",
        "note",
        "random_page_cost is that of a disk with moving parts: pages of a customer's rows may be sorted, not read off an index.",
        "alter database … set random_page_cost = 1.1, if it lies on anything else",
    ),
    (
        "select not current_setting('fsync')::boolean",
        "warning",
        "fsync is off: a crash can lose acknowledged events.",
        "Set fsync = on.",
    ),
    (
        "select current_setting('synchronous_commit') = 'off'",
        "warning",
        "synchronous_commit is off: a crash can lose the last acknowledged events.",
        "Set synchronous_commit = on for the logins that emit.",
    ),
)


def _database(connection: psycopg.Connection[Any]) -> Iterator[Finding]:
    major, minor = divmod(connection.info.server_version, 10000)
    if minor < SAFE_MINORS.get(major, 0):
        yield Finding(
            "warning", "server", f"PostgreSQL {major}.{minor} lacks the fix of CVE-2026-14680.",
            f"Upgrade to {major}.{SAFE_MINORS[major]} or later.",
        )  # fmt: skip
    clean = True
    for question, level, message, fix in _QUESTIONS:
        row = connection.execute(question).fetchone()
        if row and row[0]:
            clean = clean and level == "note"
            yield Finding(level, "server", message, fix)
    if clean:
        yield Finding("ok", "server", f"PostgreSQL {major}.{minor}, set up to keep what it acknowledges.")
    yield Finding(
        "note", "backup",
        "A backup by pg_dump needs a role with BYPASSRLS or a superuser: as the owner, with --enable-row-security, it would be empty.",
    )  # fmt: skip


def _clock(connection: psycopg.Connection[Any]) -> Iterator[Finding]:
    before = datetime.now(UTC)
    row = connection.execute("select extract(epoch from clock_timestamp())::double precision").fetchone()
    after = datetime.now(UTC)
    if row is None:
        return
    here = before + (after - before) / 2
    skew = abs(row[0] - here.timestamp())
    if skew > 1 + (after - before).total_seconds():
        yield Finding(
            "warning", "clock", f"The database's clock and this machine's differ by {skew:.1f} s.",
            "Synchronise the clocks: timestamps come from the emitters, recorded_at from the database.",
        )  # fmt: skip
    else:
        yield Finding("ok", "clock", "The database's clock and this machine's agree.")


def _metrics(connection: psycopg.Connection[Any]) -> Iterator[Finding]:
    try:
        row = connection.execute(_SQL["metrics"]).fetchone()
    except psycopg.errors.InsufficientPrivilege:
        yield Finding(
            "note",
            "metrics",
            "This login can't see how far metrics are counted.",
            "Run doctor as the installing login.",
        )
        return
    if row is None:
        yield Finding(
            "error", "metrics", "The state of the metrics is missing: they can't be refreshed.",
            "Restore the row of aximo_private.metric_state from the backup.",
        )  # fmt: skip
        return
    never, is_old, numbered, waiting, forgotten, failed = row
    if failed:
        yield Finding(
            "warning", "metrics",
            f"Events of {len(failed)} customers can't be counted, so their metrics stand still: {', '.join(failed[:5])}"
            + (" and others." if len(failed) > 5 else "."),
            "aximo-db refresh --recount; if it is said again then, report what they wrote.",
        )  # fmt: skip
    if forgotten:
        yield Finding(
            "warning", "metrics", f"{forgotten:,} numbered events are not counted in the metrics.",
            "aximo-db refresh --recount",
        )  # fmt: skip
    elif numbered and (never or is_old):
        yield Finding(
            "note", "metrics", "Metrics were " + ("never refreshed." if never else "last refreshed more than a day ago."),
            "Run aximo-db refresh from cron, if anybody looks at them.",
        )  # fmt: skip
    elif not failed:
        yield Finding(
            "ok", "metrics", f"{waiting:,} numbered events wait for the next refresh." if waiting else "Every numbered event is counted in the metrics.",
        )  # fmt: skip


def _log(connection: psycopg.Connection[Any]) -> Iterator[Finding]:
    try:
        row = connection.execute(_SQL["log_state"]).fetchone()
        logs = connection.execute(_SQL["logs"]).fetchall()
    except psycopg.errors.InsufficientPrivilege:
        yield Finding(
            "note", "log", "This login can't see how far the numbering is.", "Run doctor as the installing login."
        )
        return
    gone = ["log_state"] if row is None else []
    if any(high is None for _, _, high, *_ in logs):
        gone.append("logs")
    if row is None or gone:
        yield Finding(
            "error", "log", "The log's state is missing: nothing can be numbered.",
            f"Restore the rows of {' and '.join('aximo_private.' + table for table in gone)} from the backup.",
        )  # fmt: skip
        return
    seconds, numbered, highest = row
    age = None if seconds is None else timedelta(seconds=seconds)
    if (numbered and highest == 0) or any(is_new for *_, is_new in logs):
        yield Finding(
            "error", "log", "The log's state does not belong to its entries, so nothing can be numbered.",
            "Restore the rows of aximo_private.log_state and aximo_private.logs from the same backup as the entries.",
        )  # fmt: skip
        return
    for log, sequence, high, last, holes, _ in logs:
        if last < high:
            yield Finding(
                "error", "log", f"The sequence of positions is behind the log {log}: new events would be passed over.",
                f"As superuser: select setval('{sequence}', {high}); then aximo-db verify --log {log} --mend.",
            )  # fmt: skip
        elif last - high > _FAR_BEHIND or (last > high and (age is None or age > timedelta(hours=1))):
            since = "never" if age is None else f"{age.total_seconds() / 3600:.1f} hours ago"
            yield Finding(
                "warning", "log",
                f"About {last - high:,} events have no number yet in the log {log}; numbered last: {since}.",
                "Run aximo-db advance from cron, or with --follow.",
            )  # fmt: skip
        else:
            yield Finding("ok", "log", f"Numbering of the log {log} is at most {last - high:,} events behind.")
        if holes > _MANY_HOLES:
            yield Finding(
                "warning", "log",
                f"{holes:,} gaps are remembered in the log {log}, which makes numbering slower: a transaction has been open for long.",
                "Find it in pg_stat_activity (backend_xid is not null) or pg_prepared_xacts, of any database, and end it.",
            )  # fmt: skip


def _placements(connection: psycopg.Connection[Any]) -> Iterator[Finding]:
    """Customers on the way to or from another node."""
    try:
        rows = connection.execute(_SQL["placements"]).fetchall()
    except psycopg.errors.InsufficientPrivilege:
        yield Finding(
            "note",
            "moves",
            "This login can't see who is on the way to another node.",
            "Run doctor as the installing login.",
        )
        return
    for customer, state, node, seconds in rows:
        way = f"leaving for node {node}" if state == "leaving" else f"arriving from node {node}"
        is_long = seconds > _LONGEST_MOVE_S
        yield Finding(
            "warning" if is_long else "note", "moves",
            f"Customer {customer} has been {way} for {timedelta(seconds=seconds)}"
            + ("; nobody can write for it." if state == "leaving" else "."),
            "aximo-db move goes on where it stopped; with --abandon the customer stays where it was.",
        )  # fmt: skip
    # Of one that is leaving, that was said.
    is_leaving = any(state == "leaving" for _, state, _, _ in rows)
    slots = [] if is_leaving else connection.execute(_SQL["slots_of_moves"], ()).fetchall()
    for slot, is_active in slots:
        yield Finding(
            "note" if is_active else "warning", "moves",
            f"A customer is being copied from this node, or was: slot {slot} keeps the WAL for it"
            + ("." if is_active else ", and nobody reads it."),
            "aximo-db move goes on where it stopped; with --abandon the customer stays where it was.",
        )  # fmt: skip
    if not rows and not slots:
        yield Finding("ok", "moves", "No customer of this login is on the way to or from another node.")


def _open_executions(connection: psycopg.Connection[Any], customer: str) -> Iterator[Finding]:
    with connection.transaction():
        connection.execute(statements.SET_CUSTOMER, (customer,))
        row = connection.execute(
            "select count(*), extract(epoch from max(idle))::bigint from aximo.open_executions where idle > interval '1 hour'"
        ).fetchone()
    if row and row[0]:
        yield Finding(
            "warning", "open executions", f"{customer}: {row[0]} executions have been open and idle for over an hour; the longest for {timedelta(seconds=row[1])}.",
            "select * from aximo.close_stale_executions('…')",
        )  # fmt: skip
    else:
        yield Finding("ok", "open executions", f"{customer}: none is idle for over an hour.")


def _execution_rows(connection: psycopg.Connection[Any], customer: str) -> Iterator[Finding]:
    with connection.transaction():
        connection.execute(statements.SET_CUSTOMER, (customer,))
        row = connection.execute(
            "select count(*), min(v.execution_id), (select count(*) from aximo.executions)"
            " from aximo.verify_executions(%s) as v",
            (_NEWEST,),
        ).fetchone()
    wrong, execution, stored = row or (0, None, 0)
    if wrong:
        yield Finding(
            "error", "execution rows", f"{customer}: rows are not what their events say, of execution {execution} for one.",
            "aximo-db verify --customer … names all of them; with --repair it makes them anew. Find out who changed them.",
        )  # fmt: skip
    else:
        yield Finding(
            "ok",
            "execution rows",
            f"{customer}: the newest {min(_NEWEST, stored):,} of {stored:,} executions are what their events say.",
        )
