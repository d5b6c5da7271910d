"""Asking others for their word on a checkpoint, over HTTP: an authority for a time stamp, witnesses for a cosignature.

RFC 3161, and ``add-checkpoint`` of C2SP tlog-witness: https://c2sp.org/tlog-witness. What they say is looked at before
it is kept. None of them ever sees an event.
"""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Final

from aximo_db.audit.checkpoint import number, read_checkpoint
from aximo_db.audit.merkle import TileReader, consistency_proof
from aximo_db.audit.note import MalformedNote, VerifierKey, open_note, parse_note
from aximo_db.audit.proof import ConsistencyProof
from aximo_db.audit.stamp import query_for

__all__ = ["NotGivenError", "Witness", "ask_for_stamp", "ask_witness"]

#: Seconds that an authority or a witness may take.
_TIMEOUT: Final = 10.0
_MOST_BYTES: Final = 1_048_576
_SIZE: Final = "text/x.tlog.size"


class NotGivenError(Exception):
    """An authority or a witness did not answer, or refused, or its answer does not hold.

    Attributes:
        is_silent: it did not answer at all.
    """

    def __init__(self, message: str, *, is_silent: bool = False) -> None:
        super().__init__(message)
        self.is_silent = is_silent


@dataclass(frozen=True, slots=True)
class Witness:
    """Who cosigns checkpoints.

    Attributes:
        url: the prefix to which ``/add-checkpoint`` is added.
        key: of its cosignatures.
    """

    url: str
    key: VerifierKey

    @classmethod
    def of(cls, text: str) -> Witness:
        """A witness, of its address, a comma and its verifier key.

        Raises:
            ValueError: it is written in another way, or the key is none of a witness.
        """
        url, comma, key = text.partition(",")
        if not comma:
            raise ValueError("a witness is an address, a comma and its verifier key")
        check_address(url)
        verifier = VerifierKey.decode(key)
        if not verifier.is_of_witness:
            raise MalformedNote("the key is of who signs checkpoints; that of a witness has another type: 4, or 6")
        return cls(url.rstrip("/"), verifier)


def check_address(url: str) -> None:
    """Refuses what is not an address of the web.

    Raises:
        ValueError: it is not.
    """
    if not url.startswith(("http://", "https://")):
        raise ValueError("an address begins with http:// or https://")


def _post(url: str, body: bytes, kind: str) -> tuple[int, str, bytes]:
    """The status, the type and the bytes of an answer.

    Raises:
        NotGivenError: there is none.
    """
    request = urllib.request.Request(url, data=body, method="POST", headers={"Content-Type": kind})  # noqa: S310 - http and https only
    try:
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:  # noqa: S310
                return answer.status, answer.headers.get_content_type(), answer.read(_MOST_BYTES)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.headers.get_content_type(), error.read(_MOST_BYTES)
    except urllib.error.URLError as error:
        raise NotGivenError(f"{url}: {error.reason}", is_silent=True) from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise NotGivenError(f"{url}: {error}", is_silent=True) from error


def ask_for_stamp(url: str, note: bytes) -> bytes:
    """A time stamp of a note: what a ``.tsr`` file holds.

    Raises:
        NotGivenError: the authority does not answer, or its answer is none to this.
        NoStampLibrary: the library that reads it is not installed.
    """
    query = query_for(note)
    status, kind, answer = _post(url, query.body, "application/timestamp-query")
    if status != http.client.OK or kind != "application/timestamp-reply":
        raise NotGivenError(f"{url}: the answer is {status}, {kind}")
    try:
        query.check(answer)
    except ValueError as error:
        raise NotGivenError(f"{url}: {error}") from error
    return answer


def ask_witness(witness: Witness, note: str, last: int, tiles: TileReader) -> str:
    """The signature line of a witness for a note.

    Args:
        witness: who.
        note: signed by its log.
        last: the size of the checkpoint that it cosigned last, as far as is known.
        tiles: read for the proof that the log grew.

    Raises:
        NotGivenError: it does not answer, or refuses, or its answer does not hold.
    """
    size = read_checkpoint(note).size
    status, kind, answer = _add(witness, note, min(last, size), size, tiles)
    if status == http.client.CONFLICT and kind == _SIZE:
        try:
            last = number(answer.decode("ascii", "replace").removesuffix("\n"), "the size")
        except MalformedNote as error:
            raise NotGivenError(f"{witness.url}: {error}") from error
        if last > size:
            raise NotGivenError(f"{witness.url}: it has cosigned {last:,} entries of this log, which has {size:,}")
        status, kind, answer = _add(witness, note, last, size, tiles)
    if status != http.client.OK:
        raise NotGivenError(f"{witness.url}: the answer is {status}")
    return _its_line(witness, note, answer)


def _add(witness: Witness, note: str, old: int, size: int, tiles: TileReader) -> tuple[int, str, bytes]:
    body = ConsistencyProof(old, tuple(consistency_proof(old, size, tiles)), note).text()
    return _post(f"{witness.url}/add-checkpoint", body.encode(), "text/plain; charset=utf-8")


def _its_line(witness: Witness, note: str, answer: bytes) -> str:
    """The one line of an answer that is the witness's and holds; lines of other keys mean nothing here."""
    key = witness.key
    for line in answer.decode("utf-8", "replace").splitlines(keepends=True):
        try:
            signature = parse_note(note + line).signatures[-1]
            if (signature.name, signature.key_id) != (key.name, key.key_id):
                continue
            open_note(note + line, key)
        except ValueError as error:
            raise NotGivenError(f"{witness.url}: {error}") from error
        return line
    raise NotGivenError(f"{witness.url}: its answer has no signature of {key.name}+{key.key_id.hex()}")
