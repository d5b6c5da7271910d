"""aximo_db: the event ledger of an AI workforce, in plain PostgreSQL.

The schema is the product; this package emits events and asks questions of it.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aximo_db.client.async_execution import AsyncActionScope, AsyncExecutionScope
    from aximo_db.client.async_runs import AsyncRuns
    from aximo_db.client.async_store import AsyncEventStore
    from aximo_db.client.call import Retry
    from aximo_db.client.errors import (
        AttributionError,
        AximoError,
        ConnectionLostError,
        ConnectionStateError,
        CursorError,
        CustomerError,
        DuplicateEventError,
        ImmutableError,
        InstallationError,
        MalformedEventError,
        MovedError,
        NotConnectedError,
        ProofError,
        ReadOnlyError,
        RunError,
        SchemaVersionError,
        SequenceError,
        VaultError,
    )
    from aximo_db.client.events import (
        AdvanceResult,
        Approval,
        Deployment,
        DeploymentVersion,
        EmitSummary,
        Event,
        Execution,
        LogBatch,
        LogCursor,
        LogEntry,
        NewEvent,
        OpenExecution,
        Receipt,
        RefreshedView,
        TraceStep,
        UnreadableJson,
    )
    from aximo_db.client.run_events import KindUsage, Observation, Run, RunEvent, RunLogBatch, RunLogEntry
    from aximo_db.client.runs import Runs
    from aximo_db.client.sealed import Erased, Sealed, Vault
    from aximo_db.client.store import EventStore
    from aximo_db.client.vocabulary import ACTORS, EVENT_TYPES, Actor, EventType
    from aximo_db.vault.postgres import PostgresVault
    from aximo_db.vault.wrapping import KeyFile, KeyService, KeyVariable

__version__ = "0.2.0.dev0"

__all__ = [
    "ACTORS",
    "EVENT_TYPES",
    "ActionScope",
    "Actor",
    "AdvanceResult",
    "Approval",
    "AsyncActionScope",
    "AsyncEventStore",
    "AsyncExecutionScope",
    "AsyncRuns",
    "AttributionError",
    "AximoError",
    "ConnectionLostError",
    "ConnectionStateError",
    "CursorError",
    "CustomerError",
    "Deployment",
    "DeploymentVersion",
    "DuplicateEventError",
    "EmitSummary",
    "Erased",
    "Event",
    "EventStore",
    "EventType",
    "Execution",
    "ExecutionScope",
    "ImmutableError",
    "InstallationError",
    "KeyFile",
    "KeyService",
    "KeyVariable",
    "KindUsage",
    "LogBatch",
    "LogCursor",
    "LogEntry",
    "MalformedEventError",
    "MovedError",
    "NewEvent",
    "NotConnectedError",
    "Observation",
    "OpenExecution",
    "PostgresVault",
    "ProofError",
    "ReadOnlyError",
    "Receipt",
    "RefreshedView",
    "Retry",
    "Run",
    "RunError",
    "RunEvent",
    "RunLogBatch",
    "RunLogEntry",
    "Runs",
    "SchemaVersionError",
    "Sealed",
    "SequenceError",
    "TraceStep",
    "UnreadableJson",
    "Vault",
    "VaultError",
    "__version__",
]

# A name is imported when it is first asked for, so that an auditor's "import aximo_db.tlog" loads no database driver.
_MODULES = {
    "client.call": ("Retry",),
    "client.async_runs": ("AsyncRuns",),
    "client.async_execution": ("AsyncActionScope", "AsyncExecutionScope"),
    "client.async_store": ("AsyncEventStore",),
    "client.errors": (
        "AttributionError",
        "AximoError",
        "ConnectionLostError",
        "ConnectionStateError",
        "CursorError",
        "CustomerError",
        "DuplicateEventError",
        "ImmutableError",
        "InstallationError",
        "MalformedEventError",
        "MovedError",
        "NotConnectedError",
        "ProofError",
        "ReadOnlyError",
        "RunError",
        "SchemaVersionError",
        "SequenceError",
        "VaultError",
    ),
    "client.events": (
        "AdvanceResult",
        "Approval",
        "Deployment",
        "DeploymentVersion",
        "EmitSummary",
        "Event",
        "Execution",
        "LogBatch",
        "LogCursor",
        "LogEntry",
        "NewEvent",
        "OpenExecution",
        "Receipt",
        "RefreshedView",
        "TraceStep",
        "UnreadableJson",
    ),
    "client.run_events": ("KindUsage", "Observation", "Run", "RunEvent", "RunLogBatch", "RunLogEntry"),
    "client.runs": ("Runs",),
    "client.execution": ("ActionScope", "ExecutionScope"),
    "client.sealed": ("Erased", "Sealed", "Vault"),
    "client.store": ("EventStore",),
    "client.vocabulary": ("ACTORS", "EVENT_TYPES", "Actor", "EventType"),
    "vault.postgres": ("PostgresVault",),
    "vault.wrapping": ("KeyFile", "KeyService", "KeyVariable"),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}
#: Modules that programs import from here by their old, short paths.
_PATHS = ("embedded", "errors", "exporter", "run_files", "tlog")

if not TYPE_CHECKING:  # a type checker sees the imports above, and reports names that do not exist

    def __getattr__(name: str) -> object:
        if name in _PATHS:
            return import_module(f"{__name__}.{name}")
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES, *_PATHS})
