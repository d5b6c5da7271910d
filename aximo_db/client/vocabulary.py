# Made by tools/vocabulary.py from the SQL and the contract: do not change.
"""The closed sets of the event model, as type checkers know them.

The database refuses what is not in them, and says what is nearest.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias, get_args

__all__ = ["ACTORS", "EVENT_TYPES", "Actor", "EventType"]

#: The 22 types of events. A newer schema may have more.
EventType: TypeAlias = Literal[
    "execution_triggered",
    "execution_processing",
    "execution_completed",
    "execution_failed",
    "action_prepared",
    "action_dispatched",
    "action_failed",
    "approval_requested",
    "approval_granted",
    "approval_rejected",
    "approval_timeout",
    "sla_breached",
    "escalation_triggered",
    "pressure_invoked",
    "deployment_suspended",
    "deployment_created",
    "deployment_configured",
    "deployment_activated",
    "deployment_updated",
    "deployment_terminated",
    "version_upgraded",
    "version_rolled_back",
]
#: Who acted, as the service claims it.
Actor: TypeAlias = Literal["system", "founder", "operator", "external_user"]

EVENT_TYPES: Final[tuple[EventType, ...]] = get_args(EventType)
ACTORS: Final[tuple[Actor, ...]] = get_args(Actor)
