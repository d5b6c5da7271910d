"""The life of an execution (spec, section 3, rules 1 to 7), as a plain model to compare the database with."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

ANSWERS = {"approval_granted": "granted", "approval_rejected": "rejected", "approval_timeout": "timeout"}
DENIALS = {"rejected", "timeout"}
ENDS = {"execution_completed": "completed", "execution_failed": "failed"}
ATTRIBUTION = ("deployment_id", "skill_id", "skill_version")

SEQ = "ZXSEQ"
ATT = "ZXATT"

Event = Mapping[str, Any]


def text(value: Any) -> str | None:
    """A payload's value as text; JSON null is the same as absent."""
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value)


@dataclass
class Approval:
    """One request, and the answer to it."""

    approval_id: str | None
    request: str
    decision: str = "open"
    answer: str | None = None


@dataclass
class Action:
    """Something prepared."""

    action_id: str | None
    action_type: str | None
    approval_id: str | None


@dataclass
class Life:
    """What is known of one execution."""

    attribution: tuple[str, ...]
    processing: bool = False
    end: str | None = None
    events: int = 1
    approvals: list[Approval] = field(default_factory=list)
    prepared: list[Action] = field(default_factory=list)
    # What was dispatched or failed: the action, and whether it failed.
    resolutions: list[tuple[Action, bool]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    @property
    def status(self) -> str:
        """As aximo.executions has it."""
        if self.end is not None:
            return self.end
        if self.open_approvals():
            return "awaiting_approval"
        return "processing" if self.processing else "triggered"

    def open_approvals(self) -> list[Approval]:
        return [approval for approval in self.approvals if approval.decision == "open"]

    def waits_for(self, approval_id: str | None) -> list[Approval]:
        """The approvals that an action waits for: its own, else every one of the execution."""
        return [a for a in self.approvals if approval_id is None or a.approval_id == approval_id]

    def denied(self, approval_id: str | None) -> bool:
        return any(approval.decision in DENIALS for approval in self.waits_for(approval_id))

    def has_unresolved_action(self) -> bool:
        """Whether an action that can still be dispatched was neither dispatched nor failed."""
        pending = [action for action in self.prepared if not self.denied(action.approval_id)]
        # The failure of an action whose own approval was denied resolves that one, which is not pending, and no other.
        resolved = [
            action
            for action, failed in self.resolutions
            if not (failed and action.approval_id is not None and self.denied(action.approval_id))
        ]
        ids = {action.action_id for action in resolved}
        if any(a.action_id is not None and a.action_id not in ids for a in pending):
            return True
        by_type = Counter(a.action_type for a in pending if a.action_id is None)
        done = Counter(a.action_type for a in resolved if a.action_id is None)
        return any(number > done[action_type] for action_type, number in by_type.items())


class Model:
    """Executions of one customer, by their events in order of arrival."""

    def __init__(self) -> None:
        self.lives: dict[str, Life] = {}
        self.seen: dict[str, Event] = {}

    def accepts(self, event: Event) -> str | None:
        """The code that the event is refused with, or None.

        An event may break several rules. That its place is taken (a second start, end or answer) goes before its
        attribution, and that before the other rules.
        """
        if event.get("event_id") in self.seen:
            return None  # the same event again
        name = event.get("execution_id")
        if name is None:
            return None
        life = self.lives.get(name)
        kind = event["event_type"]
        if kind == "execution_triggered":
            return SEQ if life is not None else None
        if life is None:
            return SEQ
        payload = event.get("payload") or {}
        approval_id = text(payload.get("approval_id"))
        if kind in ENDS and life.end is not None:
            return SEQ
        same = [approval for approval in life.approvals if approval.approval_id == approval_id]
        if kind in ANSWERS and same and same[-1].decision != "open":
            return SEQ
        if tuple(event[name] for name in ATTRIBUTION) != life.attribution:
            return ATT
        category = kind.partition("_")[0]
        if category in ("execution", "action", "approval") and life.end is not None:
            return SEQ
        if not life.processing and (category in ("action", "approval") or kind == "execution_completed"):
            return SEQ
        waiting = life.open_approvals()
        if kind == "approval_requested":
            if any(a.approval_id == approval_id for a in waiting):
                return SEQ
            if waiting and (approval_id is None or any(a.approval_id is None for a in waiting)):
                return SEQ
        if kind in ANSWERS and not any(a.approval_id == approval_id for a in waiting):
            return SEQ
        if kind == "action_dispatched" and (
            life.denied(approval_id) or any(a.decision == "open" for a in life.waits_for(approval_id))
        ):
            return SEQ
        if kind == "execution_completed" and (waiting or life.has_unresolved_action()):
            return SEQ
        return None

    def apply(self, event: Event) -> None:
        """Takes an accepted event in."""
        if event.get("event_id") in self.seen:
            return
        self.seen[event["event_id"]] = event
        name = event.get("execution_id")
        if name is None:
            return
        kind = event["event_type"]
        if kind == "execution_triggered":
            self.lives[name] = Life(tuple(event[part] for part in ATTRIBUTION), counts=Counter([kind]))
            return
        life = self.lives[name]
        life.events += 1
        life.counts[kind] += 1
        payload = event.get("payload") or {}
        approval_id, action_id, action_type = (
            text(payload.get(key)) for key in ("approval_id", "action_id", "action_type")
        )
        if kind == "execution_processing":
            life.processing = True
        elif kind in ENDS:
            life.end = ENDS[kind]
        elif kind == "approval_requested":
            life.approvals.append(Approval(approval_id, event["event_id"]))
        elif kind in ANSWERS:
            approval = next(a for a in life.open_approvals() if a.approval_id == approval_id)
            approval.decision = ANSWERS[kind]
            approval.answer = event["event_id"]
        elif kind == "action_prepared":
            life.prepared.append(Action(action_id, action_type, approval_id))
        elif kind in ("action_dispatched", "action_failed"):
            life.resolutions.append((Action(action_id, action_type, approval_id), kind == "action_failed"))

    def apply_batch(self, events: Sequence[Event]) -> str | None:
        """Takes a batch in, all or nothing; the code of the first event refused, or None."""
        before = deepcopy(self.__dict__)
        for event in events:
            code = self.accepts(event)
            if code is not None:
                self.__dict__.update(before)
                return code
            self.apply(event)
        return None
