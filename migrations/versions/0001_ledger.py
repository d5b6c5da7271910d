"""The ledger: events, isolation, immutability, emit, history."""

from __future__ import annotations

from aximo_db.dba.migrate import refuse_downgrade, run_frozen_sql

revision = "0001_ledger"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_frozen_sql(__file__)


def downgrade() -> None:
    refuse_downgrade()
