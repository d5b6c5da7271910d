"""Every metric of the platform's metrics model has a column here, and docs/bi.md says which."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from psycopg import sql

from .conftest import Ledger
from .metrics_story import history, load

BI = (Path(__file__).resolve().parent.parent / "docs" / "bi.md").read_text(encoding="utf-8")
SECTION = BI.split("### The platform's names")[1].split("###")[0]
ROWS: list[tuple[str, str, str, str]] = re.findall(
    r"^\| `(\w+)` \| `(\w+)` \| `(\w+)` \| (.*) \|$", SECTION, flags=re.MULTILINE
)
# As metrics model v1.0 has them.
MODEL = [
    "total_conversations",
    "leads_captured",
    "emergency_leads",
    "lead_conversion_rate",
    "avg_response_latency_ms",
    "executions_triggered",
    "executions_completed",
    "executions_failed",
    "failure_rate",
    "avg_execution_time_ms",
    "approval_requests",
    "approval_granted",
    "approval_rejected",
    "approval_timeout",
    "sla_breaches",
    "escalations_triggered",
    "pressure_invocations",
    "approval_delay_avg",
    "sla_breach_rate",
    "deployment_status",
    "last_execution_timestamp",
    "error_rate",
    "current_skill_version",
    "version_upgrade_count",
    "active_deployments",
    "total_event_volume",
    "executions_per_customer",
    "actions_per_customer",
    "high_risk_actions_per_customer",
    "event_volume_per_customer",
]


def test_every_name_of_the_model_is_there_once() -> None:
    assert sorted(name for name, *_ in ROWS) == sorted(MODEL)
    assert len(ROWS) == SECTION.count("\n| `")


def test_every_column_is_there_and_several_rows_become_one_as_it_is_said(one_ledger: Ledger) -> None:
    one_ledger.login("names_writer", "aximo_writer", "aximo_operator", customers=("*",))
    load(one_ledger.connect("names_writer"), "acme", history())
    analyst = one_ledger.as_customer("acme", "aximo_bi")

    def ask(view: str, expression: str) -> Any:
        query = sql.SQL("select {} from {}").format(sql.SQL(expression), sql.Identifier("aximo_metrics", view))
        (row,) = analyst.execute(query).fetchall()
        return row[0]

    for name, view, column, several in ROWS:
        # Of one customer's one deployment, all there ever was in one month: one row says what several add up to.
        monthly = (
            view if view in ("deployment_status", "customer_overview", "attribution_monthly") else f"{view}_monthly"
        )
        value = ask(monthly, column)
        if several == "–":
            continue
        summed = several.replace(" / ", "::double precision / ") if "/" in several else f"{several}({column})"
        days = ask(view, summed)
        assert days == (pytest.approx(value) if isinstance(value, float) else value), name
