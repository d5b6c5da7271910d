"""Files of JSON lines as they come: gzip is unpacked, and what is something else is named."""

from __future__ import annotations

import gzip
import importlib
import io
import re
import zlib
from typing import Any, BinaryIO, Final

__all__ = ["UnreadableFileError", "is_gzip", "json_lines", "looks_like"]

_HEAD: Final = 512
_GZIP: Final = b"\x1f\x8b"
_ZSTD: Final = b"\x28\xb5\x2f\xfd"
#: What is at the beginning of a file, what it is then, and what makes lines of it.
_KINDS: Final = (
    (_ZSTD, "it is compressed with zstd", "zstd -dc FILE"),
    (b"\xfd7zXZ\0", "it is compressed with xz", "xz -dc FILE"),
    (b"BZh", "it is compressed with bzip2", "bzip2 -dc FILE"),
    (b"\x04\x22\x4d\x18", "it is compressed with lz4", "lz4 -dc FILE"),
    (b"\x1f\x9d", "it is compressed with compress", "zcat FILE"),
    (b"PK\x03\x04", "it is a zip archive", "unzip -p FILE"),
    (b"PK\x05\x06", "it is a zip archive with nothing in it", None),
    (b"7z\xbc\xaf\x27\x1c", "it is a 7z archive", "7z x -so FILE"),
    (b"Rar!", "it is a RAR archive", None),
    (b"\x1f\xef\xbf\xbd", "it was compressed with gzip, and a conversion to text has destroyed it", None),
    (b"SQLite format 3\0", "it is an SQLite database", None),
    (b"PAR1", "it is a Parquet file", None),
    (b"ORC", "it is an ORC file", None),
    (b"Obj\x01", "it is an Avro file", None),
    (b"ARROW1", "it is an Arrow file", None),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "it is an old Office document, of Excel perhaps", None),
    (b"PGDMP", "it is a dump of PostgreSQL", None),
    (b"%PDF", "it is a PDF document", None),
    (b"\xff\xfe\0\0", "it is UTF-32 text", "iconv -f UTF-32 -t UTF-8 FILE"),
    (b"\0\0\xfe\xff", "it is UTF-32 text", "iconv -f UTF-32 -t UTF-8 FILE"),
    (b"\xff\xfe", "it is UTF-16 text", "iconv -f UTF-16 -t UTF-8 FILE"),
    (b"\xfe\xff", "it is UTF-16 text", "iconv -f UTF-16 -t UTF-8 FILE"),
)
#: Where the NUL bytes are among the first four, of text without a byte order mark.
_WIDE: Final = {
    (False, True, True, True): "UTF-32LE",
    (True, True, True, False): "UTF-32BE",
    (False, True, False, True): "UTF-16LE",
    (True, False, True, False): "UTF-16BE",
}
_OFFICE: Final = (b"[Content_Types].xml", b"_rels/", b"xl/", b"docProps/")
_HEADER: Final = re.compile(r'"?[A-Za-z_][\w .-]*"?')


class UnreadableFileError(ValueError):
    """A file is no text in UTF-8, or can't be unpacked.

    Attributes:
        hint: what to do, if it is known.
    """

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message, hint)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message


def is_gzip(head: bytes) -> bool:
    """Whether bytes at the beginning of a file say that it is compressed with gzip."""
    return head.startswith(_GZIP)


def json_lines(source: BinaryIO) -> BinaryIO:
    """The lines of a binary file, unpacked if it is compressed with gzip, or with zstd where Python has that.

    Reading raises :class:`UnreadableFileError` where what is packed is damaged or ends too early.

    Raises:
        UnreadableFileError: the file is something else; the message says what, as far as its beginning tells.
    """
    read = getattr(source, "read1", source.read)
    head = b""
    while len(head) < _HEAD:
        more = read(_HEAD - len(head))
        if not more:
            break
        head += more
    whole = io.BufferedReader(_Again(head, source), 1 << 16)
    if is_gzip(head):
        return json_lines(io.BufferedReader(_Unpacked(gzip.GzipFile(fileobj=whole), "gzip"), 1 << 16))
    if head.startswith(_ZSTD):
        try:
            zstd = importlib.import_module("compression.zstd")
        except ImportError:
            pass
        else:
            return json_lines(io.BufferedReader(_Unpacked(zstd.ZstdFile(whole), "zstd"), 1 << 16))
    _check(head)
    return whole


def _check(head: bytes) -> None:
    for beginning, what, command in _KINDS:
        if head.startswith(beginning):
            if beginning == b"PK\x03\x04" and any(name in head for name in _OFFICE):
                raise UnreadableFileError("it is an Excel workbook or another Office document")
            raise UnreadableFileError(what, _piped(command))
    if head[257:262] == b"ustar":
        raise UnreadableFileError("it is a tar archive", _piped("tar -xOf FILE"))
    encoding = _WIDE.get(tuple(byte == 0 for byte in head[:4]))  # type: ignore[arg-type]
    if encoding is not None:
        raise UnreadableFileError(f"it is {encoding[:6]} text", _piped(f"iconv -f {encoding} -t UTF-8 FILE"))


def _piped(command: str | None) -> str | None:
    return None if command is None else f"Read {command!r} instead, through a pipe and as -."


def looks_like(line: bytes) -> str | None:
    """What the first line of a text says it is, if it is no line of JSON lines; ``None`` if it can't be told."""
    text = line.decode("utf-8", "replace").removeprefix("\ufeff").strip()
    if re.match(r'\[\s*(?:[\[{"\d\]-]|$)', text):
        return "the file looks like a JSON array; JSON lines are one object a line, as jq -c '.[]' makes them"
    if text == "{" or (text.startswith("{") and text.endswith((",", "[", "{", ":"))):
        return "the file looks like JSON over several lines; JSON lines are one object a line, as jq -c . makes them"
    if re.match(r"<!doctype html|<html", text, re.IGNORECASE):
        return "the file looks like an HTML page, perhaps what a server said instead of sending the file"
    if text.startswith("<"):
        return "the file looks like XML"
    if "\r" in text and text.startswith("{"):
        return "the lines of the file end with a carriage return only; as tr '\\r' '\\n' makes them they can be read"
    for separator, name in ((",", "CSV"), (";", "CSV with semicolons"), ("\t", "a table with tabs")):
        names = text.split(separator)
        if len(names) > 1 and all(_HEADER.fullmatch(each.strip()) for each in names):
            return f"the file looks like {name}"
    return None


class _Again(io.RawIOBase):
    """A file whose beginning was read already."""

    def __init__(self, head: bytes, rest: BinaryIO) -> None:
        self._head = head
        self._read = getattr(rest, "read1", rest.read)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self._head:
            data, self._head = self._head[: len(buffer)], self._head[len(buffer) :]
        else:
            data = self._read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


class _Unpacked(io.RawIOBase):
    """What a compressed file holds; damage of every kind is one error."""

    def __init__(self, packed: Any, what: str) -> None:
        self._packed = packed
        self._what = what

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            data = self._packed.read1(len(buffer))
        except EOFError as error:
            raise UnreadableFileError(f"it is compressed with {self._what}, and ends too early") from error
        except (zlib.error, gzip.BadGzipFile) as error:
            raise UnreadableFileError(f"it is compressed with {self._what}, and damaged") from error
        except OSError:
            raise
        except Exception as error:
            # The module of zstd has an error of its own.
            if type(error).__module__.startswith("compression"):
                raise UnreadableFileError(f"it is compressed with {self._what}, and damaged") from error
            raise
        buffer[: len(data)] = data
        return len(data)
