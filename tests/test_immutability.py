"""Nobody changes or deletes an event, the owner and replicas included."""

from __future__ import annotations

import psycopg
import pytest

from tests.conftest import Ledger
from tests.events import emit_life

CHANGES = [
    "update {} set {} = {}",
    "update {} set {} = {} where false",
    "delete from {}",
    "delete from {} where false",
]
RELATIONS = {"aximo_private.events": "payload", "aximo.event_types": "meaning", "aximo.events": "recorded_by"}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("relation", RELATIONS)
def test_the_owner_is_refused(ledger: Ledger, relation: str, change: str) -> None:
    emit_life(ledger.connect(), "c1")
    with ledger.connect() as owner, pytest.raises(psycopg.DatabaseError) as refusal:
        owner.execute(change.replace("{}", relation, 1).replace("{}", RELATIONS[relation]))
    assert refusal.value.sqlstate == "ZXIMM"
    assert refusal.value.diag.constraint_name == "append_only"
