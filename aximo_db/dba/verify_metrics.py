"""Checking metrics: compares them with the events, and counts again what they missed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import psycopg

from aximo_db.client.connect import connect
from aximo_db.client.errors import translate
from aximo_db.client.statements import SET_CUSTOMER
from aximo_db.client.whose import check_customer

__all__ = ["MetricDifference", "MetricsVerdict", "recount_metrics", "verify_metrics"]

# Of the views of events, and of those of runs, which are of another log.
_HEADS: Final = """
select coalesce(max(f.counts_up_to), 0), coalesce(max(f.log_size), 0)
from (values (false), (true)) as v (of_runs)
left join aximo_metrics.freshness as f on starts_with(f.view_name, 'tool_runs') = v.of_runs
group by v.of_runs
"""


class MetricDifference(NamedTuple):
    """A number that is not what the events say.

    Attributes:
        view_name: the view, in ``aximo_metrics``.
        key: the row, by the columns of its key.
        column_name: the column.
        stored: what the view says; ``None`` if it has no such row, or says null.
        recomputed: what the events say, likewise.
    """

    view_name: str
    key: dict[str, Any]
    column_name: str
    stored: Any
    recomputed: Any


class MetricsVerdict(NamedTuple):
    """The outcome of :func:`verify_metrics`.

    Attributes:
        counts_up_to: how many events of both logs the metrics count; 0 if those of one are numbered, and none counts.
        log_size: how many events of both logs are numbered; of that one, then.
        differences: those that are not what the events say.
    """

    counts_up_to: int
    log_size: int
    differences: list[MetricDifference]

    @property
    def ok(self) -> bool:
        """Whether every number is what the events say; not if no event of some is counted."""
        return not self.differences and (self.counts_up_to > 0 or self.log_size == 0)


def verify_metrics(dsn: str | None = None, *, customer_id: str | None = None) -> MetricsVerdict:
    """Works out a customer's metrics from its events, without the sums, and compares.

    Args:
        dsn: a libpq connection string; left out: ``AXIMO_DB_URL``, else libpq's own ``PG*`` variables.
        customer_id: whose metrics; not needed for a login with one customer. The login needs ``aximo_reader``.

    Raises:
        CustomerError: the login has not that customer.
        psycopg.Error: the server can't be reached, or the login may not read.
    """
    with connect(dsn) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        try:
            with connection.transaction():
                if customer_id is not None:
                    connection.execute(SET_CUSTOMER, (customer_id,))
                check_customer(connection)
                rows = connection.execute(
                    "select view_name, key, column_name, stored, recomputed from aximo.verify_metrics()"
                ).fetchall()
                heads = connection.execute(_HEADS).fetchall()
        except psycopg.Error as error:
            raise translate(error) or error from error
    counted = next((head for head in heads if head[0] == 0 < head[1]), None) or [
        sum(each) for each in zip(*heads, strict=True)
    ]
    return MetricsVerdict(counted[0], counted[1], [MetricDifference(*row) for row in rows])


def recount_metrics(
    dsn: str | None = None,
    *,
    from_the_start: bool = False,
    max_events: int = 100_000,
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Counts what the metrics do not count yet, of all customers, in steps; interrupted, it can go on later.

    Args:
        dsn: as in :func:`verify_metrics`; the login needs ``aximo_operator``.
        from_the_start: throw away what is counted, and begin again.
        max_events: at most so many a step; each is a transaction. Numbering goes on meanwhile.
        progress: called after each step with how many events are counted and how many there are to count.

    Returns:
        How many events were counted.

    Raises:
        MalformedEventError: ``max_events`` is below 1.
        CustomerError: the login was not granted all customers.
        psycopg.Error: the server can't be reached, or the login is no operator's.
    """
    done = 0
    with connect(dsn) as connection:
        while True:
            try:
                row = connection.execute(
                    "select counted, remaining from aximo.recount_metrics(%s, %s::integer)",
                    (from_the_start, max_events),
                ).fetchone()
            except psycopg.Error as error:
                raise translate(error) or error from error
            assert row is not None  # noqa: S101
            from_the_start = False
            done += int(row[0])
            if progress is not None:
                progress(done, done + int(row[1]))
            if row[1] == 0:
                return done
