"""Moving a customer from one node of a fleet to another, while it writes.

Its rows are copied by PostgreSQL's logical replication. Then nobody writes for it for a moment, its log is numbered to
the end, both nodes are compared, and the other node goes on. Where a move is stands in the database: the placements on
both nodes, a publication, a slot, a subscription. So whoever calls :func:`move` again goes on where it stopped.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import psycopg
from psycopg import sql

from aximo_db.client.errors import AximoError, InstallationError, MovedError, SchemaVersionError
from aximo_db.dba.bouncer import Bouncer
from aximo_db.dba.move_checks import all_customers, check, lacking, one_refusal, phase_of, warnings
from aximo_db.dba.move_node import Node, name_of

__all__ = ["STEPS", "MoveReport", "abandon", "move"]

Progress = Callable[[str, str], object]

_LOGS: Final = ("events", "run_events")
#: Of these tables the checkpoints and the entries, which are compared with their events, say that all is there.
_TOLD_BY_HASHES: Final = frozenset(
    {"aximo_private.events", "aximo_private.log_entries", "aximo_private.log_nodes", "helix.run_events"}
)
#: Entries that are checked in one statement: well below a second.
_PIECE: Final = 5_000
#: What may be left to check, in entries, and to send, in bytes, when the pause begins.
_FEW: Final = 2_000
_NEAR: Final = 1_000_000
#: Seconds after which it is said what is waited for.
_LONG_S: Final = 5.0
#: For so many seconds nobody may have read the slot: a table that was copied is followed a moment later.
_AWAY_S: Final = 20
#: Errors of a subscription in a row after which nobody waits any longer.
_PATIENCE: Final = 3


@dataclass
class MoveReport:
    """What a move did.

    Attributes:
        customer: who moved.
        ledger: the fleet's.
        source, target: the numbers of the nodes.
        is_on: the node that the customer is on now.
        changed: whether there was anything to do.
        goes_on: whether it went on where another call had stopped.
        pause_ms: how long nobody could write for the customer, in milliseconds; ``None`` if it was not stopped here.
        seconds: how long each step took.
        events, run_events: the sizes of its logs.
        checkpoints: of both, as both nodes said them.
        rows: how many rows of each table moved.
        warnings: what somebody should look at.
    """

    customer: str
    ledger: str
    source: int
    target: int
    is_on: int
    changed: bool = True
    goes_on: bool = False
    pause_ms: float | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    events: int = 0
    run_events: int = 0
    checkpoints: list[str] = field(default_factory=list)
    rows: dict[str, int] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)


@dataclass
class _Move:
    """What the steps share. Nothing of it has to outlive this process."""

    customer: str
    source: Node
    target: Node
    address: str
    timeout: float
    say: Progress
    bouncer: Bouncer | None
    report: MoveReport
    name: str
    deadline: float | None = None
    fenced_at: float | None = None
    checked: dict[str, int] = field(default_factory=dict)
    is_paused: bool = False

    @property
    def nodes(self) -> tuple[int, int]:
        return self.report.source, self.report.target

    @property
    def publications(self) -> tuple[str, str]:
        """Of the tables whose rows stay as they are, and of those whose rows change.

        A row filter has to be told by what identifies a row that changes, which is not so of every table of the first.
        """
        return f"{self.name}_kept", f"{self.name}_state"

    def phase(self) -> str | None:
        return phase_of(self.source.placement(), self.target.placement(), self.nodes)

    def wait(self, seconds: float) -> None:
        """Waits a little, unless the pause has lasted too long."""
        if self.deadline is not None and time.monotonic() > self.deadline:
            raise _LateError
        time.sleep(seconds)


class _LateError(Exception):
    """The pause lasts longer than it may."""


# The steps: each can be done again.


def _announce(move: _Move) -> None:
    """The target hides what comes, and refuses to write for the customer."""
    move.target.place("arriving", move.nodes[0])


def _settle(move: _Move) -> None:
    """Whoever was writing for the customer on the target has ended, and what was left there of its state is gone."""
    if _subscription(move):
        return
    _wait_for_writers(move, move.target, "on the target")
    placement = move.target.placement()
    if placement is not None and not placement.was_here:
        if move.target.one("has_something"):
            raise MovedError(
                "somebody wrote for the customer on the target when the move began",
                rule="customer_is_here",
                detail=f"customer {move.customer!r} has events or runs on nodes {move.nodes[1]} and {move.nodes[0]}",
                hint="Find out who did, by recorded_by there. Nothing was moved; docs/scale.md has what to do.",
            )
        return
    with move.target.writing():
        move.target.ask("clear_state")


def _publish(move: _Move) -> None:
    """The source offers the customer's rows of the tables that move."""
    kept, state = move.publications
    there = {row[0] for row in move.source.ask("publications", names=[kept, state])}
    tables = move.source.tables()
    whose = sql.Literal(move.customer).as_string(move.source.connection)
    for name, are_kept, what in ((kept, True, "insert"), (state, False, "insert, update, delete")):
        if name not in there:
            listed = ", ".join(
                f"only {each.name} where (customer_id = {whose})" for each in tables if each.is_kept == are_kept
            )
            move.source.run(f"create publication {name} for table {listed} with (publish = '{what}')")


def _keep_wal(move: _Move) -> None:
    """The source keeps what is written from now on. PostgreSQL waits for all transactions of the cluster that write."""
    if move.source.ask("slot", name=move.name):
        return
    _wait_for_writers(move, move.source, "on the source")
    move.source.run(f"set statement_timeout = {int(move.timeout * 1000)}")
    try:
        move.source.ask("make_slot", name=move.name)
    except psycopg.errors.QueryCanceled:
        raise _LateError("a transaction of another database of the source's cluster writes") from None
    finally:
        move.source.run("set statement_timeout = 0")


def _subscribe(move: _Move) -> None:
    """The target copies the rows, and then follows."""
    if found := _subscription(move):
        # The way there may be another one by now. Of another login's it stays: it has that one's password.
        if found[0].owner == move.target.rights().login:
            move.target.run(f"alter subscription {move.name} connection {_address_of(move)}")
        return
    # Together with the right to write what comes: there is not one of them without the other.
    with move.target.writing():
        move.target.run(_subscription_of(move))
        if not move.target.ask("copied", name=move.name)[0].tables:
            raise InstallationError(
                "the target's server comes to another server than the source",
                rule="server_reaches_source",
                detail="what answers there does not have the publications of this move",
                hint="Give --from-for-server a way to the source as the target's server has it.",
            )


def _subscription_of(move: _Move) -> str:
    options = {"create_slot": "false", "slot_name": move.name, "copy_data": "true", "streaming": "off"}
    if move.target.connection.info.server_version >= 160000:
        options["run_as_owner"] = "true"
    told = ", ".join(f"{name} = '{value}'" for name, value in options.items())
    kept, state = move.publications
    return f"create subscription {move.name} connection {_address_of(move)} publication {kept}, {state} with ({told})"


def _address_of(move: _Move) -> str:
    return sql.Literal(move.address).as_string(move.target.connection)


def _unreached(move: _Move) -> list[AximoError]:
    """Why the target's server does not come to the source: it tries, and the subscription is not kept."""
    try:
        with move.target.connection.transaction(force_rollback=True):
            move.target.connection.execute(_subscription_of(move).encode())
    except psycopg.Error as error:
        return [
            InstallationError(
                "the target's server does not come to the source",
                rule="server_reaches_source",
                detail=(error.diag.message_primary or str(error)).strip(),
                hint="Give --from-for-server a way to the source as the target's server has it. A login that is no"
                " superuser has to be asked for a password there: see pg_hba.conf of the source.",
            )
        ]
    return []


def _catch_up(move: _Move) -> None:
    """Until every table is copied, and what was written meanwhile has come."""
    failed: int | None = None
    began = seen = time.monotonic()
    while True:
        row = move.target.ask("copied", name=move.name)
        tables, ready, rows, errors = row[0] if row else (0, 0, 0, 0)
        failed = errors if failed is None else failed
        if errors - failed >= _PATIENCE:
            raise MovedError(
                "the target can't take what comes",
                rule="rows_arrive",
                detail=f"{errors - failed} errors of the subscription {move.name}",
                hint="The target's server log has the reason. Mend it and move again, or give up with --abandon.",
            )
        slot = move.source.ask("slot", name=move.name)
        if not slot or slot[0].wal_status == "lost":
            raise MovedError(
                "the source has not kept what was written meanwhile",
                rule="rows_arrive",
                detail=f"slot {move.name} on the source is {'lost' if slot else 'gone'}",
                hint="Raise max_slot_wal_keep_size on the source, give up with --abandon, and move again.",
            )
        if move.source.one("is_read", name=move.name):
            seen = time.monotonic()
        elif time.monotonic() - seen > _AWAY_S:
            raise InstallationError(
                "the target's server does not come to the source",
                rule="server_reaches_source",
                detail=f"nobody reads slot {move.name} on the source, for {_AWAY_S} s",
                hint="The target's server log has the reason: another server at that address, or no replication origin"
                " or worker left. Mend it, or give another --from-for-server, and move again: what arrived is kept.",
            )
        behind = _behind(move)
        if tables and tables == ready:
            if behind is not None and behind < _NEAR:
                return
            move.say("catch up", f"{tables} tables copied" + ("" if behind is None else f", {behind:,} bytes behind"))
        else:
            move.say("catch up", f"{ready} of {tables} tables copied, {rows:,} rows of the next")
            if time.monotonic() - began > _LONG_S and not rows:
                waiting = "; ".join(row[2] for row in move.source.ask("running"))
                move.say("catch up", f"waits for transactions on the source: {waiting}" if waiting else "waits")
        move.wait(0.2)


def _behind(move: _Move, position: str | None = None) -> int | None:
    behind: int | None = move.source.one("behind", name=move.name, position=position or move.source.one("position"))
    return behind


def _prepare(move: _Move) -> None:
    """What has arrived is checked and counted, so that little is left for the pause."""
    for _ in range(10):
        _advance(move)
        _wait_applied(move)
        if not _check_entries(move, most=None) > _FEW:
            break
    for log, size in move.checked.items():
        if size:
            move.target.ask("note_uncounted", log=log, size=size)
    _count(move.target)
    # Each of its transactions is safe before the next: the source then knows at once how far the target is.
    move.target.run(f"alter subscription {move.name} set (synchronous_commit = 'local')")
    _catch_up(move)


def _check_entries(move: _Move, most: int | None) -> int:
    """Compares leaves and subtrees on the target with its events, from where it was checked; how many entries."""
    done = 0
    for log, size in zip(_LOGS, move.target.sizes(), strict=True):
        start = move.checked.get(log, 0 if most is None else max(0, size - most))
        for first in range(start + 1, size + 1, _PIECE):
            last = min(first + _PIECE - 1, size)
            place = {"log": log, "first": first, "last": last}
            wrong = move.target.one("wrong_leaf", **place) or move.target.one("wrong_node", **place)
            if wrong is not None:
                raise MovedError(
                    "what arrived is not what its hashes say",
                    rule="entries_are_the_events",
                    detail=f"log {log}, {f'number {wrong}' if isinstance(wrong, int) else wrong}",
                    hint='Run "aximo-db verify" on the source first. Give up with --abandon.',
                )
            done += last - first + 1
            if most is None:
                move.say("check", f"{last:,} of {size:,} entries of {log} checked")
        move.checked[log] = size
    return done


def _pause_clients(move: _Move) -> None:
    if move.bouncer is not None:
        move.bouncer.pause()
        move.is_paused = True


def _fence(move: _Move) -> None:
    """Nobody writes for the customer on the source any more."""
    move.fenced_at = time.monotonic()
    move.deadline = move.fenced_at + move.timeout
    move.source.place("leaving", move.nodes[1])


def _drain(move: _Move) -> None:
    """Whoever was writing when the fence fell has ended."""
    _wait_for_writers(move, move.source, "on the source")


def _wait_for_writers(move: _Move, node: Node, where: str) -> None:
    running = {row[0]: row[2] for row in node.ask("running")}
    began = time.monotonic()
    while running:
        left = {row[0] for row in node.ask("still_running", names=list(running))}
        running = {name: told for name, told in running.items() if name in left}
        if not running:
            return
        if move.deadline is None and time.monotonic() - began > move.timeout:
            raise _LateError(*running.values())
        if time.monotonic() - began > 1:
            move.say("wait", f"for transactions {where}: {'; '.join(running.values())}")
        try:
            move.wait(0.005)
        except _LateError:
            raise _LateError(*running.values()) from None


def _number(move: _Move) -> None:
    """Every event of the customer gets its number."""
    _advance(move)


def _advance(move: _Move) -> None:
    is_behind: bool | None = True
    while is_behind is not False:
        row = move.source.connection.execute("select is_behind from aximo.advance_log()").fetchone()
        is_behind = row[0] if row else False
        if is_behind is None:
            move.wait(0.01)  # another session numbers


def _arrive(move: _Move) -> None:
    """All that was written on the source is on the target."""
    _wait_applied(move)


def _wait_applied(move: _Move) -> None:
    position = move.source.one("position")
    while (behind := _behind(move, position)) != 0:
        if behind is None and not _subscription(move):
            raise MovedError(
                "the subscription is gone",
                rule="rows_arrive",
                detail=f"subscription {move.name} on the target",
                hint="Somebody dropped it. Give up with --abandon, and move again.",
            )
        move.wait(0.002 if move.deadline is not None else 0.05)


def _compare(move: _Move) -> None:
    """Both nodes have the same rows and the same logs."""
    # The logs' hashes tell of the others, which are large: counting them would take most of the pause.
    tables = [each for each in move.source.tables() if each.name not in _TOLD_BY_HASHES]
    with ThreadPoolExecutor(2) as both:
        there, here = both.map(
            lambda node: (node.counts(tables), node.one("state_sums"), node.checkpoints()), (move.source, move.target)
        )
    _check_entries(move, most=_PIECE)
    differing = [
        f"{name}: {there[0][name]} and {here[0][name]} rows" for name in there[0] if there[0][name] != here[0][name]
    ]
    differing += [
        f"{name}: {there[1][name]} and {here[1][name]}" for name in there[1] if there[1][name] != here[1][name]
    ]
    differing += [
        f"{log}: other checkpoints" for log, one, other in zip(_LOGS, there[2], here[2], strict=True) if one != other
    ]
    if differing:
        raise MovedError(
            "the nodes do not have the same",
            rule="nodes_agree",
            detail="; ".join(differing),
            hint="The customer stays on the source. Give up with --abandon, and find out who wrote on the target.",
        )
    move.report.rows, move.report.checkpoints = there[0], there[2]


def _leave(move: _Move) -> None:
    """The source hides the customer."""
    move.source.place("gone", move.nodes[1])


def _open(move: _Move) -> None:
    """The target goes on where the source was."""
    checkpoints = move.report.checkpoints or move.source.checkpoints()
    move.target.place("here", move.nodes[0], checkpoints)
    move.report.checkpoints = checkpoints
    if move.fenced_at is not None:
        move.report.pause_ms = round((time.monotonic() - move.fenced_at) * 1000, 1)
    move.deadline = None


def _switch(move: _Move) -> None:
    """PgBouncer leads the customer's clients to the target."""
    if move.bouncer is None:
        return
    try:
        move.bouncer.switch(
            {"AXIMO_CUSTOMER": move.customer, "AXIMO_SOURCE": str(move.nodes[0]), "AXIMO_TARGET": str(move.nodes[1])}
        )
    finally:
        move.bouncer.resume()
        move.is_paused = False


def _clear(move: _Move) -> None:
    """Subscription, slot and publications are dropped."""
    _drop_subscription(move)
    _drop_slot(move)
    _drop_publications(move)


def _drop_subscription(move: _Move) -> None:
    found = _subscription(move)
    if not found:
        return
    if found[0].subenabled:
        move.target.run(f"alter subscription {move.name} disable")
    # The source may not be reached from the target any more: the slot is dropped apart.
    with move.target.writing():
        if found[0].subslotname is not None:
            move.target.run(f"alter subscription {move.name} set (slot_name = none)")
        move.target.run(f"drop subscription {move.name}")
        # Also if another login than the one that began drops it.
        move.target.take_rights_back(found[0].owner)


def _drop_slot(move: _Move) -> None:
    for _ in range(200):
        if not move.source.ask("slot", name=move.name):
            return
        move.source.ask("end_sender", name=move.name)
        with contextlib.suppress(psycopg.errors.ObjectInUse):
            move.source.ask("drop_slot", name=move.name)
            return
        time.sleep(0.05)


def _drop_publications(move: _Move) -> None:
    for name in move.publications:
        move.source.run(f"drop publication if exists {name}")


def _subscription(move: _Move) -> list[Any]:
    return move.target.ask("subscription", name=move.name)


def _count_rest(move: _Move) -> None:
    """The metrics of the target show all that arrived."""
    _count(move.target)
    with move.target.connection.transaction():
        move.target.connection.execute("set transaction isolation level repeatable read")
        move.target.connection.execute("select from aximo.refresh_metrics()")


def _count(node: Node) -> None:
    is_behind: bool | None = True
    while is_behind is not False:
        row = node.connection.execute("select is_behind from aximo.count_metrics()").fetchone()
        is_behind = row[0] if row else False
        if is_behind is None:
            time.sleep(0.05)  # another session counts


def _verify(move: _Move) -> None:
    """No fewer rows are there than the logs say, and the executions are what their events say."""
    large = [each for each in move.target.tables() if each.name in _TOLD_BY_HASHES]
    sizes = dict(zip(("aximo_private.events", "helix.run_events"), move.target.sizes(), strict=True))
    move.report.rows |= move.target.counts(large)
    for name, size in sizes.items():
        if move.report.rows[name] < size:
            told = f"{name} on the target has {move.report.rows[name]:,} rows, and the log {size:,} entries"
            move.report.warnings.append(f'{told}: run "aximo-db verify" there.')
    rows = move.target.connection.execute(
        "select problem, execution_id from aximo.verify_executions() limit 5"
    ).fetchall()
    if rows:
        told = ", ".join(f"{problem} of {execution!r}" for problem, execution in rows)
        move.report.warnings.append(
            f"aximo.verify_executions finds on the target: {told}. The source had the same, if nobody changed rows."
        )


@dataclass(frozen=True, slots=True)
class Step:
    """A step of a move.

    Attributes:
        name: for progress and reports.
        phases: where the move has to stand for it to be done.
        do: does it, again if it was done.
    """

    name: str
    phases: frozenset[str]
    do: Callable[[_Move], None]


def _step(name: str, phase: str, do: Callable[[_Move], None]) -> Step:
    return Step(name, frozenset({phase}), do)


#: In this order. Where the move stands is read before each of them.
STEPS: Final = (
    _step("announce", "new", _announce),
    _step("settle", "copying", _settle),
    _step("publish", "copying", _publish),
    _step("keep WAL", "copying", _keep_wal),
    _step("subscribe", "copying", _subscribe),
    _step("catch up", "copying", _catch_up),
    _step("check", "copying", _prepare),
    _step("pause clients", "copying", _pause_clients),
    _step("fence", "copying", _fence),
    _step("drain", "fenced", _drain),
    _step("number", "fenced", _number),
    _step("arrive", "fenced", _arrive),
    _step("compare", "fenced", _compare),
    _step("leave", "fenced", _leave),
    _step("open", "left", _open),
    _step("switch", "opened", _switch),
    _step("clear", "opened", _clear),
    _step("count", "opened", _count_rest),
    _step("verify", "opened", _verify),
)


def move(
    customer: str,
    source: str,
    target: str,
    *,
    source_for_server: str | None = None,
    timeout: float = 60.0,
    bouncer: Bouncer | None = None,
    progress: Progress | None = None,
) -> MoveReport:
    """Moves a customer from one node to another. Called again after a crash, it goes on.

    Args:
        customer: who moves.
        source: a libpq connection string of the node that it is on, as a login that moves (``docs/scale.md``).
        target: the same of the node that it goes to.
        source_for_server: how the target's server reaches the source, if that is another way. For a login of the
            target that is no superuser, this one or ``source`` has to have the password.
        timeout: how many seconds nobody may be able to write for the customer. After that it stays where it is.
        bouncer: a PgBouncer whose clients wait meanwhile.
        progress: is told each step before it is made, and how far it is.

    Returns:
        What was done.

    Raises:
        InstallationError: the nodes are not what is needed; the detail has every reason.
        SchemaVersionError: one of them has no schema that knows placements.
        MovedError: the customer can't be moved, or the pause was too long: it is where it was.
        NotConnectedError: a node was not reached.
    """
    with _prepared(customer, source, target, source_for_server or source, timeout, progress, bouncer) as it:
        is_copying = bool(_subscription(it))
        problems = check(it.source, it.target, is_copying=is_copying)
        if not is_copying and it.phase() in ("new", "copying"):
            problems += _unreached(it)
        if problems:
            raise one_refusal(problems)
        began = it.phase()
        it.report.goes_on = began != "new"
        it.report.changed = began != "opened" or bool(_subscription(it) or it.source.ask("slot", name=it.name))
        if began not in ("left", "opened"):
            it.report.warnings += warnings(it.source, it.target)
            for each in it.report.warnings:
                it.say("warning", each)
        if began == "fenced":
            it.deadline = time.monotonic() + timeout
        _go(it)
        it.report.is_on = it.nodes[1]
        it.report.events, it.report.run_events = it.target.sizes()
        return it.report


def _go(it: _Move) -> None:
    try:
        for step in STEPS:
            if it.phase() in step.phases:
                it.say(step.name, "")
                began = time.monotonic()
                step.do(it)
                it.report.seconds[step.name] = round(time.monotonic() - began, 4)
    except BaseException as error:
        _stay(it)
        if isinstance(error, _LateError):
            raise MovedError(
                "it would have taken too long, and the customer stays where it is",
                rule="pause_is_short",
                detail="; ".join(map(str, error.args)) or f"after {it.timeout:g} s",
                hint="End what holds it up, or give more time with --timeout, and move again: what arrived is kept.",
            ) from None
        raise
    finally:
        if it.is_paused and it.bouncer is not None:
            it.bouncer.resume()


def _stay(it: _Move) -> None:
    """Lifts the fence, if it has fallen and the customer has not left."""
    with contextlib.suppress(AximoError, psycopg.Error):
        if it.phase() == "fenced":
            it.source.place("here", it.nodes[1])


def abandon(
    customer: str,
    source: str,
    target: str,
    *,
    timeout: float = 60.0,
    bouncer: Bouncer | None = None,
    progress: Progress | None = None,
) -> MoveReport:
    """Gives a move up, until the customer has left: it stays on the source, and what has arrived is hidden.

    Arguments are those of :func:`move`. A later move goes on from what has arrived.

    Raises:
        MovedError: no move is under way there, or the customer has left already.
    """
    with _prepared(customer, source, target, None, timeout, progress, bouncer) as it:
        phase = it.phase()
        if phase not in ("copying", "fenced"):
            raise MovedError(
                "there is no move to be given up",
                rule="move_is_under_way",
                detail=f"customer {customer!r}, from node {it.nodes[0]} to node {it.nodes[1]}",
                hint="The customer has left: move it again to go on, and then back."
                if phase in ("left", "opened")
                else "Look at select * from aximo.placements on both nodes.",
            )
        if problems := list(all_customers(it.source, it.target)):
            raise one_refusal(problems)
        if phase == "fenced":
            it.say("stay", "")
            it.source.place("here", it.nodes[1])
        it.say("clear", "")
        _clear(it)
        it.target.place("gone", it.nodes[0])
        if bouncer is not None:
            bouncer.resume()
        it.report.events, it.report.run_events = it.source.sizes()
        return it.report


@contextlib.contextmanager
def _prepared(
    customer: str,
    source: str,
    target: str,
    address: str | None,
    timeout: float,
    progress: Progress | None,
    bouncer: Bouncer | None,
) -> Iterator[_Move]:
    """Both nodes, connected and locked for this move."""
    with contextlib.ExitStack() as stack:
        nodes = []
        for role, dsn in (("source", source), ("target", target)):
            node = Node.reach(role, dsn, customer)
            stack.callback(node.close)
            if not node.one("node_is_ledger"):
                raise SchemaVersionError(
                    "there is no ledger with placements in this database",
                    rule="schema_recent_enough",
                    detail=f"the {role}",
                    hint="Run aximo-db migrate there as the owner of the database.",
                )
            nodes.append(node)
        if problems := lacking(nodes[0], nodes[1], address):
            raise one_refusal(problems)
        facts = [each.ask("fleet")[0] for each in nodes]
        name = name_of(facts[0].ledger, customer)
        for each in nodes if facts[0].node != facts[1].node else nodes[:1]:
            _lock(each, name)
        _refuse_anothers(nodes, name)
        report = MoveReport(customer, facts[0].ledger, facts[0].node, facts[1].node, is_on=facts[0].node)
        yield _Move(
            customer,
            nodes[0],
            nodes[1],
            address or "",
            timeout,
            progress or (lambda *_: None),
            bouncer,
            report,
            name,
        )


def _refuse_anothers(nodes: list[Node], name: str) -> None:
    """What another login began can be gone on with by that login, and by superusers."""
    names = [name, f"{name}_kept", f"{name}_state"]
    found = [f"{row[0]}, on the {each.role}" for each in nodes for row in each.ask("owned_by_others", names=names)]
    if found:
        raise MovedError(
            "another login began to move this customer",
            rule="login_began_it",
            detail="; ".join(found),
            hint="Go on, or give up, as that login or as a superuser.",
        )


def _lock(node: Node, name: str) -> None:
    # The session of one that was killed ends a little later.
    for _ in range(100):
        if node.one("lock", name=name):
            return
        time.sleep(0.05)
    raise MovedError(
        "somebody else is moving this customer",
        rule="one_moves_it",
        detail=f"customer {node.customer!r}, on the {node.role}",
        hint="Wait until that is done.",
    )
