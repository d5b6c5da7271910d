"""The command ``aximo-db otel``: executions as spans of OpenTelemetry."""

from __future__ import annotations

from typing import Annotated

import psycopg
import typer

from aximo_db.cli.support import (
    AsJson,
    Customer,
    Db,
    Follow,
    Panel,
    Program,
    err,
    fail,
    nobody_reads,
    plain,
    print_json,
    refusals,
)
from aximo_db.client.errors import CustomerError, ReadOnlyError
from aximo_db.client.store import EventStore

__all__ = ["app"]

app = Program()


@app.does(Panel.READ, needs="aximo.read_log")
def otel(
    endpoint: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="The receiver, by OTLP over HTTP; else by OTEL_EXPORTER_OTLP_ENDPOINT, else this machine.",
        ),
    ] = None,
    cursor: Annotated[str, typer.Option(help="Begin where this cursor is, and move it: each entry at least once.")] = (
        "otel"
    ),
    since: Annotated[
        int | None, typer.Option(min=1, help="Send what came from this number of the log on, and move no cursor.")
    ] = None,
    follow: Follow = False,
    also_open: Annotated[
        bool, typer.Option("--open", help="Also send executions that have not ended, as they stand.")
    ] = False,
    arguments: Annotated[
        bool, typer.Option("--arguments", help="Also send the payloads of actions; else no payload leaves.")
    ] = False,
    customer: Customer = None,
    db: Db = None,
    as_json: AsJson = False,
) -> None:
    """Send executions, actions, approvals and tool runs as spans of OpenTelemetry. To send twice changes nothing."""
    if follow and also_open:
        fail("what is followed is sent when it has ended", hint="Leave out --open or --follow.", code=2)
    with refusals():
        from aximo_db.otel.sending import NotSentError, Sender, Sent, follow_log

        try:
            sender = Sender(endpoint)
        except ValueError as error:
            fail(f"--endpoint: {error}", code=2)

        def told(sent: Sent) -> None:
            if follow and as_json:
                print_json({"executions": sent.executions, "spans": sent.spans})

        with EventStore(db, customer_id=customer, exact_numbers=True) as store:
            try:
                store.advance_all()
                may_advance = True
            except (psycopg.errors.InsufficientPrivilege, CustomerError, ReadOnlyError):
                may_advance = False  # what has its number can be sent all the same
            try:
                sent = follow_log(
                    store,
                    sender,
                    cursor=cursor if since is None else None,
                    after=0 if since is None else since - 1,
                    advance=may_advance,
                    follow=follow,
                    also_open=also_open,
                    arguments=arguments,
                    told=told,
                    failed=lambda message: err().print(f"not taken, and tried again: {plain(message)}"),
                    stop=nobody_reads,
                )
            except NotSentError as error:
                fail(
                    "the receiver did not take the spans",
                    detail=str(error),
                    hint="Run it again: the cursor stays where it was. --endpoint names another receiver.",
                )
            finally:
                sender.close()
    if as_json:
        print_json({"executions": sent.executions, "spans": sent.spans})
    else:
        err().print(f"{sent.executions:,} executions sent, {sent.spans:,} spans")
