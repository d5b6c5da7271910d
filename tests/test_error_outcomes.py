"""What an error says of the write: the page, the package and PostgreSQL's own list of codes agree; and errors travel."""

from __future__ import annotations

import importlib
import pickle
import pkgutil
import re
import time
from pathlib import Path
from types import SimpleNamespace

import psycopg
import pytest
from psycopg_pool import PoolClosed, PoolTimeout

import aximo_db
from aximo_db import AximoError, ConnectionLostError, NewEvent, NotConnectedError
from aximo_db.client.call import Call
from aximo_db.client.errors import is_connection_loss
from aximo_db.lines.importer import ImportStoppedError, ImportSummary, Refusal
from tests.conftest import BINARIES
from tests.events import event

ROOT = Path(__file__).parent.parent


def _codes_of_postgresql(version: str) -> dict[str, str]:
    """Every code that the server can raise, and whether as an error, a warning or a success."""
    places = (
        BINARIES[version].parent / "share" / "errcodes.txt",
        Path(f"/usr/share/postgresql/{version}/errcodes.txt"),
    )
    listed = next((place for place in places if place.exists()), None)
    if listed is None:
        pytest.skip("this PostgreSQL brings no list of its codes")
    found = re.findall(r"^([0-9A-Z]{5})\s+([EWS])\s", listed.read_text(encoding="utf-8"), re.MULTILINE)
    return dict(found)


def _documented_as_unknown() -> list[str]:
    page = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    table = page.partition("## What an error says of the write")[2]
    rows = [row for row in table.splitlines() if row.startswith("| `") and row.endswith("| not known |")]
    return [code.replace("…", "") for row in rows for code in re.findall(r"`([0-9A-Z]{2,5}…?)`", row.split("|")[1])]


@pytest.mark.parametrize("version", sorted(BINARIES))
def test_every_code_of_postgresql_means_what_the_page_says(version: str) -> None:
    unknown = tuple(_documented_as_unknown())
    codes = _codes_of_postgresql(version)
    assert len(codes) > 200
    for code, kind in codes.items():
        if kind != "E":
            continue
        try:
            error = psycopg.errors.lookup(code)()
        except KeyError:
            continue  # newer than the driver
        assert is_connection_loss(error) is code.startswith(unknown), code


def _connections(**values: bool) -> SimpleNamespace:
    return SimpleNamespace(was_used=True, has_written=False, makes_its_own=True, is_lent=False, dsn="host=x", **values)


@pytest.mark.parametrize("error", [PoolTimeout("none"), PoolClosed("closed"), psycopg.OperationalError("no host")])
def test_before_there_is_a_connection_nothing_was_sent(error: psycopg.Error) -> None:
    call = Call(_connections(), 0, name="emit", events=(NewEvent(**event("sla_breached")),), writing=True)
    call.fail(error, reached=False, joined=False)
    assert isinstance(call.final_error(), NotConnectedError)


@pytest.mark.parametrize("second", ["42501", "25006", "57014", "53100", "55P03", "40001", "ZXCUS", "ZXSEQ"])
def test_a_refusal_after_a_lost_attempt_does_not_say_that_nothing_was_written(second: str) -> None:
    it = NewEvent(**event("sla_breached"))
    call = Call(_connections(), time.monotonic() + 30, name="emit", events=(it,), writing=True)
    call.fail(psycopg.OperationalError("server closed the connection unexpectedly"), reached=True, joined=False)
    assert call.may_retry()
    try:
        error = psycopg.errors.lookup(second)()
    except KeyError:
        error = psycopg.DatabaseError()
        error.sqlstate = second
    call.fail(error, reached=True, joined=False)
    final = call.final_error()
    assert isinstance(final, ConnectionLostError)
    assert (final.event, final.events) == (it, (it,))


def _exceptions() -> list[type[BaseException]]:
    """Every exception that the package defines."""
    found: set[type[BaseException]] = set()
    for module in pkgutil.iter_modules(aximo_db.__path__):
        if module.name == "__main__":
            continue
        for value in vars(importlib.import_module(f"aximo_db.{module.name}")).values():
            if isinstance(value, type) and issubclass(value, BaseException) and value.__module__.startswith("aximo_db"):
                found.add(value)
    return sorted(found, key=lambda each: each.__qualname__)


def _made(cls: type[BaseException]) -> BaseException:
    if issubclass(cls, AximoError):
        it = NewEvent(**event("sla_breached"))
        return cls("told", rule="a_rule", detail="a detail", hint="a hint", event=it)
    if cls is ImportStoppedError:
        summary = ImportSummary(read=3, refused=1)
        return cls(Refusal(3, "ZXARG", "json_well_formed", "malformed event", "no json"), summary)
    return cls("told")


@pytest.mark.parametrize("cls", _exceptions(), ids=lambda cls: cls.__name__)
def test_an_exception_survives_the_way_between_processes(cls: type[BaseException]) -> None:
    error = _made(cls)
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is cls
    assert str(again) == str(error)
    assert vars(again) == vars(error)
