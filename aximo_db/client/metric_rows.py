# Made by tools/vocabulary.py from the SQL and the contract: do not change.
"""The rows of the views of metrics, as :meth:`EventStore.metrics` returns them: dictionaries whose keys checkers know.

What each column means is in docs/bi.md and docs/reference.md.
"""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Literal, TypedDict

__all__ = [
    "Actions",
    "ActionsHourly",
    "ActionsMonthly",
    "Alerts",
    "AlertsHourly",
    "AlertsMonthly",
    "AttributionMonthly",
    "BusinessValue",
    "BusinessValueHourly",
    "BusinessValueMonthly",
    "CustomerOverview",
    "DeploymentStatus",
    "ExecutionHealth",
    "ExecutionHealthHourly",
    "ExecutionHealthMonthly",
    "Freshness",
    "HighRiskLevels",
    "LeadActionTypes",
    "SlaGovernance",
    "SlaGovernanceHourly",
    "SlaGovernanceMonthly",
    "Thresholds",
    "ToolRuns",
    "ToolRunsByStatus",
]


class Actions(TypedDict):
    """Actions by type and risk, by day."""

    customer_id: str
    deployment_id: str
    skill_id: str
    skill_version: str
    day: date
    action_type: str | None
    risk_level: str | None
    prepared: int
    dispatched: int
    failed: int
    counts_up_to: int


class ActionsHourly(TypedDict):
    """Actions by type and risk, by hour."""

    customer_id: str
    deployment_id: str
    skill_id: str
    skill_version: str
    hour: datetime
    action_type: str | None
    risk_level: str | None
    prepared: int
    dispatched: int
    failed: int
    counts_up_to: int


class ActionsMonthly(TypedDict):
    """Actions by type and risk, by month."""

    customer_id: str
    deployment_id: str
    skill_id: str
    skill_version: str
    month: date
    action_type: str | None
    risk_level: str | None
    prepared: int
    dispatched: int
    failed: int
    counts_up_to: int


class Alerts(TypedDict):
    """Rates and averages above their threshold, by day, one row a deployment and metric."""

    customer_id: str
    deployment_id: str
    day: date
    metric: Literal["error_rate", "sla_breach_rate", "avg_execution_time_ms"]
    level: str | None
    value: float | None
    threshold: float | None
    numerator: int
    denominator: int
    counts_up_to: int


class AlertsHourly(TypedDict):
    """Rates and averages above their threshold, by hour, one row a deployment and metric."""

    customer_id: str
    deployment_id: str
    hour: datetime
    metric: Literal["error_rate", "sla_breach_rate", "avg_execution_time_ms"]
    level: str | None
    value: float | None
    threshold: float | None
    numerator: int
    denominator: int
    counts_up_to: int


class AlertsMonthly(TypedDict):
    """Rates and averages above their threshold, by month, one row a deployment and metric."""

    customer_id: str
    deployment_id: str
    month: date
    metric: Literal["error_rate", "sla_breach_rate", "avg_execution_time_ms"]
    level: str | None
    value: float | None
    threshold: float | None
    numerator: int
    denominator: int
    counts_up_to: int


class AttributionMonthly(TypedDict):
    """What a customer has used, for billing, by month."""

    customer_id: str
    month: date
    executions: int
    actions: int
    high_risk_actions: int
    events: int
    counts_up_to: int


class BusinessValue(TypedDict):
    """What executions bring, by day."""

    customer_id: str
    deployment_id: str
    skill_id: str
    skill_version: str
    day: date
    conversations: int
    actions_dispatched: int
    leads: int
    lead_conversion_rate: float | None
    emergency_leads: int
    response_latency_count: int
    response_latency_sum_ms: Decimal | None
    response_latency_avg_ms: float | None
    counts_up_to: int


class BusinessValueHourly(TypedDict):
    """What executions bring, by hour."""

    customer_id: str
    deployment_id: str
    skill_id: str
    skill_version: str
    hour: datetime
    conversations: int
    actions_dispatched: int
    leads: int
    lead_conversion_rate: float | None
    emergency_leads: int
    response_latency_count: int
    response_latency_sum_ms: Decimal | None
    response_latency_avg_ms: float | None
    counts_up_to: int


class BusinessValueMonthly(TypedDict):
    """What executions bring, by month."""

    customer_id: str
    deployment_id: str
    skill_id: str
    skill_version: str
    month: date
    conversations: int
    actions_dispatched: int
    leads: int
    lead_conversion_rate: float | None
    emergency_leads: int
    response_latency_count: int
    response_latency_sum_ms: Decimal | None
    response_latency_avg_ms: float | None
    counts_up_to: int


class CustomerOverview(TypedDict):
    """The customer's totals since the beginning: one row."""

    customer_id: str
    deployments: int
    active_deployments: int
    undeclared_deployments: int
    events: int
    executions: int
    completed: int
    failed: int
    open: int
    error_rate: float | None
    execution_time_avg_ms: float | None
    execution_time_p50_ms: float | None
    execution_time_p95_ms: float | None
    execution_time_p99_ms: float | None
    actions_dispatched: int
    leads: int
    lead_conversion_rate: float | None
    approvals_open: int
    sla_breaches: int
    sla_breach_rate: float | None
    first_event_at: datetime | None
    last_event_at: datetime | None
    counts_up_to: int


class DeploymentStatus(TypedDict):
    """Each deployment: its state, and its totals since the beginning."""

    customer_id: str
    deployment_id: str
    skill_id: str | None
    skill_version: str | None
    status: Literal["pending_configuration", "configured", "active", "suspended", "terminated", "undeclared"]
    status_since: datetime | None
    upgrades: int
    rollbacks: int
    last_execution_at: datetime | None
    last_event_at: datetime | None
    events: int
    triggered: int
    completed: int
    failed: int
    open: int
    error_rate: float | None
    error_level: str | None
    sla_breaches: int
    sla_breach_rate: float | None
    sla_level: str | None
    counts_up_to: int


class ExecutionHealth(TypedDict):
    """How executions go, by day."""

    customer_id: str
    deployment_id: str
    skill_id: str
    skill_version: str
    day: date
    triggered: int
    completed: int
    failed: int
    open: int
    error_rate: float | None
    execution_time_count: int
    execution_time_sum_ms: Decimal | None
    execution_time_avg_ms: float | None
    execution_time_p50_ms: float | None
    execution_time_p95_ms: float | None
    execution_time_p99_ms: float | None
    latency_count: int
    latency_sum_ms: Decimal | None
    latency_avg_ms: float | None
    latency_p50_ms: float | None
    latency_p95_ms: float | None
    latency_p99_ms: float | None
    counts_up_to: int


class ExecutionHealthHourly(TypedDict):
    """How executions go, by hour."""

    customer_id: str
    deployment_id: str
    skill_id: str
    skill_version: str
    hour: datetime
    triggered: int
    completed: int
    failed: int
    open: int
    error_rate: float | None
    execution_time_count: int
    execution_time_sum_ms: Decimal | None
    execution_time_avg_ms: float | None
    execution_time_p50_ms: float | None
    execution_time_p95_ms: float | None
    execution_time_p99_ms: float | None
    latency_count: int
    latency_sum_ms: Decimal | None
    latency_avg_ms: float | None
    latency_p50_ms: float | None
    latency_p95_ms: float | None
    latency_p99_ms: float | None
    counts_up_to: int


class ExecutionHealthMonthly(TypedDict):
    """How executions go, by month."""

    customer_id: str
    deployment_id: str
    skill_id: str
    skill_version: str
    month: date
    triggered: int
    completed: int
    failed: int
    open: int
    error_rate: float | None
    execution_time_count: int
    execution_time_sum_ms: Decimal | None
    execution_time_avg_ms: float | None
    execution_time_p50_ms: float | None
    execution_time_p95_ms: float | None
    execution_time_p99_ms: float | None
    latency_count: int
    latency_sum_ms: Decimal | None
    latency_avg_ms: float | None
    latency_p50_ms: float | None
    latency_p95_ms: float | None
    latency_p99_ms: float | None
    counts_up_to: int


class Freshness(TypedDict):
    """How fresh each view is."""

    customer_id: str
    view_name: str
    refreshed_at: datetime | None
    counts_up_to: int
    log_size: int
    behind: int


class HighRiskLevels(TypedDict):
    """The risk levels that count as high in attribution_monthly, and their history."""

    customer_id: str
    effective_from: datetime | None
    set_at: datetime
    risk_level: str | None
    is_withdrawal: bool
    is_current: bool
    scope: str
    set_by: str | None


class LeadActionTypes(TypedDict):
    """The action types that count as leads in business_value, and their history."""

    customer_id: str
    effective_from: datetime | None
    set_at: datetime
    action_type: str | None
    is_withdrawal: bool
    is_current: bool
    scope: str
    set_by: str | None


class SlaGovernance(TypedDict):
    """Approvals, service levels and escalations, by day."""

    customer_id: str
    deployment_id: str
    skill_id: str
    skill_version: str
    day: date
    approvals_requested: int
    approvals_granted: int
    approvals_rejected: int
    approvals_timed_out: int
    approvals_open: int
    approval_delay_count: int
    approval_delay_sum_ms: Decimal | None
    approval_delay_avg_ms: float | None
    completed: int
    sla_breaches: int
    sla_breach_rate: float | None
    escalations: int
    pressure_invocations: int
    suspensions: int
    counts_up_to: int


class SlaGovernanceHourly(TypedDict):
    """Approvals, service levels and escalations, by hour."""

    customer_id: str
    deployment_id: str
    skill_id: str
    skill_version: str
    hour: datetime
    approvals_requested: int
    approvals_granted: int
    approvals_rejected: int
    approvals_timed_out: int
    approvals_open: int
    approval_delay_count: int
    approval_delay_sum_ms: Decimal | None
    approval_delay_avg_ms: float | None
    completed: int
    sla_breaches: int
    sla_breach_rate: float | None
    escalations: int
    pressure_invocations: int
    suspensions: int
    counts_up_to: int


class SlaGovernanceMonthly(TypedDict):
    """Approvals, service levels and escalations, by month."""

    customer_id: str
    deployment_id: str
    skill_id: str
    skill_version: str
    month: date
    approvals_requested: int
    approvals_granted: int
    approvals_rejected: int
    approvals_timed_out: int
    approvals_open: int
    approval_delay_count: int
    approval_delay_sum_ms: Decimal | None
    approval_delay_avg_ms: float | None
    completed: int
    sla_breaches: int
    sla_breach_rate: float | None
    escalations: int
    pressure_invocations: int
    suspensions: int
    counts_up_to: int


class Thresholds(TypedDict):
    """The thresholds and minimum denominators of alerts, and their history."""

    customer_id: str
    deployment_id: str | None
    metric: Literal["error_rate", "sla_breach_rate", "avg_execution_time_ms"]
    level: Literal["warning", "escalation", "minimum_denominator"]
    effective_from: datetime | None
    set_at: datetime
    value: float | None
    is_current: bool
    scope: str
    set_by: str | None


class ToolRuns(TypedDict):
    """Runs of tools, by day. A run counts on the day of the event that says so."""

    customer_id: str
    tool_name: str
    day: date
    started: int
    queued: int
    succeeded: int
    failed: int
    blocked: int
    failure_rate: float | None
    queue_time_count: int
    queue_time_sum_ms: Decimal | None
    queue_time_avg_ms: float | None
    run_time_count: int
    run_time_sum_ms: Decimal | None
    run_time_avg_ms: float | None
    counts_up_to: int


class ToolRunsByStatus(TypedDict):
    """Runs of tools, by what was said of them and day."""

    customer_id: str
    tool_name: str
    status: str
    day: date
    runs: int
    queue_time_count: int
    queue_time_sum_ms: Decimal | None
    queue_time_avg_ms: float | None
    run_time_count: int
    run_time_sum_ms: Decimal | None
    run_time_avg_ms: float | None
    counts_up_to: int
