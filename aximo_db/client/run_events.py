"""Tool runs and their events as values, as HelixMCP Events v1 and the schema ``helix`` have them.

Moments are time-zone-aware. JSON is read as payloads are.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from aximo_db.client.events import Batch

__all__ = ["KindUsage", "Observation", "Run", "RunEvent", "RunLogBatch", "RunLogEntry"]

C = TypeVar("C")


@dataclass(frozen=True, slots=True)
class Run:
    """A tool run and its state: a row of ``helix.runs``.

    Attributes:
        run_id: the run, unique among all customers.
        project_id: the project, a name of the gateway's.
        tool_name, tool_version, contract_version: the tool; ``tool_name`` is ``unknown`` if ``made_for_events``.
        params_hash, policy_hash: the hashes of the parameters, and of the policy it ran under.
        status: ``queued``, ``running``, ``succeeded``, ``failed`` or ``blocked``; the last three are final.
        requested_by: who asked for it, as the gateway claims.
        created_at: when the row was made.
        started_at, finished_at: by the gateway's clock.
        policy_snapshot, environment, result_json: any JSON, or ``None``.
        exit_code: the exit code, if a process ran.
        error: the error, if any.
        log_artifact_id: the gateway's artifact with the run's log.
        customer_id: whose run it is.
        execution_id: the execution it served, if it is known.
        recorded_at: when it was written, by the database's clock.
        recorded_by: the login that wrote it.
        made_for_events: whether an import of events made it, as their run was not there.
    """

    run_id: str
    project_id: str
    tool_name: str
    contract_version: str
    tool_version: str | None
    params_hash: str
    policy_hash: str
    status: str
    requested_by: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    policy_snapshot: Any
    environment: Any
    exit_code: int | None
    error: str | None
    result_json: Any
    log_artifact_id: str | None
    customer_id: str
    execution_id: str | None
    recorded_at: datetime
    recorded_by: str
    made_for_events: bool


@dataclass(frozen=True, slots=True)
class RunEvent:
    """An event of a tool run: a row of ``helix.run_events``.

    Attributes:
        event_id: the order of arrival, with gaps.
        run_id: the run.
        ts: when it was written, by the database's clock; of an imported event, what its line says.
        kind: what happened: one of ``helix.event_kinds``, or any other.
        message: for people; not to be parsed.
        data: a JSON object, or ``None``.
        extra: what an imported line had beside the contract's fields, or ``None``.
        customer_id: whose event it is.
        recorded_at: when it was written, by the database's clock.
        recorded_by: the login that wrote it.
    """

    event_id: int
    run_id: str
    ts: datetime
    kind: str
    message: str | None
    data: dict[str, Any] | None
    extra: dict[str, Any] | None
    customer_id: str
    recorded_at: datetime
    recorded_by: str


@dataclass(frozen=True, slots=True)
class RunLogEntry(RunEvent):
    """A run event with its number in its customer's log of run events, from 1 on without a gap."""

    number: int


class RunLogBatch(Batch[C, RunLogEntry]):
    """The next entries of the log of run events, for a consumer: see :class:`aximo_db.client.events.Batch`."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Observation:
    """What was seen of a run, all of it at the same moment, and the run that looking was.

    Attributes:
        run_id: the observation, a run of its own.
        target: the run that was looked at.
        events: its events, in order of their ``event_id``.
    """

    run_id: str
    target: Run
    events: list[RunEvent]


@dataclass(frozen=True, slots=True)
class KindUsage:
    """A kind of run event and how often a customer used it: a row of ``helix.kind_usage``.

    Attributes:
        kind: the kind.
        is_listed: whether ``helix.event_kinds`` has it.
        family: ``run``, ``exec``, ``slurm``, ``collect``, ``simulate`` or ``studio``; ``None`` if it is none of them.
        events: how many events.
        runs: of how many runs.
        first_at, last_at: when it was first and last seen, by ``ts``; ``None`` if it never was.
    """

    kind: str
    is_listed: bool
    family: str | None
    events: int
    runs: int
    first_at: datetime | None
    last_at: datetime | None
