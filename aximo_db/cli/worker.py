"""``aximo-db worker``: the duties of an operator, in one process."""

from __future__ import annotations

import contextlib
import logging
import signal
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from aximo_db.cli.publish import EntriesToo, TimeStampAuthority, WitnessNames, publishing
from aximo_db.cli.support import Db, refusals
from aximo_db.dba.worker import JsonLines, Worker, duties

__all__ = ["worker"]

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def seconds_of(text: str) -> float:
    """Seconds, of a number with a unit, such as 1s, 5m, 24h or 7d; also of a number alone."""
    number, unit = (text[:-1], text[-1]) if text[-1:] in _UNITS else (text, "s")
    try:
        seconds = float(number) * _UNITS[unit]
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 1e9:
        raise typer.BadParameter("give a number with a unit, such as 1s, 5m, 24h or 7d")
    return seconds


def _address(listen: str) -> tuple[str, int]:
    host, _, port = listen.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise typer.BadParameter("HOST:PORT, such as 127.0.0.1:9187", param_hint="--listen")
    return host.strip("[]"), int(port)


def worker(
    every: Annotated[str, typer.Option(metavar="TIME", help="Look so often for events to number.")] = "1s",
    refresh_every: Annotated[str, typer.Option(metavar="TIME", help="Refresh the metrics so often.")] = "5m",
    close_stale: Annotated[
        str | None, typer.Option(metavar="TIME", help="End executions that were idle for so long, of --customer.")
    ] = None,
    customer: Annotated[
        list[str] | None,
        typer.Option("--customer", "-c", metavar="NAME", help="Whose executions to end; may be given again."),
    ] = None,
    listen: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Answer /livez, /readyz and /metrics there. 127.0.0.1 is this machine."),
    ] = None,
    publish: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Publish the logs of all customers there, as the command does.")
    ] = None,
    publish_every: Annotated[str, typer.Option(metavar="TIME", help="Publish so often.")] = "1h",
    key: Annotated[
        list[Path] | None,
        typer.Option("--key", metavar="FILE", help="With --publish: sign with this secret key; may come often."),
    ] = None,
    entries: EntriesToo = False,
    tsa: TimeStampAuthority = None,
    witness: WitnessNames = None,
    log: Annotated[str, typer.Option(metavar="text|json", help="How to say on standard error what was done.")] = "text",
    once: Annotated[bool, typer.Option("--once", help="Do each duty once, and return: for cron.")] = False,
    db: Db = None,
) -> None:
    """Number events, refresh metrics, end stale executions, publish, again and again. For operators; many may run.

    To publish, the login needs the role aximo_reader, too.
    """
    if log not in ("text", "json"):
        raise typer.BadParameter("text or json", param_hint="--log")
    if (close_stale is None) != (not customer):
        raise typer.BadParameter("--close-stale says when, --customer says whose: give both", param_hint="--customer")
    if (publish is None) != (not key):
        raise typer.BadParameter("--publish says where, --key signs: give both", param_hint="--key")
    if publish is None and (entries or tsa or witness):
        raise typer.BadParameter("--entries, --tsa and --witness are for --publish", param_hint="--publish")
    how = None if publish is None else publishing(publish, key or (), entries=entries, tsa=tsa, witnesses=witness or ())
    at_work = Worker(
        db,
        duties(
            advance_every=seconds_of(every),
            refresh_every=seconds_of(refresh_every),
            close_stale=None if close_stale is None else timedelta(seconds=seconds_of(close_stale)),
            customers=customer or (),
            publishing=how,
            publish_every=seconds_of(publish_every),
        ),
    )
    with refusals(code=2), contextlib.ExitStack() as stack:
        if listen is not None:
            host, port = _address(listen)
            from aximo_db.dba.worker_http import Telling

            stack.enter_context(Telling(at_work, host, port))
        stack.enter_context(_logging(log))
        stack.enter_context(_stopped_by_signals(at_work))
        at_work.run(once=once)


@contextlib.contextmanager
def _logging(form: str) -> Iterator[None]:
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines() if form == "json" else logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger = logging.getLogger("aximo_db")
    before = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)


@contextlib.contextmanager
def _stopped_by_signals(at_work: Worker) -> Iterator[None]:
    def stop(*_: object) -> None:
        at_work.stop()

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, was in before.items():
            signal.signal(number, was)
