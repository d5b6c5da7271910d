"""What a worker tells over HTTP, to who asks on its address: /livez, /readyz, and /metrics for Prometheus.

Needs the extra ``ops``. It answers GET only, and tells no customer's name.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

import psycopg

from aximo_db import __version__
from aximo_db.client.connect import reached
from aximo_db.client.errors import AximoError, InstallationError
from aximo_db.dba.assets import HEAD_SCHEMA_VERSION
from aximo_db.dba.worker import Worker

try:
    import prometheus_client
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
    from prometheus_client.registry import Collector
except ImportError as error:  # pragma: no cover - told by the tests of the command
    raise InstallationError(
        "metrics over HTTP need prometheus-client",
        rule="metrics_client_present",
        hint="Install it: pip install 'aximo-db[ops]'. Or leave --listen out.",
    ) from error

__all__ = ["Telling"]

#: Seconds without a success of "advance" after which the worker is not ready.
READY_FOR: Final = 60.0

_STATUS: Final = (
    "select log, extract(epoch from advanced_at)::float8, entries, unnumbered_positions, holes, violations,"
    " uncounted_entries, extract(epoch from metrics_refreshed_at)::float8, open_executions_over_an_hour,"
    " extract(epoch from stored_checkpoint_at)::float8"
    " from aximo.ledger_status()"
)


class _Ledger(Collector):
    """What ``aximo.ledger_status()`` says, asked at each scrape over a connection of its own."""

    def __init__(self, dsn: str | None) -> None:
        self._dsn = dsn

    def collect(self) -> Iterator[Metric]:
        """The metrics; only that it is down, if the ledger does not answer."""
        up = GaugeMetricFamily("aximo_ledger_up", "Whether the ledger answered.")
        try:
            with closing(reached(self._dsn, autocommit=True, connect_timeout=5)) as connection:
                connection.execute("set statement_timeout = '5s'")
                rows = connection.execute(_STATUS).fetchall()
        except (psycopg.Error, AximoError):
            up.add_metric((), 0)
            yield up
            return
        up.add_metric((), 1)
        yield up
        of_log: tuple[tuple[type[CounterMetricFamily | GaugeMetricFamily], str, str, int], ...] = (
            (CounterMetricFamily, "aximo_log_entries", "Entries of the log, of all customers.", 2),
            (
                GaugeMetricFamily,
                "aximo_log_unnumbered_positions",
                "Positions given since it was last numbered.",
                3,
            ),
            (GaugeMetricFamily, "aximo_log_holes", "Gaps that numbering remembers.", 4),
            (GaugeMetricFamily, "aximo_metrics_uncounted_entries", "Entries that are not counted for the metrics.", 6),
        )
        for kind, name, text, place in of_log:
            family = kind(name, text, labels=["log"])
            for row in rows:
                family.add_metric([row[0]], row[place])
            yield family
        of_all: tuple[tuple[str, str, Any], ...] = (
            ("aximo_log_advanced_timestamp_seconds", "When the log was last numbered.", rows[0][1]),
            ("aximo_violations", "Events that are listed for breaking a rule.", max(row[5] for row in rows)),
            ("aximo_metrics_refreshed_timestamp_seconds", "When the metrics were last refreshed.", rows[0][7]),
            (
                "aximo_open_executions_stale",
                "Executions triggered more than an hour ago that have not ended, 10,000 at most.",
                max(row[8] for row in rows),
            ),
        )
        for name, text, value in of_all:
            gauge = GaugeMetricFamily(name, text)
            gauge.add_metric((), value or 0)  # 0: never
            yield gauge
        # Not every ledger keeps its checkpoints: never is no news.
        if rows[0][9] is not None:
            name, text = "aximo_checkpoint_stored_timestamp_seconds", "When a checkpoint was last added to any log."
            yield GaugeMetricFamily(name, text, value=rows[0][9])

    def describe(self) -> Iterator[Metric]:
        """Nothing: names are known when the ledger was asked."""
        return iter(())


class Telling:
    """The HTTP server of a worker, in a thread of its own; also who is told what the worker did.

    Args:
        worker: whose.
        host, port: where it listens.
    """

    def __init__(self, worker: Worker, host: str, port: int) -> None:
        registry = prometheus_client.CollectorRegistry()
        registry.register(_Ledger(worker.dsn))
        build = prometheus_client.Info("aximo_build", "Versions.", registry=registry)
        build.info({"package": __version__, "schema": str(HEAD_SCHEMA_VERSION)})
        self._seconds = prometheus_client.Histogram(
            "aximo_worker_duty_seconds", "How long a duty took.", ["duty"], registry=registry
        )
        self._failures = prometheus_client.Counter(
            "aximo_worker_duty_failures", "How often a duty failed.", ["duty", "sqlstate"], registry=registry
        )
        every = prometheus_client.Gauge(
            "aximo_worker_duty_interval_seconds", "How often a duty is to be done.", ["duty"], registry=registry
        )
        self._succeeded = prometheus_client.Gauge(
            "aximo_worker_duty_succeeded_timestamp_seconds",
            "When this worker last did a duty to its end with success; 0 for never.",
            ["duty"],
            registry=registry,
        )
        for duty in worker.duties:
            every.labels(duty.name).set(duty.every)
            # It is there before the first success: what never succeeds is to be seen, too.
            self._succeeded.labels(duty.name).set(0)
        self._published: prometheus_client.Gauge | None = None
        if any(duty.name == "publish" for duty in worker.duties):
            self._published = prometheus_client.Gauge(
                "aximo_checkpoint_published_timestamp_seconds",
                "When this worker last published the logs of all its customers.",
                registry=registry,
            )
        worker.observer = self
        self._server = ThreadingHTTPServer((host, port), _handler(worker, registry))
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]

    def __enter__(self) -> Telling:
        threading.Thread(target=self._server.serve_forever, name="aximo-db http", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def done(self, duty: str, seconds: float, *, is_whole: bool) -> None:
        """A duty was done; what was cut may fail yet, in the part that is left."""
        self._seconds.labels(duty).observe(seconds)
        if not is_whole:
            return
        self._succeeded.labels(duty).set_to_current_time()
        if duty == "publish" and self._published is not None:
            self._published.set_to_current_time()

    def failed(self, duty: str, sqlstate: str) -> None:
        """A duty failed."""
        self._failures.labels(duty, sqlstate).inc()


def is_live(worker: Worker) -> bool:
    """Whether the worker's loop turns, or a step is not longer under way than a step takes."""
    return time.monotonic() - worker.turned_at < max(READY_FOR, 3 * min(duty.every for duty in worker.duties))


def is_ready(worker: Worker) -> bool:
    """Whether events were numbered, or looked for, within the last minute."""
    done = [duty.done_at for duty in worker.duties if duty.name == "advance" and duty.done_at is not None]
    longest = max(READY_FOR, 3 * worker.duties[0].every)
    return bool(done) and time.monotonic() - done[0] < longest


def _handler(worker: Worker, registry: prometheus_client.CollectorRegistry) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        #: Seconds that a client may take to ask.
        timeout = 30
        server_version = "aximo-db"
        sys_version = ""

        def do_GET(self) -> None:
            """Answers."""
            if self.path == "/metrics":
                metrics = prometheus_client.generate_latest(registry)
                self._send(HTTPStatus.OK, metrics, prometheus_client.CONTENT_TYPE_LATEST)
            elif self.path == "/livez":
                self._say(is_live(worker))
            elif self.path == "/readyz":
                self._say(is_ready(worker))
            else:
                self._send(HTTPStatus.NOT_FOUND, b"not found\n")

        def _say(self, is_well: bool) -> None:
            if is_well:
                self._send(HTTPStatus.OK, b"ok\n")
            else:
                self._send(HTTPStatus.SERVICE_UNAVAILABLE, b"not ok\n")

        def _send(self, status: HTTPStatus, body: bytes, kind: str = "text/plain; charset=utf-8") -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Says nothing: a probe a second is no news."""

    return Handler
