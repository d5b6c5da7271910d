"""What an auditor is given to run, runs as it is printed; what the page of duties names is there."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from aximo_db import tlog
from tests.conftest import Ledger
from tests.events import event
from tests.test_cli import run
from tests.test_docs import blocks

DOCS = Path(__file__).resolve().parent.parent / "docs"
DUTIES = DOCS / "record-keeping.md"
CUSTOMER = "acme"


def printed() -> dict[str, str]:
    """The programs of the page, by the name in their first line."""
    found = re.findall(
        r"^```py\n(# (\w+\.py) .*?)^```$", (DOCS / "auditor.md").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    return {name: text for text, name in found}


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    for name, text in printed().items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def ran(folder: Path, *command: str) -> str | None:
    """Runs a program with the standard library only; what it says is wrong, or None."""
    # -I: no variables, no folder of the user's; -S: no installed packages.
    done = subprocess.run(
        [sys.executable, "-I", "-S", *command], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode in (0, 1), done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    return done.stderr.strip() if done.returncode else None


def test_the_programs_import_the_standard_library_only() -> None:
    assert set(printed()) == {"same_log.py", "in_log.py", "in_folder.py"}
    for text in printed().values():
        named = re.findall(r"^(?:import|from) (\w+)", text, re.MULTILINE)
        assert named
        assert set(named) <= sys.stdlib_module_names


def test_an_export_is_compared_with_the_checkpoint_that_was_kept(one_ledger: Ledger, programs: Path) -> None:
    service = one_ledger.login(
        "auditors_service", "aximo_writer", "aximo_operator", "aximo_auditor", customers=(CUSTOMER, "*")
    )
    db = ("--db", one_ledger.dsn(service), "--customer", CUSTOMER)

    def emit(count: int) -> None:
        with one_ledger.connect(service) as connection:
            events = json.dumps([event("sla_breached", None, payload={"n": n, "ü": "\u2028 "}) for n in range(count)])
            connection.execute("select from aximo.emit_events(%s, %s)", (events, CUSTOMER))

    emit(37)
    run("advance", "--db", db[1])
    run("keygen", "audit.example.com", "-o", programs / "key")
    run("checkpoint", *db, "--key", programs / "key", "-o", programs / "old.checkpoint")
    emit(20)
    run("advance", "--db", db[1])
    run("export", *db, "-o", programs / "acme.jsonl")
    same = ("same_log.py", "acme.jsonl", "old.checkpoint")
    assert ran(programs, *same) is None
    lines = (programs / "acme.jsonl").read_bytes().splitlines(keepends=True)
    for damage in (
        [*lines[:5], lines[5].replace(b"sla_breached", b"sla_breacheD"), *lines[6:]],
        [lines[1], lines[0], *lines[2:]],
        lines[1:],
        lines[:36],
        [],
    ):
        (programs / "acme.jsonl").write_bytes(b"".join(damage))
        assert "entries" in (ran(programs, *same) or "")
    # What came after the checkpoint it does not speak of.
    (programs / "acme.jsonl").write_bytes(b"".join(lines[:-1]))
    assert ran(programs, *same) is None

    # One event, by its line and a proof.
    for place in (0, 17, 31, 32, 35, 36):
        (programs / "line").write_bytes(lines[place])
        run("prove", json.loads(lines[place])["event_id"], *db, "--size", "37", "-o", programs / "proof")
        command = ("in_log.py", "line", "proof", "old.checkpoint")
        assert ran(programs, *command) is None
        proof = (programs / "proof").read_text(encoding="utf-8")
        head, tail = proof.split("\n\n", 1)
        wrong = base64.b64encode(bytes(32)).decode()
        more, fewer, other = f"{head}\n{wrong}", head.rpartition("\n")[0], re.sub("index .*", "index 3", head)
        for bad in (more, fewer, other):
            (programs / "proof").write_text(f"{bad}\n\n{tail}", encoding="utf-8")
            assert ran(programs, *command) == "it is not in this log"
        (programs / "proof").write_text(proof, encoding="utf-8")
        (programs / "line").write_bytes(lines[place - 1])
        assert ran(programs, *command) == "it is not in this log"


def test_the_short_program_agrees_with_the_long_one_on_every_size(programs: Path) -> None:
    """Every place of every small tree, in one process each: the page's program, run by its text."""
    program = compile(printed()["in_log.py"], "in_log.py", "exec")
    for size in range(1, 18):
        lines = [f"line {n}".encode() for n in range(size)]
        leaves = [tlog.leaf_hash(line) for line in lines]
        root = tlog.root_of(leaves)
        (programs / "checkpoint").write_text(f"origin\n{size}\n{base64.b64encode(root).decode()}\n", encoding="utf-8")
        for place in range(size):
            hashes = path(leaves, place)
            tlog.verify_inclusion(place, size, leaves[place], hashes, root)
            body = "\n".join(
                ["c2sp.org/tlog-proof@v1", f"index {place}", *(base64.b64encode(each).decode() for each in hashes)]
            )
            (programs / "proof").write_text(body + "\n\nnote\n", encoding="utf-8")
            for told in range(size):
                (programs / "line").write_bytes(lines[told] + b"\n")
                assert outcome(program, programs) == (told == place), (size, place, told)


def path(leaves: list[bytes], place: int) -> list[bytes]:
    """The siblings of a leaf, by the definition of RFC 9162, 2.1.3.1."""
    if len(leaves) < 2:
        return []
    split = 1
    while 2 * split < len(leaves):
        split *= 2
    if place < split:
        return [*path(leaves[:split], place), tlog.root_of(leaves[split:])]
    return [*path(leaves[split:], place - split), tlog.root_of(leaves[:split])]


def outcome(program: object, folder: Path) -> bool:
    before = sys.argv
    sys.argv = ["in_log.py", *(str(folder / name) for name in ("line", "proof", "checkpoint"))]
    try:
        exec(program, {"__name__": "__main__"})  # type: ignore[arg-type]
    except SystemExit as end:
        return end.code is None
    finally:
        sys.argv = before
    raise AssertionError("it says nothing")


# The duties


@pytest.fixture
def auditor(one_ledger: Ledger) -> psycopg.Connection[tuple[object, ...]]:
    service = one_ledger.login("duties_service", "aximo_writer", "aximo_operator", customers=("*",))
    story = [
        event("deployment_created", None),
        event("deployment_activated", None),
        event("execution_triggered", "x"),
        event("execution_processing", "x"),
        event("approval_requested", "x", payload={"approval_id": "a"}),
        event("approval_rejected", "x", payload={"approval_id": "a"}),
        event("execution_failed", "x"),
    ]
    with one_ledger.connect(service) as connection:
        told = [{**each, "timestamp": f"2026-03-01T10:00:{place:02}Z"} for place, each in enumerate(story)]
        connection.execute("select from aximo.emit_events(%s, %s)", (json.dumps(told), CUSTOMER))
        connection.execute("call aximo.keep_metrics()")
    return one_ledger.connect(one_ledger.login("acme_auditor", "aximo_auditor", customers=(CUSTOMER,)))


def test_every_query_of_the_duties_answers(auditor: psycopg.Connection[tuple[object, ...]]) -> None:
    queries = [text for _, language, text in blocks(DUTIES) if language == "sql" and "-- as acme_auditor" in text]
    assert len(queries) == 6
    for query in queries:
        assert auditor.execute(query).fetchall(), query


def test_every_column_that_the_duties_name_is_there(auditor: psycopg.Connection[tuple[object, ...]]) -> None:
    text = DUTIES.read_text(encoding="utf-8")
    named = set(re.findall(r"`(aximo(?:_metrics)?\.\w+)\.(\w+)`", text))
    assert len(named) >= 20
    for view, column in named:
        auditor.execute(f"select {column} from {view} limit 0")
    kinds = {row[0] for row in auditor.execute("select event_type from aximo.event_types")}
    assert set(re.findall(r"`(sla_breached|escalation_triggered)`", text)) <= kinds


def test_the_page_says_that_it_is_no_legal_advice() -> None:
    text = DUTIES.read_text(encoding="utf-8")
    assert "not legal advice" in text
    rows = [
        line
        for line in text.splitlines()
        if line.startswith("| ") and not line.startswith(("| article", "| control", "| criterion"))
    ]
    for duty in ("12(1)", "12(3)(d), 14(5)", "14(4)", "19(1), 26(6)", "26(6), 73", "A.6.2.8", "CC6.1", "PI1.4"):
        assert any(row.startswith(f"| {duty}") for row in rows), duty
