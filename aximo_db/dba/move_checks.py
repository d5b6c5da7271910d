"""What keeps a customer from being moved between two nodes, told all at once and before anything is changed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from psycopg.conninfo import conninfo_to_dict
from psycopg.sql import Identifier, Literal

from aximo_db.client.errors import AximoError, InstallationError, MovedError
from aximo_db.dba.catalog import OWNING_ROLES
from aximo_db.dba.move_node import Node, Placement

__all__ = ["all_customers", "check", "lacking", "one_refusal", "phase_of", "warnings"]

#: So many run_ids are looked up at a time.
_CHUNK: Final = 10_000
#: What a subscription takes of either server at least: for what is new, and for a table that is copied.
_SLOTS: Final = 2

#: PostgreSQL's own roles: who sees other sessions' transactions, and who makes subscriptions.
_WATCHERS: Final = "pg_read_all_stats"
_SUBSCRIBERS: Final = "pg_create_subscription"
#: From this version on, no superuser is needed to subscribe, and a membership says itself whether it is used.
_SIXTEEN: Final = 160000

#: Where a move stands, by what both nodes say: source, then target; ``None`` is no placement.
_PHASES: Final = {
    (None, None): "new",
    (None, "gone"): "new",
    (None, "arriving"): "copying",
    ("leaving", "arriving"): "fenced",
    ("gone", "arriving"): "left",
    ("gone", None): "opened",
}


def phase_of(source: Placement | None, target: Placement | None, nodes: tuple[int, int]) -> str | None:
    """Where the move from the first of these nodes to the second stands; ``None`` if it is another move's."""
    # A customer that is gone from the target may be anywhere: it comes back from the source.
    is_other = (source is not None and source.node != nodes[1]) or (
        target is not None and target.state != "gone" and target.node != nodes[0]
    )
    key = (source.state if source else None, target.state if target else None)
    return None if is_other else _PHASES.get(key)


def check(source: Node, target: Node, *, is_copying: bool) -> list[AximoError]:
    """Every reason not to move the customer, or not to go on, of logins that lack no right (:func:`lacking`).

    Args:
        source, target: the nodes.
        is_copying: whether the slot and the subscription are there already.
    """
    found: list[AximoError] = [] if is_copying else [*_room(source, target)]
    for look in (_fleet, all_customers, _tables, _settings, _state, _run_ids):
        found += look(source, target)
    return found


def lacking(source: Node, target: Node, address: str | None) -> list[AximoError]:
    """The rights that the logins lack, each with the statement that gives it: without them, nothing more can be asked.

    Args:
        source, target: the nodes.
        address: how the target's server is to reach the source; ``None`` if it is not to.
    """
    found = [*_rights_on_source(source, source.rights())]
    named = conninfo_to_dict(address).get("user") if address is not None else None
    other = source.rights(str(named)) if named is not None else None
    if other is not None and not other.is_own:
        found += _rights_on_source(source, other)
    rights = target.rights()
    found += _rights_on_target(target, rights)
    if address is not None and not rights.is_superuser and not conninfo_to_dict(address).get("password"):
        found.append(
            InstallationError(
                "the target's server needs a password for the source",
                rule="address_has_password",
                detail=f"login {rights.login} on the target is no superuser, and its subscription needs a password",
                hint="Give --from, or --from-for-server, with user and password: a service or a file has none for it.",
            )
        )
    return found


def _rights_on_source(node: Node, rights: Any) -> Iterator[AximoError]:
    if rights.is_superuser:
        return
    if not rights.replicates:
        yield InstallationError(
            "the login can't replicate",
            rule="login_replicates",
            detail=f"login {rights.login} on the source",
            hint=f"As a superuser there: alter role {rights.login} replication",
        )
    yield from _rights_on_tables(node, rights)
    if rights.is_own:
        yield from _rights_in_database(node, rights)


def _rights_on_target(node: Node, rights: Any) -> Iterator[AximoError]:
    if rights.is_superuser:
        return
    if rights.version < _SIXTEEN:
        yield InstallationError(
            "the login can't subscribe",
            rule="login_subscribes",
            detail=f"login {rights.login} on the target; before PostgreSQL 16 only a superuser can",
            hint=f"Give --to a superuser of the target. Until the move is done: alter role {rights.login} superuser",
        )
        return
    if _SUBSCRIBERS in rights.lacks:
        yield InstallationError(
            "the login can't subscribe",
            rule="login_subscribes",
            detail=f"login {rights.login} on the target is no member of {_SUBSCRIBERS}",
            hint=f"As a superuser there: {_membership(rights, [_SUBSCRIBERS])}",
        )
    yield from _rights_on_tables(node, rights)
    yield from _rights_in_database(node, rights)


def _rights_on_tables(node: Node, rights: Any) -> Iterator[AximoError]:
    if not rights.passes_security:
        yield InstallationError(
            "the login does not pass row security, and replication does not work with it",
            rule="login_passes_row_security",
            detail=f"login {rights.login} on the {node.role}",
            hint=f"As a superuser there: alter role {rights.login} bypassrls",
        )
    # Of the login that the target's server comes with, nothing is asked but to read.
    owners = [each for each in rights.lacks if each in OWNING_ROLES] if rights.is_own else []
    if not rights.is_own and not rights.reads_tables:
        owners = ["aximo_owner"]
    if owners:
        yield InstallationError(
            "the login can't act as the owner of the tables that move",
            rule="login_acts_as_owner",
            detail=f"login {rights.login} on the {node.role} is no member of {', '.join(owners)}",
            hint=f"As the owner there: {_membership(rights, owners)}",
        )


def _rights_in_database(node: Node, rights: Any) -> Iterator[AximoError]:
    if _WATCHERS in rights.lacks:
        yield InstallationError(
            "the login does not see the transactions that a move waits for",
            rule="login_sees_sessions",
            detail=f"login {rights.login} on the {node.role} is no member of {_WATCHERS}",
            hint=f"As a superuser there: {_membership(rights, [_WATCHERS])}",
        )
    if not rights.creates:
        yield InstallationError(
            "the login can't make publications and subscriptions in the database",
            rule="login_creates",
            detail=f"login {rights.login} on the {node.role}",
            hint=f"As the owner of the database: grant create on database {rights.database} to {rights.login}",
        )


def _membership(rights: Any, roles: Sequence[str]) -> str:
    """The statement that makes the login a member that has what the roles have."""
    granted = f"grant {', '.join(roles)} to {rights.login}"
    if rights.version >= _SIXTEEN:
        return f"{granted} with inherit true"
    return granted if rights.inherits else f"alter role {rights.login} inherit; {granted}"


def warnings(source: Node, target: Node) -> list[str]:
    """What somebody should know before the move, and what keeps nobody from it."""
    return [*_grants_on_one_side(source, target), *_runs_out_of_order(source, target)]


def _room(source: Node, target: Node) -> Iterator[AximoError]:
    there, here = source.ask("node")[0], target.ask("node")[0]
    if there.wal_level != "logical":
        yield InstallationError(
            "the source does not write what logical replication needs",
            rule="wal_level_is_logical",
            detail=f"wal_level is {there.wal_level}",
            hint="Set wal_level = logical on the source, and restart it.",
        )
    if min(there.free_slots, there.free_senders) < _SLOTS:
        yield InstallationError(
            "the source has no room for another slot",
            rule="slots_are_free",
            detail=f"{there.free_slots} slots and {there.free_senders} WAL senders are free, {_SLOTS} are needed",
            hint="Raise max_replication_slots and max_wal_senders on the source, or drop slots that nobody uses.",
        )
    if here.free_workers < _SLOTS:
        yield InstallationError(
            "the target has no room for another subscription",
            rule="workers_are_free",
            detail=f"{here.free_workers} workers of logical replication are free, {_SLOTS} are needed",
            hint="Raise max_logical_replication_workers and max_worker_processes on the target.",
        )


def _fleet(source: Node, target: Node) -> Iterator[AximoError]:
    there, here = source.ask("fleet")[0], target.ask("fleet")[0]
    if there.schema_version != here.schema_version:
        yield InstallationError(
            "the nodes have different schemas",
            rule="schemas_are_equal",
            detail=f"version {there.schema_version} on the source, {here.schema_version} on the target",
            hint="Run aximo-db migrate on the older one.",
        )
    if there.ledger != here.ledger:
        yield InstallationError(
            "the nodes are of different ledgers",
            rule="ledgers_are_one",
            detail=f"{there.ledger!r} on the source, {here.ledger!r} on the target",
            hint="aximo-db migrate --ledger NAME --node N makes a new database a node of the source's ledger.",
        )
    if there.node == here.node:
        yield InstallationError(
            "the nodes have the same number",
            rule="nodes_differ",
            detail=f"both are node {there.node}",
            hint="aximo-db migrate --ledger NAME --node N gives a new database a number of its own.",
        )


def all_customers(source: Node, target: Node) -> Iterator[AximoError]:
    """Logins that were not granted all customers: a step of a move is refused to them."""
    for node in (source, target):
        if not node.ask("fleet")[0].has_all:
            rights = node.rights()
            yield InstallationError(
                "the login may not work for all customers",
                rule="login_has_all_customers",
                detail=f"login {rights.login} on the {node.role}",
                hint=f"As the owner there: select aximo.grant_customer({rights.quoted}, '*')",
            )


def _tables(source: Node, target: Node) -> Iterator[AximoError]:
    there = {each.name: each.columns for each in source.tables()}
    here = {each.name: each.columns for each in target.tables()}
    differing = sorted(name for name in there.keys() | here.keys() if there.get(name) != here.get(name))
    if differing:
        yield InstallationError(
            "the nodes do not move the same tables",
            rule="tables_are_the_same",
            detail=", ".join(differing),
            hint="Run aximo-db doctor on both, which names what was changed.",
        )


def _settings(source: Node, target: Node) -> Iterator[AximoError]:
    there, here = source.one("settings"), target.one("settings")
    if there != here:
        told = [f"on the source only: {each}" for each in there if each not in here]
        told += [f"on the target only: {each}" for each in here if each not in there]
        yield InstallationError(
            "settings of all customers differ, so metrics would be judged otherwise on the target",
            rule="settings_are_the_same",
            detail="; ".join(told) or "they are the same, in another order",
            hint="Set them on the other node too: aximo.set_threshold, set_high_risk_levels and set_lead_action_types.",
        )


def _state(source: Node, target: Node) -> Iterator[AximoError]:
    nodes = (source.ask("fleet")[0].node, target.ask("fleet")[0].node)
    there, here = source.placement(), target.placement()
    phase = phase_of(there, here, nodes)
    told = f"on node {nodes[0]} it is {_told(there)}, on node {nodes[1]} it is {_told(here)}"
    if phase is None:
        yield MovedError(
            "the customer is not where this move begins",
            rule="move_begins_here",
            detail=told,
            hint="Move it from the node where it is. End a move that is under way first, on both of its nodes.",
        )
    elif phase == "new" and not source.one("has_something"):
        yield MovedError(
            "the source has nothing of this customer",
            rule="customer_has_something",
            detail=told,
            hint="Look at its name, and at which node it is on: select * from aximo.placements.",
        )
    elif phase == "new" and here is None and target.one("has_something"):
        yield MovedError(
            "the target has events or runs of this customer that are not the source's",
            rule="customer_is_here",
            detail=told,
            hint="Two histories can't become one. Revoke the customer there from whoever wrote for it.",
        )


def _told(placement: Placement | None) -> str:
    return "here" if placement is None else f"{placement.state} (other node {placement.node})"


def _run_ids(source: Node, target: Node) -> Iterator[AximoError]:
    run_ids = [row[0] for row in source.ask("run_ids")]
    for start in range(0, len(run_ids), _CHUNK):
        taken = [row[0] for row in target.ask("taken_run_ids", run_ids=run_ids[start : start + _CHUNK])]
        if taken:
            yield InstallationError(
                "other customers of the target have runs of the same names",
                rule="run_ids_are_free",
                detail=", ".join(repr(each[:60]) for each in taken),
                hint="A run_id names one run, among all customers. Give each gateway a runtime.instance_id of its own.",
            )
            return


def _grants_on_one_side(source: Node, target: Node) -> Iterator[str]:
    """Who may work for the customer on one node only, or on the target as less: logins and grants do not move."""
    there, here = ({(each.role_name, each.customer_id) for each in node.ask("grants")} for node in (source, target))
    logins = sorted({login for login, _ in there})
    had, has = ({each.login: each.roles for each in node.ask("roles", logins=logins)} for node in (source, target))
    for login, customer in sorted(there):
        name, found = Identifier(login).as_string(), has.get(login)
        roles = [role for role in had.get(login, ()) if role not in (found or ())]
        lacks = [f"create role {name} login"] if found is None else []
        lacks += [f"grant {', '.join(roles)} to {name}"] if roles else []
        if (login, customer) not in here:
            lacks.append(f"select aximo.grant_customer({Literal(login).as_string()}, {Literal(customer).as_string()})")
        if lacks:
            yield f"login {login} can't do on the target what it does on the source; there: {'; '.join(lacks)}"
    for login, customer in sorted(here - there):
        yield f"login {login} has customer {customer} on the target only"


def _runs_out_of_order(source: Node, target: Node) -> Iterator[str]:
    """Runs whose next events would have lower event_ids than those before."""
    if target.ask("fleet")[0].node > source.ask("fleet")[0].node:
        return
    runs: int = source.one("open_runs")
    if runs:
        yield (
            f"{runs:,} runs have events and have not ended. On a node with a lower number, their next events get lower"
            " event_ids, so whoever reads a run by event_id sees those first; the log keeps the order."
        )


def one_refusal(problems: Sequence[AximoError]) -> AximoError:
    """One error with every reason; its rule is the first one's."""
    if len(problems) == 1:
        return problems[0]
    told = [f"{each.rule}: {each.message}: {each.detail}\n  → {each.hint}" for each in problems]
    return InstallationError(
        f"the customer can't be moved, for {len(problems)} reasons",
        rule=problems[0].rule,
        detail="\n".join(told),
        hint="What to do about each stands beneath it. Nothing was changed.",
    )
