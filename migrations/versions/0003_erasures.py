"""What was erased, and who really decided an approval."""

from __future__ import annotations

from aximo_db.dba.migrate import refuse_downgrade, run_frozen_sql

revision = "0003_erasures"
down_revision = "0002_fleet"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_frozen_sql(__file__)


def downgrade() -> None:
    refuse_downgrade()
