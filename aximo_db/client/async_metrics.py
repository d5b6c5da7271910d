"""What the asynchronous store asks of metrics: their rows, and to refresh them.

``metrics.py`` is made from this file by ``tools/unasync.py``.
"""

from __future__ import annotations

from typing import Any, Literal, overload

from psycopg.rows import dict_row

from aximo_db.client import metric_rows, statements
from aximo_db.client.async_connections import AnyConnection
from aximo_db.client.async_feed import advance_all
from aximo_db.client.async_session import AsyncSession
from aximo_db.client.events import RefreshedView

__all__ = ["AsyncMetrics"]


class AsyncMetrics:
    """The part of :class:`AsyncEventStore` that is about metrics."""

    _session: AsyncSession

    # Made by tools/vocabulary.py, up to the next such line.
    @overload
    async def metrics(
        self, view: Literal["actions"], *, customer_id: str | None = None
    ) -> list[metric_rows.Actions]: ...

    @overload
    async def metrics(
        self, view: Literal["actions_hourly"], *, customer_id: str | None = None
    ) -> list[metric_rows.ActionsHourly]: ...

    @overload
    async def metrics(
        self, view: Literal["actions_monthly"], *, customer_id: str | None = None
    ) -> list[metric_rows.ActionsMonthly]: ...

    @overload
    async def metrics(self, view: Literal["alerts"], *, customer_id: str | None = None) -> list[metric_rows.Alerts]: ...

    @overload
    async def metrics(
        self, view: Literal["alerts_hourly"], *, customer_id: str | None = None
    ) -> list[metric_rows.AlertsHourly]: ...

    @overload
    async def metrics(
        self, view: Literal["alerts_monthly"], *, customer_id: str | None = None
    ) -> list[metric_rows.AlertsMonthly]: ...

    @overload
    async def metrics(
        self, view: Literal["attribution_monthly"], *, customer_id: str | None = None
    ) -> list[metric_rows.AttributionMonthly]: ...

    @overload
    async def metrics(
        self, view: Literal["business_value"], *, customer_id: str | None = None
    ) -> list[metric_rows.BusinessValue]: ...

    @overload
    async def metrics(
        self, view: Literal["business_value_hourly"], *, customer_id: str | None = None
    ) -> list[metric_rows.BusinessValueHourly]: ...

    @overload
    async def metrics(
        self, view: Literal["business_value_monthly"], *, customer_id: str | None = None
    ) -> list[metric_rows.BusinessValueMonthly]: ...

    @overload
    async def metrics(
        self, view: Literal["customer_overview"], *, customer_id: str | None = None
    ) -> list[metric_rows.CustomerOverview]: ...

    @overload
    async def metrics(
        self, view: Literal["deployment_status"], *, customer_id: str | None = None
    ) -> list[metric_rows.DeploymentStatus]: ...

    @overload
    async def metrics(
        self, view: Literal["execution_health"], *, customer_id: str | None = None
    ) -> list[metric_rows.ExecutionHealth]: ...

    @overload
    async def metrics(
        self, view: Literal["execution_health_hourly"], *, customer_id: str | None = None
    ) -> list[metric_rows.ExecutionHealthHourly]: ...

    @overload
    async def metrics(
        self, view: Literal["execution_health_monthly"], *, customer_id: str | None = None
    ) -> list[metric_rows.ExecutionHealthMonthly]: ...

    @overload
    async def metrics(
        self, view: Literal["freshness"], *, customer_id: str | None = None
    ) -> list[metric_rows.Freshness]: ...

    @overload
    async def metrics(
        self, view: Literal["high_risk_levels"], *, customer_id: str | None = None
    ) -> list[metric_rows.HighRiskLevels]: ...

    @overload
    async def metrics(
        self, view: Literal["lead_action_types"], *, customer_id: str | None = None
    ) -> list[metric_rows.LeadActionTypes]: ...

    @overload
    async def metrics(
        self, view: Literal["sla_governance"], *, customer_id: str | None = None
    ) -> list[metric_rows.SlaGovernance]: ...

    @overload
    async def metrics(
        self, view: Literal["sla_governance_hourly"], *, customer_id: str | None = None
    ) -> list[metric_rows.SlaGovernanceHourly]: ...

    @overload
    async def metrics(
        self, view: Literal["sla_governance_monthly"], *, customer_id: str | None = None
    ) -> list[metric_rows.SlaGovernanceMonthly]: ...

    @overload
    async def metrics(
        self, view: Literal["thresholds"], *, customer_id: str | None = None
    ) -> list[metric_rows.Thresholds]: ...

    @overload
    async def metrics(
        self, view: Literal["tool_runs"], *, customer_id: str | None = None
    ) -> list[metric_rows.ToolRuns]: ...

    @overload
    async def metrics(
        self, view: Literal["tool_runs_by_status"], *, customer_id: str | None = None
    ) -> list[metric_rows.ToolRunsByStatus]: ...

    @overload
    async def metrics(self, view: str, *, customer_id: str | None = None) -> list[Any]: ...
    # Up to here.
    async def metrics(self, view: str, *, customer_id: str | None = None) -> list[Any]:
        """The rows of a view of metrics, as of the last refresh; columns and their meanings are in docs/bi.md.

        Args:
            view: its name in the schema ``aximo_metrics``, such as ``"execution_health"``.
            customer_id: whose metrics, if not the store's customer.

        Returns:
            A dictionary a row, with keys that type checkers know (``aximo_db.client.metric_rows``). Days and months are
            dates, UTC; moments are time-zone-aware; durations are in milliseconds, as the columns' names say.

        Raises:
            MalformedEventError: that is no name.
            psycopg.errors.UndefinedTable: there is no such view.
            psycopg.errors.InsufficientPrivilege: the login has neither ``aximo_bi`` nor ``aximo_reader``.
        """
        return await self._session.read(statements.metrics(view), (), dict_row, call="metrics", customer_id=customer_id)

    async def refresh_metrics(self, everything: bool | None = None) -> list[RefreshedView]:
        """Numbers and counts what is new, and shows it in all customers' metrics. The login needs ``aximo_operator``.

        Outside of a caller's transaction each step is one of its own: what was done when the connection breaks stays
        done, and others number events meanwhile. Inside of one it is one step, in that transaction, and nobody else
        can number until it ends.

        Args:
            everything: also make anew what has not changed.

        Returns:
            What was made; nothing if another session counts or refreshes.

        Raises:
            CustomerError: the login was not granted all customers.
            psycopg.errors.InsufficientPrivilege: the login is no operator's.
        """
        session = self._session
        joining = await session.connections.is_joining()

        async def count(connection: AnyConnection) -> bool | None:
            row = await session.row(connection, statements.COUNT_METRICS)
            return row[0]  # type: ignore[no-any-return]

        async def refresh(connection: AnyConnection) -> list[RefreshedView]:
            if not joining:
                await session.execute(connection, "set transaction isolation level repeatable read")
            rows = await session.rows(connection, statements.REFRESH_METRICS, (everything,))
            return [RefreshedView(*row) for row in rows]

        if not joining:
            await advance_all(session, 10000)
            while await session.run(count, call="refresh_metrics"):
                pass
        return await session.run(refresh, call="refresh_metrics", atomic=True)
