"""A log in files of many entries: exported, verified without a database, imported elsewhere; and what an archive needs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from aximo_db import EventStore, NewEvent, tlog
from aximo_db.audit import bounded, check_chunks
from aximo_db.audit.chunks import MANIFEST, Chunk, MalformedManifest, Manifest, read_manifest
from aximo_db.audit.merkle import frontier
from aximo_db.dba.verify_log import prove_inclusion
from tests.conftest import BINARIES, Ledger, _cloned
from tests.log_support import of_customer
from tests.test_cli import run
from tests.test_publish import CUSTOMER, Site, copied, offline, site_of, unguarded


@pytest.fixture
def site(one_ledger: Ledger, tmp_path: Path) -> Site:
    return site_of(one_ledger, tmp_path)


def export(site: Site, folder: Path, *more: str | Path, code: int = 0) -> Any:
    given = ("export", "--db", site.dsn, "-c", CUSTOMER, "--chunks", folder, "--chunk-entries", "256")
    return run(*given, *more, code=code)


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.startswith(".")}


def test_a_log_is_exported_in_files_and_goes_on_where_it_stopped(site: Site, tmp_path: Path) -> None:
    site.emit(700)
    folder = tmp_path / "set"
    assert "700 events exported; 3 files" in export(site, folder).stderr
    first = files(folder)
    names = ["000000000001-000000000256.jsonl", "000000000257-000000000512.jsonl", "000000000513-000000000700.jsonl"]
    assert sorted(first) == sorted([*names, MANIFEST])
    whole = tmp_path / "whole"
    run("export", "--db", site.dsn, "-c", CUSTOMER, "-o", whole)
    assert b"".join(first[name] for name in names) == whole.read_bytes()
    # With nothing new nothing changes.
    assert "0 events exported" in export(site, folder).stderr
    assert files(folder) == first
    site.emit(500)
    assert "688 events exported; 5 files" in export(site, folder).stderr  # the last file is written anew
    second = files(folder)
    assert {name: second[name] for name in names[:2]} == {name: first[name] for name in names[:2]}
    assert names[2] not in second
    assert check_chunks(folder).ok
    # Signed, in the end, by a key.
    export(site, folder, "--key", site.key)
    verdict = check_chunks(folder, keys=[site.public])
    assert verdict.ok, verdict.findings
    assert (verdict.facts["last"], verdict.facts["signed_by"]) == (1200, ["log.example.com"])
    assert {**files(folder), MANIFEST: b""} == {**second, MANIFEST: b""}
    with site.writer.transaction():
        site.writer.execute("select set_config('aximo.customer_id', %s, true)", (CUSTOMER,))
        ((root,),) = site.writer.execute("select aximo.log_root()").fetchall()
    assert tlog.read_checkpoint(read_manifest(folder).note).root == bytes(root)


def test_a_range_is_verified_by_what_was_before_it(site: Site, tmp_path: Path) -> None:
    site.emit(1500)
    for first, last, count in ((513, 1024, 2), (1, 512, 2), (1281, None, 1), (257, None, 5)):
        folder = tmp_path / f"from{first}"
        export(site, folder, "--from", str(first), *(() if last is None else ("--to", str(last))), "--key", site.key)
        verdict = check_chunks(folder, keys=[site.public])
        assert verdict.ok, verdict.findings
        assert (verdict.facts["first"], verdict.facts["last"]) == (first, last or 1500)
        assert len(read_manifest(folder).chunks) == count
    run("checkpoint", "--db", site.dsn, "-c", CUSTOMER, "--no-keep", "--key", site.key, "-o", tmp_path / "note")
    assert check_chunks(tmp_path / "from257", [tmp_path / "note"], [site.public]).ok
    # A checkpoint beyond the end can't be compared, and one from before is left out.
    assert not check_chunks(tmp_path / "from1", [tmp_path / "note"]).ok
    run("export", "--db", site.dsn, "-c", CUSTOMER, "-o", tmp_path / "whole")
    for wrong in (("--from", "2"), ("--to", "300"), ("--from", "513", "--to", "256"), ("--from", "0")):
        assert "range_is" in export(site, tmp_path / "wrong", *wrong, code=1).stderr
    assert "range_is_within_log" in export(site, tmp_path / "wrong", "--to", "2048", code=1).stderr
    assert "range_is_of_tiles" in export(site, tmp_path / "wrong", "--chunk-entries", "300", code=1).stderr
    assert not (tmp_path / "wrong").exists()
    # A folder keeps to its log, its range and its width.
    for other in (("--from", "257"), ("--chunk-entries", "512"), ("--log", "run_events")):
        assert "chunks_are_of_this_log" in export(site, tmp_path / "from1", *other, code=1).stderr
    for wrong in (("--chunk-entries", "256"), ("--from", "257"), ("--key", site.key)):
        run("export", "--db", site.dsn, "-c", CUSTOMER, *wrong, code=2)


def test_whoever_has_no_database_verifies_a_set_and_is_told_what_differs(site: Site, tmp_path: Path) -> None:
    site.emit(700)
    folder = tmp_path / "set"
    export(site, folder, "--key", site.key)
    given = ("--export", folder, "--key", site.public)
    assert offline(*given)["ok"]
    assert "It holds" in run("verify", *given).stdout
    for name, data in files(folder).items():
        for at in (0, len(data) // 2, len(data) - 2):
            (folder / name).write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
            verdict = check_chunks(folder, keys=[site.public])
            assert not verdict.ok, (name, at)
            known = ("checkpoint: ", "the root") if name == MANIFEST else ()
            assert any(each.startswith((name, *known)) for each in verdict.findings), (name, at, verdict.findings)
        (folder / name).write_bytes(data[:-1])
        assert not check_chunks(folder, keys=[site.public]).ok
        (folder / name).unlink()
        assert any(name in each for each in check_chunks(folder).findings)
        (folder / name).write_bytes(data)
    # A line that was changed together with the manifest contradicts the checkpoint.
    name = "000000000257-000000000512.jsonl"
    before = (folder / name).read_bytes()
    (folder / name).write_bytes(before.replace(b"sla_breached", b"sla_breacheD", 1))
    text = (folder / MANIFEST).read_text()
    digest = next(each for each in read_manifest(folder).chunks if each.name == name).digest.hex()
    (folder / MANIFEST).write_text(text.replace(digest, sha256((folder / name).read_bytes()).hexdigest()))
    verdict = check_chunks(folder, keys=[site.public])
    assert ["the root at 700 entries is not its checkpoint's" in each for each in verdict.findings] == [True]
    run("verify", *given, code=1)


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m | {"format": "2"}, lambda m: m | {"first": 2}, lambda m: m | {"last": 5}, lambda m: m | {"files": []},
        lambda m: m | {"files": m["files"][1:]}, lambda m: m | {"entries_per_file": 255}, lambda m: m | {"before": ["x"]},
        lambda m: m | {"whole": []}, lambda m: m | {"checkpoint": "x"}, lambda m: {}, lambda m: [], lambda m: m | {"root": "x"},
        lambda m: m | {"files": [{**m["files"][0], "file": "../../etc/passwd"}, *m["files"][1:]]},
        lambda m: m | {"files": [{**m["files"][0], "bytes": -1}, *m["files"][1:]]},
    ],
)  # fmt: skip
def test_a_manifest_that_contradicts_itself_is_refused(tmp_path: Path, change: Any) -> None:
    lines = [f"line {n}\n".encode() for n in range(300)]
    tree = tlog.Tree()
    for line in lines[:256]:
        tree.append(tlog.leaf_hash(line[:-1]))
    whole = tree.subtrees
    for line in lines[256:]:
        tree.append(tlog.leaf_hash(line[:-1]))
    parts = [b"".join(lines[:256]), b"".join(lines[256:])]
    given = [
        Chunk(1, 256, len(parts[0]), sha256(parts[0]).digest()),
        Chunk(257, 300, len(parts[1]), sha256(parts[1]).digest()),
    ]
    for chunk, part in zip(given, parts, strict=True):
        (tmp_path / chunk.name).write_bytes(part)
    note = tlog.Checkpoint("ledger/acme", 300, tree.root()).text()
    manifest = Manifest("events", 1, 256, (), whole, tuple(given), note)
    (tmp_path / MANIFEST).write_text(manifest.text())
    assert read_manifest(tmp_path) == manifest
    assert check_chunks(tmp_path).ok
    (tmp_path / MANIFEST).write_text(json.dumps(change(json.loads(manifest.text())), indent=1) + "\n")
    with pytest.raises(MalformedManifest):
        read_manifest(tmp_path)
    assert not check_chunks(tmp_path).ok


def test_a_tree_goes_on_from_its_subtrees() -> None:
    leaves = [tlog.leaf_hash(str(n).encode()) for n in range(600)]
    levels = [leaves, [tlog.root_of(leaves[at : at + 256]) for at in (0, 256)]]

    def read(level: int, index: int, width: int) -> bytes:
        return b"".join(levels[level][index * 256 : index * 256 + width])

    for size in (0, 1, 255, 256, 257, 300, 511, 512, 513, 600):
        subtrees = frontier(size, read)
        tree = tlog.Tree.grown(size, subtrees)
        assert tree.root() == tlog.root_of(leaves[:size])
        assert tuple(subtrees) == tree.subtrees
        for leaf in leaves[size:]:
            tree.append(leaf)
        assert tree.root() == tlog.root_of(leaves)
        with pytest.raises(ValueError, match="subtrees"):
            tlog.Tree.grown(size, [*subtrees, leaves[0]])


def test_an_export_that_is_killed_goes_on(site: Site, tmp_path: Path) -> None:
    site.emit(1000)
    folder = tmp_path / "set"
    program = (
        "import os, signal, sys\nfrom pathlib import Path\nleft = int(sys.argv.pop(1))\nrename = Path.rename\n"
        "def killed(*arguments):\n    global left\n    left -= 1\n    if left < 0: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return rename(*arguments)\nPath.rename = killed\nfrom aximo_db.cli.app import main\nmain()"
    )
    given = ("export", "--db", site.dsn, "-c", CUSTOMER, "--chunks", folder, "--chunk-entries", "256")
    for left in (3, 2, 1):
        done = subprocess.run(
            [sys.executable, "-c", program, str(left), *map(str, given)], capture_output=True, check=False
        )
        assert done.returncode == -signal.SIGKILL
        if (folder / MANIFEST).exists():
            assert check_chunks(folder).ok
    export(site, folder)
    site.emit(10)
    # Killed after the last file was written anew, the old one is taken away by the next run.
    stray = folder / "000000000769-000000001000.jsonl"
    before = stray.read_bytes()
    export(site, folder)
    stray.write_bytes(before)
    assert check_chunks(folder).ok
    export(site, folder)
    assert not stray.exists()
    assert len(files(folder)) == 5


def test_the_files_of_another_log_are_not_gone_on_with(site: Site, tmp_path: Path) -> None:
    site.emit(300)
    folder = tmp_path / "set"
    with copied(site) as restored:
        site.emit(300)
        export(site, folder)
        restored.emit(10)
        assert "chunks_are_of_this_log" in export(restored, folder, code=1).stderr
        restored.emit(500)
        assert "chunks_are_of_this_log" in export(restored, folder, code=1).stderr
    assert check_chunks(folder).ok
    (folder / "000000000001-000000000256.jsonl").unlink()
    assert "chunks_are_of_this_log" in export(site, folder, code=1).stderr


def test_a_line_that_is_not_what_was_hashed_is_not_exported_in_files(site: Site, tmp_path: Path) -> None:
    site.emit(600)
    unguarded(
        site.ledger,
        "alter table aximo_private.events disable trigger user;"
        "update aximo_private.events set payload = '{\"n\": 1000}' where event_id ="
        " (select event_id from aximo_private.log_entries where number = 310)",
    )
    refused = export(site, tmp_path / "set", code=1)
    assert "log_is_whole" in refused.stderr
    assert "257 to 512" in refused.stderr
    assert read_manifest(tmp_path / "set").last == 256


# Into another ledger


@pytest.fixture
def target(servers: Any) -> Iterator[Ledger]:
    yield from _cloned(servers(next(iter(BINARIES))), "fresh", "import_target")


def test_a_set_is_imported_elsewhere_and_goes_on_where_it_stopped(
    site: Site, target: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.emit(700)
    with (
        EventStore(site.dsn, customer_id=CUSTOMER) as store,
        store.execution(deployment_id="d", skill_id="s", skill_version="1", execution_id="x") as execution,
        execution.action("send", {"ü": 1.10}),
    ):
        pass
    folder = tmp_path / "set"
    export(site, folder)
    login = target.login("importing", "aximo_writer", "aximo_operator", "aximo_auditor", customers=("*",))
    into = ("import", folder, "--db", target.dsn(login), "--json")
    # A file that is not what it was is named before anything is written.
    last = next(each for each in folder.iterdir() if each.name.startswith("000000000513"))
    data = last.read_bytes()
    last.write_bytes(data.replace(b"sla_breached", b"sla_breacheD", 1))
    assert last.name in run(*into, code=1).stderr
    assert target.superuser().execute("select count(*) from aximo_private.events").fetchone() == (0,)
    # One that is as it was, and whose line is refused, stops the import there.
    last.write_bytes(data)
    lines = data.splitlines(keepends=True)
    bad = tmp_path / "bad"
    bad.mkdir()
    for path in folder.iterdir():
        if not path.name.startswith("."):
            (bad / path.name).write_bytes(path.read_bytes())
    (bad / last.name).write_bytes(b"".join([*lines[:10], b'{"event_type": "no"}\n', *lines[11:]]))
    manifest = json.loads((bad / MANIFEST).read_text())
    manifest["files"][2] |= {
        "bytes": (bad / last.name).stat().st_size,
        "sha256": sha256((bad / last.name).read_bytes()).hexdigest(),
    }
    (bad / MANIFEST).write_text(json.dumps(manifest, indent=1, ensure_ascii=False) + "\n")
    stopped = run("import", bad, "--db", target.dsn(login), code=1)
    assert "line 523: " in stopped.stderr  # its place in the log
    told = json.loads(run(*into).stdout)
    # Two files were in already, and are not read again.
    assert (told["read"], told["duplicates"], told["refused"]) == (len(lines), 10, 0)
    assert json.loads(run(*into).stdout)["read"] == 0
    # The same lines, but for who recorded them when.
    run("export", "--db", target.dsn(login), "-c", CUSTOMER, "-o", tmp_path / "there")
    run("export", "--db", site.dsn, "-c", CUSTOMER, "-o", tmp_path / "here")

    def bare(path: Path) -> list[dict[str, Any]]:
        found = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        return [{key: value for key, value in each.items() if not key.startswith("recorded_")} for each in found]

    assert bare(tmp_path / "there") == bare(tmp_path / "here")
    # It grew.
    site.emit(300)
    export(site, folder)
    told = json.loads(run(*into).stdout)
    assert (told["inserted"], told["refused"]) == (300, 0)
    run("import", tmp_path, "--db", target.dsn(login), code=2)
    run("import", folder, "--format", "cloudevents", "--db", target.dsn(login), code=2)


def test_a_set_is_imported_whole_where_a_later_part_of_it_came_first(
    site: Site, target: Ledger, tmp_path: Path
) -> None:
    site.emit(1100)
    export(site, tmp_path / "part", "--from", "513", "--to", "1024")
    export(site, tmp_path / "all")
    login = target.login("importer", "aximo_writer", "aximo_reader", customers=("*",))
    given = ("--db", target.dsn(login), "--json")
    assert json.loads(run("import", tmp_path / "part", *given).stdout)["inserted"] == 512
    told = json.loads(run("import", tmp_path / "all", *given).stdout)
    assert (told["read"], told["inserted"], told["duplicates"]) == (1100, 588, 512)
    assert json.loads(run("import", tmp_path / "all", *given).stdout)["read"] == 0
    # What was imported is looked at all the same.
    path = tmp_path / "all" / "000000000001-000000000256.jsonl"
    path.write_bytes(path.read_bytes().replace(b"system", b"forged", 1))
    assert "it is not what" in run("import", tmp_path / "all", *given, code=1).stderr


@pytest.mark.parametrize("what", ["pipe", "device", "long line"])
@pytest.mark.parametrize("name", [MANIFEST, "000000000001-000000000256.jsonl"])
def test_a_file_without_an_end_is_refused(
    site: Site, tmp_path: Path, name: str, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.emit(300)
    folder = tmp_path / "set"
    export(site, folder)
    if what == "long line":
        monkeypatch.setattr(bounded, "LONGEST_LINE", 200)
        monkeypatch.setattr(bounded, "MOST_BYTES", 200)
    else:
        (folder / name).unlink()
        os.mkfifo(folder / name) if what == "pipe" else (folder / name).symlink_to("/dev/zero")
    verdict = check_chunks(folder)
    assert not verdict.ok
    assert any("no ordinary file" in each or "more than 200 bytes" in each for each in verdict.findings)
    if what != "long line":
        assert "no ordinary file" in run("import", folder, "--db", site.dsn, code=2).stderr


def test_files_are_for_their_owner_and_no_link_leads_out(site: Site, tmp_path: Path) -> None:
    site.emit(300)
    folder, elsewhere = tmp_path / "set", tmp_path / "elsewhere"
    folder.mkdir()
    elsewhere.write_text("kept")
    (folder / ".new").symlink_to(elsewhere)
    export(site, folder)
    assert elsewhere.read_text() == "kept"
    assert {path.stat().st_mode & 0o777 for path in folder.glob("*.json*")} == {0o600}


def test_who_only_writes_imports_a_set_as_well(site: Site, target: Ledger, tmp_path: Path) -> None:
    site.emit(300)
    export(site, tmp_path / "set")
    login = target.login("only_writes", customers=(CUSTOMER,))
    root = target.superuser()
    root.execute(f"grant usage on schema aximo to {login}")
    root.execute(f"grant aximo_writer to {login}")
    root.execute("revoke select on aximo.events from aximo_reader")
    for duplicates in (0, 300):
        told = json.loads(run("import", tmp_path / "set", "--db", target.dsn(login), "--json").stdout)
        assert (told["read"], told["duplicates"]) == (300, duplicates)


# What an archive would need


def test_a_prefix_that_is_taken_away_leaves_every_proof(site: Site, tmp_path: Path) -> None:
    """The evidence of docs/design/0022-archives.md: what stays, and what would have to know of it."""
    site.emit(1000)
    folder = tmp_path / "set"
    export(site, folder, "--to", "512", "--key", site.key)
    run("checkpoint", "--db", site.dsn, "-c", CUSTOMER, "--key", site.key, "-o", tmp_path / "note")
    run("publish", site.folder, "--db", site.dsn, "-c", CUSTOMER, "--log", "events", "--key", site.key)
    ids = [
        row[0] for row in of_customer(site.writer, CUSTOMER, "select event_id from aximo.log_leaves order by number")
    ]

    def proofs() -> list[Any]:
        states = of_customer(
            site.writer, CUSTOMER,
            "select aximo.log_size(), aximo.log_root(), aximo.checkpoint_text(), aximo.log_root(300), aximo.log_tile(0, 0), aximo.log_tile(1, 0)",
        )  # fmt: skip
        with site.writer.transaction():
            site.writer.execute("select set_config('aximo.customer_id', %s, true)", (CUSTOMER,))
            included = [prove_inclusion(site.writer, ids[place], 1000) for place in (0, 300, 511, 512, 999)]
            return [*states, *included, site.writer.execute("select aximo.check_log_nodes()").fetchall()]

    before = proofs()
    unguarded(
        site.ledger,
        "alter table aximo_private.events disable trigger user;"
        "delete from aximo_private.events where event_id in (select event_id from aximo_private.log_entries where number <= 512)",
    )
    # Root, checkpoint, tiles and proofs are made of leaves and nodes alone.
    assert proofs() == before
    # So an event of the prefix is proved by its line in the files.
    line = (folder / "000000000257-000000000512.jsonl").read_bytes().splitlines()[301 - 257]
    checkpoint = tlog.open_checkpoint((tmp_path / "note").read_bytes(), tlog.read_verifier_key(site.public))
    proof = tlog.parse_inclusion_proof(before[2])
    proof.verify(line, checkpoint)
    assert UUID(json.loads(line)["event_id"]) == ids[300]
    assert check_chunks(folder, keys=[site.public]).ok
    # Numbering, publishing and what is new go on.
    site.emit(10)
    run("publish", site.folder, "--db", site.dsn, "-c", CUSTOMER, "--log", "events", "--key", site.key)
    # What would have to know: whatever reads the prefix takes it for lost.
    assert "log_is_whole" in run("export", "--db", site.dsn, "-c", CUSTOMER, "-o", tmp_path / "out", code=1).stderr
    told = json.loads(run("verify", "--db", site.dsn, "-c", CUSTOMER, "--json", code=1).stdout)
    assert {each["problem"] for each in told["problems"]} == {"event_removed"}
    # And the deployment's row names an event that is not there.
    (found,) = of_customer(site.writer, CUSTOMER, "select array_agg(problem) from aximo.verify_executions()")
    assert (told["problem_count"], found) == (513, (["deployment_row_differs"],))
    with EventStore(site.dsn, customer_id=CUSTOMER) as store:
        with pytest.raises(Exception, match="log_is_dense"):
            store.read_log()
        assert len(store.read_log(after=512)) > 0
        # A retry is not recognised any more, and is written a second time.
        again = json.loads(line)
        fields = {key: value for key, value in again.items() if key not in ("recorded_at", "recorded_by", "step")}
        assert store.emit(NewEvent.of(fields)).duplicate is False
    # And a range that begins after it is exported as before.
    export(site, tmp_path / "rest", "--from", "513")
    assert check_chunks(tmp_path / "rest").ok
