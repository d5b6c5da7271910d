"""The commands of the log: advance, export, checkpoint, verify, prove, and import of history as it was."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from aximo_db import EventStore, tlog
from aximo_db.dba.verify_log import verify_log
from tests.conftest import DBA, Ledger
from tests.events import event
from tests.test_cli import line, run

CUSTOMER = "kühl & nord"


@pytest.fixture
def dsn(one_ledger: Ledger) -> str:
    """An operator of a ledger with 300 events of one customer and a few of another."""
    login = f"log_operator_{uuid4().hex[:8]}"
    one_ledger.login(login, "aximo_writer", "aximo_operator", "aximo_auditor", customers=("*",))
    dsn = one_ledger.dsn(login)
    with EventStore(dsn) as store:
        for customer, count in ((CUSTOMER, 300), ("other", 3)):
            store.emit_many(event("sla_breached", None, customer_id=customer, payload={"n": n}) for n in range(count))
    return dsn


def stored(one_ledger: Ledger, query: str) -> list[tuple[Any, ...]]:
    with one_ledger.superuser() as root:
        return root.execute(query).fetchall()  # type: ignore[call-overload]


@pytest.fixture
def kept(dsn: str, tmp_path: Path) -> Path:
    """A folder with a key, a signed checkpoint, and the export it is of."""
    run("advance", "--db", dsn)
    run("keygen", "audit.example.com", "-o", tmp_path / "key")
    run("checkpoint", "--db", dsn, "-c", CUSTOMER, "--key", tmp_path / "key", "-o", tmp_path / "checkpoint")
    run("export", "--db", dsn, "-c", CUSTOMER, "-o", tmp_path / "export.jsonl")
    return tmp_path


def offline(folder: Path, *more: str | Path, code: int = 0) -> dict[str, Any]:
    """Verifies the export of the folder in a process that has no PostgreSQL to speak of."""
    program = (
        "import sys\n"
        "for name in ('psycopg', 'psycopg_pool', 'sqlalchemy', 'alembic'): sys.modules[name] = None\n"
        "from aximo_db.audit import main\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    given = ["--export", folder / "export.jsonl", "--checkpoint", folder / "checkpoint", "--key", folder / "key.pub"]
    command = [sys.executable, "-c", program, *map(str, [*given, *more, "--json"])]
    done = subprocess.run(command, capture_output=True, text=True, check=False, encoding="utf-8")
    assert done.returncode == code, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_advance_numbers_everything_and_says_so(dsn: str) -> None:
    assert json.loads(run("advance", "--db", dsn, "--max-events", "7", "--json").stdout) == {
        "numbered": 303,
        "another_is_at_it": False,
    }
    assert json.loads(run("advance", "--db", dsn, "--json").stdout)["numbered"] == 0


def test_advance_does_not_wait_for_another(dsn: str) -> None:
    with psycopg.connect(dsn) as other:
        other.execute("select aximo.advance_log(1)")
        assert json.loads(run("advance", "--db", dsn, "--json").stdout) == {"numbered": 0, "another_is_at_it": True}


def test_a_login_that_is_no_operator_may_not_number(one_ledger: Ledger, dsn: str) -> None:
    reader = one_ledger.dsn(one_ledger.login("log_reader", "aximo_reader", customers=(CUSTOMER,)))
    assert "42501" in run("advance", "--db", reader, code=1).stderr
    # It exports what is numbered, and is told of the rest.
    told = run("export", "--db", reader)
    assert told.stdout == ""
    assert "300 events have no number" in told.stderr


def test_tail_shows_the_end_of_the_log_or_goes_on_from_a_number_or_a_cursor(dsn: str) -> None:
    def numbers(*arguments: str) -> list[int]:
        shown = run("tail", "--db", dsn, "-c", CUSTOMER, "--json", *arguments).stdout
        return [json.loads(each)["number"] for each in shown.splitlines()]

    assert numbers() == list(range(281, 301))
    assert numbers("--from", "299") == [299, 300]
    assert numbers("--from", "301") == []
    assert numbers("--name", "billing") == list(range(1, 301))
    assert numbers("--name", "billing") == []
    assert "sla_breached" in run("tail", "--db", dsn, "-c", CUSTOMER).stdout
    run("tail", "--db", dsn, "--name", "x", "--from", "1", code=2)


def test_line_n_of_an_export_is_entry_n_and_its_hash_is_the_leaf(dsn: str, kept: Path) -> None:
    lines = (kept / "export.jsonl").read_bytes().split(b"\n")
    assert lines.pop() == b""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("select set_config('aximo.customer_id', %s, false)", (CUSTOMER,))
        rows = connection.execute("select number, leaf, event_id from aximo.log_leaves order by number").fetchall()
        root = connection.execute("select aximo.log_root()").fetchone()
    assert [(n, tlog.leaf_hash(lines[n - 1]), json.loads(lines[n - 1])["event_id"]) for n in range(1, 301)] == [
        (number, bytes(leaf), str(event_id)) for number, leaf, event_id in rows
    ]
    assert root == (tlog.root_of(map(tlog.leaf_hash, lines)),)


def test_a_checkpoint_names_its_log_and_is_signed_and_kept(one_ledger: Ledger, kept: Path) -> None:
    note = (kept / "checkpoint").read_text(encoding="utf-8")
    checkpoint = tlog.open_checkpoint(note, tlog.read_verifier_key(kept / "key.pub"))
    [(ledger,)] = stored(one_ledger, "select ledger from aximo_private.log_state")
    assert (checkpoint.origin, checkpoint.size) == (tlog.origin_for(ledger, CUSTOMER), 300)
    assert checkpoint.origin.endswith("/k%C3%BChl%20%26%20nord")
    assert stored(one_ledger, "select note, size from aximo_private.checkpoints") == [(note, 300)]
    assert (kept / "key").stat().st_mode & 0o077 == 0


def test_a_key_is_never_overwritten(kept: Path) -> None:
    before = (kept / "key").read_bytes()
    assert "exists" in run("keygen", "another", "-o", kept / "key", code=1).stderr
    assert (kept / "key").read_bytes() == before


def test_an_export_is_verified_without_a_database(kept: Path) -> None:
    told = offline(kept)
    assert (told["ok"], told["entries"], told["signed"]) == (True, 300, True)


@pytest.mark.parametrize(
    "change",
    [
        lambda lines: [*lines[:99], lines[99].replace(b'"n": 99', b'"n": 98'), *lines[100:]],
        lambda lines: lines[:99] + lines[100:],
        lambda lines: [*lines[:99], lines[98], *lines[99:]],
        lambda lines: [*lines[:99], lines[100], lines[99], *lines[101:]],
        lambda lines: [*lines[:-1], lines[-1].removesuffix(b"\n") + b"\r\n"],
        lambda lines: [b"\xef\xbb\xbf" + lines[0], *lines[1:]],
        lambda lines: lines[:-1],
    ],
    ids=["changed", "removed", "added", "swapped", "CRLF", "BOM", "cut"],
)
def test_an_export_that_is_not_what_it_was_is_found_out(kept: Path, change: Any) -> None:
    export = kept / "export.jsonl"
    (kept / "old.jsonl").write_bytes(export.read_bytes())
    export.write_bytes(b"".join(change(export.read_bytes().splitlines(keepends=True))))
    assert offline(kept, code=1)["ok"] is False
    with (kept / "old.jsonl").open("rb") as old, export.open("rb") as new:
        assert tlog.compare_exports(old, new) is not None


def test_a_checkpoint_signed_by_somebody_else_is_refused(kept: Path) -> None:
    tlog.write_key_pair(kept / "mallory", "audit.example.com")
    text = tlog.read_checkpoint((kept / "checkpoint").read_bytes()).text()
    (kept / "checkpoint").write_text(tlog.sign(text, tlog.read_secret_key(kept / "mallory")), encoding="utf-8")
    assert "sign" in offline(kept, code=1)["findings"][0]


def test_a_log_is_verified_in_the_database(one_ledger: Ledger, dsn: str, kept: Path) -> None:
    given = ("--db", dsn, "-c", CUSTOMER, "--checkpoint", kept / "checkpoint", "--key", kept / "key.pub")
    told = json.loads(run("verify", *given, "--json").stdout)
    assert (told["ok"], told["size"], told["checkpoints"]) == (True, 300, 2)
    assert "what it was" in run("verify", *given).stdout
    assert "ZXCUS" in run("verify", "--db", reader_of(one_ledger, CUSTOMER), "-c", "other", code=1).stderr
    assert "no customer" in run("verify", "--db", reader_of(one_ledger), code=1).stderr


def reader_of(ledger: Ledger, *customers: str) -> str:
    return ledger.dsn(ledger.login(f"log_reader_{uuid4().hex[:8]}", "aximo_reader", customers=customers))


def verified(dsn: str, *arguments: str | Path, code: int = 0) -> dict[str, dict[str, Any]]:
    """What is told of each customer."""
    lines = run("verify", "--db", dsn, "--json", *arguments, code=code).stdout.splitlines()
    told = [json.loads(each) for each in lines]
    return {each["customer_id"]: each for each in told}


def test_the_logs_of_all_customers_are_verified(one_ledger: Ledger, dsn: str, kept: Path) -> None:
    told = verified(dsn)
    assert {name: (each["ok"], each["size"]) for name, each in told.items()} == {
        CUSTOMER: (True, 300),
        "other": (True, 3),
    }
    # Each checkpoint is that of one of them.
    told = verified(dsn, "--checkpoint", kept / "checkpoint")
    assert {name: each["checkpoints"] for name, each in told.items()} == {CUSTOMER: 2, "other": 0}
    shown = run("verify", "--db", dsn).stdout
    assert CUSTOMER in shown
    assert "other" in shown
    assert list(verified(reader_of(one_ledger, "other"))) == ["other"]
    two = reader_of(one_ledger, "other", "nobody yet")
    assert {name: each["size"] for name, each in verified(two).items()} == {"other": 3, "nobody yet": 0}
    stranger = run("verify", "--db", two, "--checkpoint", kept / "checkpoint", code=1)
    assert "none of these logs" in stranger.stderr


def test_what_is_wrong_with_one_customer_does_not_keep_the_others_from_being_verified(
    one_ledger: Ledger, dsn: str, kept: Path
) -> None:
    del kept
    root = one_ledger.superuser()
    root.execute("alter table aximo_private.events disable trigger user")
    root.execute("update aximo_private.events set payload = '{}' where payload = '{\"n\": 41}'")
    told = verified(dsn, code=1)
    assert {name: each["ok"] for name, each in told.items()} == {CUSTOMER: False, "other": True}
    # One that can't be read at all: its login is refused in the middle of it.
    root.execute(
        "create function public.fail(text) returns text language plpgsql as"
        " $$ begin if $1 = 'events' and aximo.current_customer() <> 'other' then raise exception 'no such block'; end if;"
        " return $1; end $$"
    )
    root.execute("drop function aximo.unlogged_events(text) cascade")
    root.execute(
        "create function aximo.unlogged_events(log text, out event_id uuid, out run_event_id bigint, out is_coming boolean)"
        " returns setof record language sql as"
        " $$ select null::uuid, null::bigint, false where public.fail(log) is null $$"
    )
    root.execute("grant execute on function aximo.unlogged_events to public")
    told = verified(dsn, code=1)
    assert list(told) == [CUSTOMER, "other"]
    assert (told[CUSTOMER]["ok"], told[CUSTOMER]["error"].splitlines()[0]) == (False, "no such block")
    assert told["other"]["ok"]
    assert "no such block" in run("verify", "--db", dsn, code=1).stdout


def test_a_log_is_verified_from_one_entry_to_another(one_ledger: Ledger, dsn: str, kept: Path) -> None:
    of_it = ("-c", CUSTOMER, "--checkpoint", kept / "checkpoint")
    root = one_ledger.superuser()
    root.execute("alter table aximo_private.events disable trigger user")
    root.execute("update aximo_private.events set payload = '{}' where payload = '{\"n\": 41}'")

    def problems(*arguments: str, code: int) -> list[tuple[str, int]]:
        told = verified(dsn, *of_it, *arguments, code=code)[CUSTOMER]
        return [(each["problem"], each["number"]) for each in told["problems"]]

    whole = problems(code=1)
    assert whole[0] == ("event_differs", 42)
    assert ("checkpoint_differs", 300) in whole
    assert problems("--to", "41", code=0) == []
    assert verified(dsn, *of_it, "--to", "41")[CUSTOMER]["checkpoints"] == 0
    assert problems("--to", "42", code=1) == [("event_differs", 42)]
    assert problems("--from", "42", "--to", "42", code=1) == [("event_differs", 42)]
    # What was looked at before is believed: the leaves are those of the checkpoint.
    assert problems("--from", "43", code=0) == []
    told = verified(dsn, *of_it, "--from", "43")[CUSTOMER]
    assert (told["first"], told["size"], told["checkpoints"]) == (43, 300, 2)
    checkpoint = tlog.read_checkpoint((kept / "checkpoint").read_bytes())
    assert checkpoint.root.hex() == told["root"]
    assert checkpoint.root_text == told["root_base64"]
    run("verify", "--db", dsn, *of_it, "--from", "3", "--to", "2", code=2)
    # Of what is not looked at, too, the leaves are: else it would not be told that they were rewritten.
    root.execute("alter table aximo_private.log_entries disable trigger user")
    root.execute("update aximo_private.log_entries set leaf = sha256('x') where number = 42")
    found = problems("--from", "43", code=1)
    assert ("checkpoint_differs", 300) in found
    assert ("node_differs", 1) in found


def test_it_is_said_what_was_compared_and_who_signed(dsn: str, kept: Path) -> None:
    root = (kept / "checkpoint").read_text(encoding="utf-8").splitlines()[2]
    of_it = ("verify", "--db", dsn, "-c", CUSTOMER)
    # What is stored here was compared, and whoever rewrites the log rewrites that as well.
    alone = run(*of_it).stdout
    assert "Nothing was compared with a checkpoint kept elsewhere" in alone
    assert root in alone
    told = json.loads(run(*of_it, "--json").stdout)
    assert (told["checkpoints"], told["checkpoints_given"], told["root_base64"]) == (1, 0, root)
    unsigned = run(*of_it, "--checkpoint", kept / "checkpoint").stdout
    assert "Nothing was compared" not in unsigned
    assert "no key was given" in unsigned
    # The one that is given is beyond of what is looked at.
    short = run(*of_it, "--checkpoint", kept / "checkpoint", "--to", "41").stdout
    assert "Nothing was compared" in short
    name = (kept / "key.pub").read_text(encoding="utf-8").partition("+")[0]
    keyed = ("--checkpoint", kept / "checkpoint", "--key", kept / "key.pub")
    for source in (of_it, ("verify", "--export", kept / "export.jsonl")):
        shown = run(*source, *keyed).stdout
        assert name in shown
        assert root in shown
        told = json.loads(run(*source, *keyed, "--json").stdout)
        assert (told["signed_by"], told["root_base64"]) == ([name], root)
        assert json.loads(run(*source, *keyed[:2], "--json").stdout)["signed_by"] == []


def test_a_log_is_read_piece_by_piece_and_each_is_a_transaction(one_ledger: Ledger, dsn: str, kept: Path) -> None:
    del kept
    root = one_ledger.superuser()
    seen: list[tuple[int, Any]] = []

    def look(number: int, total: int) -> None:
        open_ones = root.execute(
            "select count(*) from pg_stat_activity where usename like 'log_operator%' and xact_start is not null"
        ).fetchone()
        seen.append((number, open_ones[0] if open_ones else None))
        assert total == 300

    for piece in (1, 7, 255, 256, 257, 299, 300, 301):
        assert verify_log(dsn, customer_id=CUSTOMER, piece=piece).ok
    found = verify_log(dsn, customer_id=CUSTOMER, piece=100, progress=look)
    assert found.ok
    # None is open between two pieces; at the end it is looked for what is not in the log.
    assert seen == [(100, 0), (200, 0), (300, 0), (300, 1)]
    with EventStore(dsn, customer_id=CUSTOMER) as store:
        # The log grows meanwhile, and what is verified is what was there.
        grown = False

        def grow(number: int, total: int) -> None:
            nonlocal grown
            del number, total
            if not grown:
                grown = True
                store.emit_many(event("sla_breached", None, payload={"more": n}) for n in range(400))
                store.advance_all()

        found = verify_log(dsn, customer_id=CUSTOMER, piece=100, progress=grow)
    assert grown
    assert (found.ok, found.size, found.problems) == (True, 300, [])
    with pytest.raises(ValueError, match="first entry"):
        verify_log(dsn, customer_id=CUSTOMER, first=2, last=1)


@pytest.mark.parametrize("piece", [50, 100, 1000])
def test_entries_that_are_gone_are_named_wherever_a_piece_ends(
    one_ledger: Ledger, dsn: str, kept: Path, piece: int
) -> None:
    del kept
    root = one_ledger.superuser()
    root.execute("alter table aximo_private.log_entries disable trigger user")
    root.execute("delete from aximo_private.log_entries where number between 91 and 120")
    found = verify_log(dsn, customer_id=CUSTOMER, piece=piece)
    assert [(each.kind, each.number, each.detail) for each in found.problems][:1] == [
        ("number_missing", 91, "the next entry is 121")
    ]
    root.execute("delete from aximo_private.log_entries where number > 200")
    kinds = {each.kind for each in verify_log(dsn, customer_id=CUSTOMER, piece=piece).problems}
    assert {"number_missing", "checkpoint_ahead", "node_differs"} <= kinds


def test_an_interrupted_verification_says_where_to_go_on(dsn: str, kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    del kept
    real = verify_log

    def stopped(*arguments: Any, progress: Any, **more: Any) -> Any:
        def show(number: int, total: int) -> None:
            progress(number, total)
            if number == 200:
                raise KeyboardInterrupt

        return real(*arguments, progress=show, piece=100, **more)

    monkeypatch.setattr("aximo_db.cli.prove.verify_log", stopped)
    told = run("verify", "--db", dsn, "-c", CUSTOMER, code=130)
    assert "--from 201" in told.stderr


def test_a_changed_event_is_named(one_ledger: Ledger, dsn: str, kept: Path) -> None:
    with one_ledger.superuser() as root:
        root.execute("alter table aximo_private.events disable trigger user")
        root.execute("update aximo_private.events set payload = '{\"n\": 1000}' where payload = '{\"n\": 41}'")
    told = json.loads(run("verify", "--db", dsn, "-c", CUSTOMER, "--json", code=1).stdout)
    assert [(problem["problem"], problem["number"]) for problem in told["problems"]][:1] == [("event_differs", 42)]
    shown = run("verify", "--db", dsn, "-c", CUSTOMER, code=1).stdout
    assert "event differs" in shown
    assert "42" in shown


def test_a_log_that_was_rewritten_as_a_whole_is_found_by_a_checkpoint_kept_elsewhere(
    one_ledger: Ledger, dsn: str, kept: Path
) -> None:
    with one_ledger.superuser() as root:
        for table in ("events", "log_entries", "log_nodes", "checkpoints"):
            root.execute(f"alter table aximo_private.{table} disable trigger user")
        root.execute("update aximo_private.events set payload = '{\"n\": 1000}' where payload = '{\"n\": 41}'")
        root.execute(
            "update aximo_private.log_entries as l"
            " set leaf = sha256('\\x00'::bytea || convert_to(aximo_private.event_line(e), 'UTF8'))"
            " from aximo_private.events as e where e.customer_id = l.customer_id and e.event_id = l.event_id"
        )
        root.execute(
            "update aximo_private.log_nodes as n set hash = aximo.tree_hash(array("
            " select l.leaf from aximo_private.log_entries as l where l.customer_id = n.customer_id"
            " and l.number <= 256 order by l.number))"
        )
        root.execute("delete from aximo_private.checkpoints")
    assert verify_log(dsn, customer_id=CUSTOMER).ok
    given = ("--db", dsn, "-c", CUSTOMER, "--checkpoint", kept / "checkpoint", "--json")
    told = json.loads(run("verify", *given, code=1).stdout)
    assert [problem["problem"] for problem in told["problems"]] == ["checkpoint_differs"]


def test_an_event_is_proved_and_the_proof_is_checked_without_a_database(dsn: str, kept: Path) -> None:
    wanted = (kept / "export.jsonl").read_bytes().splitlines()[256]
    (kept / "line").write_bytes(wanted)
    run("prove", json.loads(wanted)["event_id"], "--db", dsn, "-c", CUSTOMER, "-o", kept / "proof")
    check = ("verify", "--proof", kept / "proof", "--line", kept / "line", "--key", kept / "key.pub", "--json")
    told = json.loads(run(*check).stdout)
    assert (told["ok"], told["entry"], told["size"]) == (True, 257, 300)
    (kept / "line").write_bytes(wanted.replace(b'"n": 256', b'"n": 255'))
    assert json.loads(run(*check, code=1).stdout)["ok"] is False
    assert run("prove", str(uuid4()), "--db", dsn, "-c", CUSTOMER, code=1).stderr
    run("prove", "--db", dsn, "-c", CUSTOMER, code=2)


def test_growth_is_proved_from_one_checkpoint_to_the_next(dsn: str, kept: Path) -> None:
    with EventStore(dsn, customer_id=CUSTOMER) as store:
        store.emit_many(event("sla_breached", None, payload={"more": n}) for n in range(250))
    run("checkpoint", "--db", dsn, "-c", CUSTOMER, "--key", kept / "key", "-o", kept / "later")
    run("prove", "--from", "300", "--to", "550", "--db", dsn, "-c", CUSTOMER, "-o", kept / "growth")
    check = ("verify", "--proof", kept / "growth", "--checkpoint", kept / "checkpoint", "--key", kept / "key.pub")
    assert json.loads(run(*check, "--json").stdout)["size"] == 550
    assert "550" in run(*check).stdout
    run("prove", "--from", "551", "--to", "552", "--db", dsn, "-c", CUSTOMER, code=1)
    # With the checkpoint of another history it does not hold.
    real = tlog.read_checkpoint((kept / "checkpoint").read_bytes())
    forged = tlog.Checkpoint(real.origin, real.size, tlog.leaf_hash(b"forged"))
    (kept / "checkpoint").write_text(tlog.sign(forged.text(), tlog.read_secret_key(kept / "key")), encoding="utf-8")
    run(*check, code=1)


def test_history_that_breaks_rules_is_imported_whole_and_listed(one_ledger: Ledger, dsn: str, tmp_path: Path) -> None:
    common = {"timestamp": "2025-01-01T00:00:00Z"}
    lines = [
        line("legacy", kind, "e", event_id=str(uuid4()), **common)
        for kind in ("execution_triggered", "execution_completed", "execution_failed", "action_prepared")
    ]
    (tmp_path / "legacy.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert "ZXSEQ" in run("import", tmp_path / "legacy.jsonl", "--db", dsn, code=1).stderr
    arguments = ("import", tmp_path / "legacy.jsonl", "--db", dsn, "--accept-violations", "--json")
    assert json.loads(run(*arguments).stdout)["refused"] == 0
    again = json.loads(run(*arguments).stdout)
    assert (again["inserted"], again["duplicates"]) == (0, 4)
    run("advance", "--db", dsn)
    numbered = """
        select l.number, v.rule
        from aximo_private.violations as v
        inner join aximo_private.log_entries as l on l.customer_id = v.customer_id and l.event_id = v.event_id
        order by l.number
    """
    assert stored(one_ledger, numbered) == [
        (2, "processing_first"),
        (3, "ends_once"),
        (4, "nothing_after_end"),
    ]
    assert verify_log(dsn, customer_id="legacy").ok


def test_mend_numbers_what_numbering_passed_over(one_ledger: Ledger, dsn: str, kept: Path) -> None:
    del kept
    with one_ledger.superuser() as root:
        # As a restore that lost the sequence's value would.
        root.execute("select setval('aximo_private.events_position', 1)")
    for finding in json.loads(run("doctor", "--db", one_ledger.dsn(DBA), "--json", code=1).stdout)["findings"]:
        if finding["check"] == "log":
            assert finding["level"] == ("ok" if "log run_events" in finding["message"] else "error")
    with EventStore(dsn, customer_id=CUSTOMER) as store:
        receipt = store.emit(event("sla_breached", None))
    told = json.loads(run("verify", "--db", dsn, "-c", CUSTOMER, "--json", code=1).stdout)
    assert [(each["problem"], each["event_id"]) for each in told["problems"]] == [
        ("event_not_in_log", str(receipt.event_id))
    ]
    told = json.loads(run("verify", "--db", dsn, "-c", CUSTOMER, "--mend", "--json").stdout)
    assert (told["ok"], told["mended"], told["size"]) == (True, 1, 301)
