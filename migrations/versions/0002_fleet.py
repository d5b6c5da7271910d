"""Several ledgers as one: a fleet, its nodes, and which of them a customer is on."""

from __future__ import annotations

from aximo_db.dba.migrate import refuse_downgrade, run_frozen_sql

revision = "0002_fleet"
down_revision = "0001_ledger"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_frozen_sql(__file__)


def downgrade() -> None:
    refuse_downgrade()
