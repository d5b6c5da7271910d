"""aximo_db: the event ledger of an AI workforce, in plain PostgreSQL.

The schema is the product; this package emits events and asks questions of it.
"""

from aximo_db.async_store import AsyncActionScope, AsyncEventStore, AsyncExecutionScope
from aximo_db.errors import (
    AttributionError,
    AximoError,
    ConnectionLostError,
    CustomerError,
    DuplicateEventError,
    ImmutableError,
    InstallationError,
    MalformedEventError,
    SchemaVersionError,
    SequenceError,
)
from aximo_db.events import (
    Approval,
    Deployment,
    DeploymentVersion,
    EmitSummary,
    Event,
    Execution,
    NewEvent,
    OpenExecution,
    Receipt,
    TraceStep,
    UnreadableJson,
)
from aximo_db.store import ActionScope, EventStore, ExecutionScope

__version__ = "0.1.0"

__all__ = [
    "ActionScope",
    "Approval",
    "AsyncActionScope",
    "AsyncEventStore",
    "AsyncExecutionScope",
    "AttributionError",
    "AximoError",
    "ConnectionLostError",
    "CustomerError",
    "Deployment",
    "DeploymentVersion",
    "DuplicateEventError",
    "EmitSummary",
    "Event",
    "EventStore",
    "Execution",
    "ExecutionScope",
    "ImmutableError",
    "InstallationError",
    "MalformedEventError",
    "NewEvent",
    "OpenExecution",
    "Receipt",
    "SchemaVersionError",
    "SequenceError",
    "TraceStep",
    "UnreadableJson",
    "__version__",
]
