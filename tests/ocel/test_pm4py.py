"""What is exported as OCEL 2.0, read and judged by pm4py, in a virtual environment of its own: "make test-ocel"."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from aximo_db import EventStore
from aximo_db.dba.assets import recording_path
from aximo_db.lines.importer import import_lines
from aximo_db.local.embedded import EmbeddedServer
from tests.conftest import BINARIES, Ledger, _cloned
from tests.ocel_story import CUSTOMER, HIDDEN, LIVES, take
from tests.test_cli import run
from tests.test_ocel import PAGE, found_by_the_page, rows, violating

pytestmark = [pytest.mark.ocel, pytest.mark.filterwarnings("ignore")]
pm4py = pytest.importorskip("pm4py")

SERVICE = "ocel_service"
CUSTOMERS = (CUSTOMER, "acme-hvac", "nordwind")


@pytest.fixture(scope="module")
def ledger(servers: Callable[[str], EmbeddedServer]) -> Iterator[Ledger]:
    with closing(_cloned(servers(next(iter(BINARIES))), "fresh", "pm4py_test")) as clone:
        ledger = next(clone)
        ledger.login(SERVICE, "aximo_writer", "aximo_operator", customers=("*",))
        with EventStore(ledger.dsn(SERVICE)) as store:
            with recording_path().open("rb") as source:
                import_lines(store, source)
            take(store)
        yield ledger


@pytest.fixture(scope="module", params=CUSTOMERS)
def files(request: pytest.FixtureRequest, ledger: Ledger, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    folder = tmp_path_factory.mktemp("ocel")
    for form, name in (("ocel-sqlite", "acme.sqlite"), ("ocel-json", "acme.json")):
        run("export", "--db", ledger.dsn(SERVICE), "-c", request.param, "--format", form, "-o", folder / name)
    return request.param, folder


def test_the_relational_schema_satisfies_every_constraint(files: tuple[str, Path]) -> None:
    from pm4py.objects.ocel.validation import ocel20_rel_validation

    satisfied, unsatisfied = ocel20_rel_validation.apply(str(files[1] / "acme.sqlite"))
    assert list(unsatisfied) == []
    assert len(satisfied) == 24


def test_both_forms_are_read_and_are_the_same(files: tuple[str, Path]) -> None:
    folder = files[1]
    one, two = pm4py.read_ocel2_sqlite(str(folder / "acme.sqlite")), pm4py.read_ocel2_json(str(folder / "acme.json"))
    [(events,)] = rows(folder / "acme.sqlite", "select count(*) from event")
    [(objects,)] = rows(folder / "acme.sqlite", "select count(*) from object")
    [(about,)] = rows(folder / "acme.sqlite", "select count(*) from event_object")
    for log in (one, two):
        assert (len(log.events), len(log.objects), len(log.relations)) == (events, objects, about)
    for frame, keys in (
        ("events", ["ocel:eid", "ocel:activity", "ocel:timestamp", "log_number", "actor"]),
        ("relations", ["ocel:eid", "ocel:oid", "ocel:type", "ocel:qualifier"]),
        ("o2o", ["ocel:oid", "ocel:oid_2", "ocel:qualifier"]),
        ("objects", ["ocel:oid", "ocel:type"]),
    ):
        told = [sorted(map(tuple, getattr(log, frame)[keys].astype(str).to_numpy())) for log in (one, two)]
        assert told[0] == told[1], frame


def found_by_declare(folder: Path, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    [block] = re.findall(r"^```text\n(import pandas.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert len(block.splitlines()) <= 10
    monkeypatch.chdir(folder)
    variables: dict[str, Any] = {}
    exec(block, variables)
    names = dict(rows(folder / "acme.sqlite", "select ocel_id, execution_id from object_approval"))
    return {names[approval] for approval in variables["found"]}


def test_declare_finds_exactly_what_the_ledger_lists(
    files: tuple[str, Path], ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    customer, folder = files
    found = found_by_declare(folder, monkeypatch)
    assert found - HIDDEN.keys() == violating(ledger, customer)
    assert found == found_by_the_page(folder / "acme.sqlite", monkeypatch)
    assert len(found) < len(LIVES)


@pytest.mark.parametrize("files", ["acme-hvac"], indirect=True)
def test_of_all_dispatches_the_same_question_means_nothing(files: tuple[str, Path]) -> None:
    folder = files[1]
    log = pm4py.convert_to_event_log(
        pm4py.ocel_flattening(pm4py.read_ocel2_sqlite(str(folder / "acme.sqlite")), "execution")
    )
    model = {"precedence": {("approval_granted", "action_dispatched"): {"support": 1, "confidence": 1}}}
    results = pm4py.conformance_declare(log, model)
    failed = sum(1 for result in results if result["deviations"])
    assert f"{failed} of the {len(results)} executions" in " ".join(PAGE.split())
