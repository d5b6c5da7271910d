"""What kind of file it is: read, or named in the message, by everything that reads JSON lines."""

from __future__ import annotations

import bz2
import gzip
import importlib.util
import io
import json
import lzma
import sqlite3
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from aximo_db.files.source import UnreadableFileError, json_lines, looks_like
from aximo_db.lines.importer import LONGEST_LINE
from aximo_db.local.embedded import EmbeddedServer
from tests.conftest import BINARIES, Ledger, _cloned
from tests.test_cli import SERVICE, line, run

HAS_ZSTD = importlib.util.find_spec("compression") is not None
LINE = b'{"event_type": "sla_breached", "payload": {"text": "\xc3\xbc\xf0\x9f\x98\x80"}}\n'
TEXT = LINE.decode()


def zipped(name: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(name, LINE)
    return file.getvalue()


def tarred() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        info = tarfile.TarInfo("lines.jsonl")
        info.size = len(LINE)
        archive.addfile(info, io.BytesIO(LINE))
    return file.getvalue()


def sqlite() -> bytes:
    with sqlite3.connect(":memory:") as database:
        database.execute("create table t (x)")
        return database.serialize()


#: Files that are no text in UTF-8, and a word by which the message names each.
FOREIGN: dict[str, tuple[bytes, str]] = {
    "UTF-16 with a mark": (TEXT.encode("utf-16"), "UTF-16"),
    "UTF-16 big-endian with a mark": (b"\xfe\xff" + TEXT.encode("utf-16-be"), "UTF-16"),
    "UTF-16 little-endian": (TEXT.encode("utf-16-le"), "UTF-16"),
    "UTF-16 big-endian": (TEXT.encode("utf-16-be"), "UTF-16"),
    "UTF-32 with a mark": (TEXT.encode("utf-32"), "UTF-32"),
    "UTF-32 big-endian with a mark": (b"\0\0\xfe\xff" + TEXT.encode("utf-32-be"), "UTF-32"),
    "UTF-32 little-endian": (TEXT.encode("utf-32-le"), "UTF-32"),
    "UTF-32 big-endian": (TEXT.encode("utf-32-be"), "UTF-32"),
    "xz": (lzma.compress(LINE), "xz"),
    "bzip2": (bz2.compress(LINE), "bzip2"),
    "zip": (zipped("lines.jsonl"), "zip"),
    "Excel": (zipped("[Content_Types].xml"), "Excel"),
    "tar": (tarred(), "tar"),
    "tar in gzip": (gzip.compress(tarred()), "tar"),
    "UTF-16 in gzip": (gzip.compress(TEXT.encode("utf-16")), "UTF-16"),
    "SQLite": (sqlite(), "SQLite"),
    "Parquet": (b"PAR1" + bytes(100), "Parquet"),
    "gzip cut off": (gzip.compress(LINE.strip())[:-9], "too early"),
    "gzip with nothing in it yet": (gzip.compress(LINE)[:10], "too early"),
    "gzip damaged": (gzip.compress(LINE.strip())[:-8] + bytes(8), "damaged"),
    "gzip with something after it": (gzip.compress(LINE.strip()) + b"more", "damaged"),
    "gzip made to text": (gzip.compress(LINE).decode("utf-8", "replace").encode(), "gzip"),
}
if not HAS_ZSTD:
    FOREIGN["zstd"] = (b"\x28\xb5\x2f\xfd" + bytes(100), "zstd")

#: Texts that are no JSON lines, and a word by which the message names each.
TEXTS: dict[str, tuple[bytes, str]] = {
    "an array on one line": (b"[" + LINE.strip() + b"," + LINE.strip() + b"]\n", "array"),
    "an array without a line end": (b"[" + LINE.strip() + b"]", "array"),
    "an array over lines": (b"[\n" + LINE.strip() + b",\n" + LINE + b"]\n", "array"),
    "an empty array": (b"[]\n", "array"),
    "an array after a mark": (b"\xef\xbb\xbf[\n" + LINE + b"]\n", "array"),
    "an array after blank lines": (b"\n\r\n \n[\n" + LINE + b"]\n", "array"),
    "an array in gzip": (gzip.compress(b"[" + LINE + b"]"), "array"),
    "pretty-printed": (json.dumps(json.loads(LINE), indent=4).encode(), "several lines"),
    "pretty-printed after the brace": (b'{"event_type": "sla_breached",\n "payload": {}}\n', "several lines"),
    "pretty-printed with CRLF": (
        json.dumps(json.loads(LINE), indent=4).replace("\n", "\r\n").encode(),
        "several lines",
    ),
    "CSV": (b"event_type,customer_id,payload\nsla_breached,c,{}\n", "CSV"),
    "CSV with quotes": (b'"event_type","customer_id"\n"sla_breached","c"\n', "CSV"),
    "CSV with semicolons": (b"event_type;customer_id;payload\n", "CSV"),
    "a table": (b"event_type\tcustomer_id\n", "tabs"),
    "HTML": (b"<!DOCTYPE html>\n<html>\n", "HTML"),
    "XML": (b'<?xml version="1.0"?>\n', "XML"),
    "old Mac": (LINE.replace(b"\n", b"\r") * 2, "carriage return"),
    "cut off": (LINE[:30], "middle"),
    "cut off in a character": (LINE[: LINE.index(b"\xbc")], "UTF-8"),
}


@pytest.fixture(scope="module")
def ledger_(servers: Callable[[str], EmbeddedServer]) -> Iterator[Ledger]:
    for ledger in _cloned(servers(next(iter(BINARIES))), "fresh", "source_test"):
        ledger.login(SERVICE, "aximo_writer", "aximo_operator", customers=("*",))
        yield ledger


@pytest.fixture
def its(ledger_: Ledger) -> tuple[str, ...]:
    return "--db", ledger_.dsn(SERVICE), "-c", f"customer-{uuid4()}"


def ways_in(path: Path, its: tuple[str, ...], checkpoint: Path) -> dict[str, tuple[Any, ...]]:
    """Everything that reads JSON lines."""
    return {
        "import": ("import", path, *its),
        "runs import": ("runs", "import", path, *its),
        "a log": ("runs", "import", path, "--run", "r", *its),
        "import with rejects": ("import", path, *its, "--rejects", path.with_name("rejects")),
        "an export": ("verify", "--export", path, "--checkpoint", checkpoint),
        "two exports": ("verify", "--export", path, "--against", path),
    }


@pytest.fixture
def checkpoint(its: tuple[str, ...], tmp_path: Path) -> Path:
    run("import", "-", *its, stdin=line(its[-1], "sla_breached"))
    run("advance", *its[:2])
    run("checkpoint", *its, "-o", tmp_path / "checkpoint")
    return tmp_path / "checkpoint"


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_file_that_is_no_text_is_named_by_everything_that_reads_lines(
    its: tuple[str, ...], tmp_path: Path, checkpoint: Path, kind: str
) -> None:
    data, word = FOREIGN[kind]
    path = tmp_path / "file"
    path.write_bytes(data)
    for way, command in ways_in(path, its, checkpoint).items():
        result = run(*command, code=1)
        said = result.stdout + result.stderr
        assert word in said, (way, said)
        assert ("ZXARG" in said) is ("verify" not in command), (way, said)
    result = run("emit", *its, code=2, stdin=data)
    assert word in result.stderr


@pytest.mark.parametrize("kind", TEXTS)
def test_a_text_that_is_no_json_lines_is_named_by_everything_that_reads_lines(
    its: tuple[str, ...], tmp_path: Path, checkpoint: Path, kind: str
) -> None:
    data, word = TEXTS[kind]
    path = tmp_path / "file"
    path.write_bytes(data)
    for way, command in ways_in(path, its, checkpoint).items():
        if way == "two exports" or (kind.startswith("cut off") and "verify" in command):
            continue  # any lines can be compared
        result = run(*command, code=1)
        said = result.stdout + result.stderr
        if "--rejects" in command:
            said = path.with_name("rejects").read_text(encoding="utf-8")
        assert word in said, (way, said)


def test_an_array_longer_than_any_line_is_named(its: tuple[str, ...], tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"[" + b",".join([LINE.strip()] * (LONGEST_LINE // len(LINE) + 1)) + b"]")
    assert "array" in run("import", path, *its, code=1).stderr


def test_what_is_one_bad_line_among_good_ones_is_refused_alone(its: tuple[str, ...], tmp_path: Path) -> None:
    path, rejects = tmp_path / "lines", tmp_path / "rejects"
    path.write_text(f"[]\n{line(its[-1])}\n{{\n")
    told = json.loads(run("import", path, *its, "--rejects", rejects, "--json", code=1).stdout)
    assert (told["inserted"], told["refused"]) == (1, 2)
    rules = [json.loads(each)["rule"] for each in rejects.read_text().splitlines()]
    assert rules == ["event_is_object", "json_well_formed"]


def fine(customer: str) -> dict[str, bytes]:
    lines = [f"{line(customer, payload={'n': n})}\n".encode() for n in range(3)]
    whole = b"".join(lines)
    return {
        "as it is": whole,
        "without the last line end": whole[:-1],
        "with a mark": b"\xef\xbb\xbf" + whole,
        "with CRLF": whole.replace(b"\n", b"\r\n"),
        "in gzip": gzip.compress(whole),
        "with a mark in gzip": gzip.compress(b"\xef\xbb\xbf" + whole),
        "in several gzips": b"".join(map(gzip.compress, lines)),
        "in gzip in gzip": gzip.compress(gzip.compress(whole)),
        "in gzip, padded": gzip.compress(whole) + bytes(100),
    }


@pytest.mark.parametrize("kind", fine(""))
@pytest.mark.parametrize("through", ["a file", "standard input"])
def test_lines_are_read_however_they_are_packed(its: tuple[str, ...], tmp_path: Path, kind: str, through: str) -> None:
    data = fine(its[-1])[kind]
    path = tmp_path / "lines"
    path.write_bytes(data)
    for inserted in (3, 0):
        if through == "a file":
            told = run("import", path, *its, "--json")
        else:
            told = run("import", "-", *its, "--json", stdin=data)
        assert json.loads(told.stdout)["inserted"] == inserted
        assert json.loads(told.stdout)["read"] == 3


@pytest.mark.parametrize(
    "data", [b"", b"\n\n", b"\xef\xbb\xbf", gzip.compress(b"")], ids=["nothing", "blank", "a mark", "gzip"]
)
def test_an_empty_file_is_no_error(its: tuple[str, ...], tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "lines"
    path.write_bytes(data)
    for command in (["import"], ["runs", "import"]):
        assert json.loads(run(*command, path, *its, "--json").stdout)["read"] == 0


def test_an_export_is_verified_packed_as_well(its: tuple[str, ...], tmp_path: Path, checkpoint: Path) -> None:
    run("export", *its, "-o", tmp_path / "export")
    packed = tmp_path / "export.gz"
    packed.write_bytes(gzip.compress((tmp_path / "export").read_bytes()))
    run("verify", "--export", packed, "--checkpoint", checkpoint)
    run("verify", "--export", packed, "--against", tmp_path / "export")


def test_one_event_is_read_packed_as_well(its: tuple[str, ...]) -> None:
    run("emit", *its, stdin=gzip.compress(line(its[-1]).encode()))


@pytest.mark.skipif(not HAS_ZSTD, reason="this Python has no zstd")
def test_zstd_is_read_where_python_has_it(its: tuple[str, ...], tmp_path: Path) -> None:
    from compression import zstd  # type: ignore[import-not-found, unused-ignore]

    path = tmp_path / "lines"
    path.write_bytes(zstd.compress(fine(its[-1])["as it is"]))
    assert json.loads(run("import", path, *its, "--json").stdout)["inserted"] == 3
    path.write_bytes(path.read_bytes()[:-5])
    assert "zstd" in run("import", path, *its, code=1).stderr


class Slow(io.RawIOBase):
    """A file that gives one byte at a time."""

    def __init__(self, data: bytes) -> None:
        self._left = data

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = min(1, len(self._left))
        buffer[:count], self._left = self._left[:count], self._left[count:]
        return count


def test_how_a_file_arrives_does_not_matter() -> None:
    for data in (LINE * 20, gzip.compress(LINE * 20)):
        for source in (io.BytesIO(data), io.BufferedReader(Slow(data)), Slow(data)):
            assert json_lines(source).read() == LINE * 20  # type: ignore[arg-type]
    for source in (io.BytesIO(FOREIGN["xz"][0]), io.BufferedReader(Slow(FOREIGN["xz"][0]))):
        with pytest.raises(UnreadableFileError) as caught:
            json_lines(source)
        assert caught.value.hint


def test_good_lines_look_like_nothing_else() -> None:
    assert looks_like(LINE) is None
    assert looks_like(b"2026-03-01 12:00:00,123 INFO [main] started, listening") is None
