"""Time stamps of notes (RFC 3161): that bytes were there at a moment, on the word of an authority.

Needs the extra ``timestamp``. The bytes are those of the whole file, so ``openssl ts -verify -data FILE -in FILE.tsr``
checks the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

__all__ = ["NoStampLibrary", "StampFailed", "StampQuery", "query_for", "read_roots", "verify_stamp"]


class StampFailed(ValueError):  # noqa: N818
    """A time stamp is not written as RFC 3161 says, is of other bytes, or is not signed by a trusted authority."""


class NoStampLibrary(ValueError):  # noqa: N818
    """The library that reads time stamps is not installed."""

    def __init__(self) -> None:
        super().__init__("time stamps need rfc3161-client: pip install 'aximo-db[timestamp]'")


@dataclass(frozen=True, slots=True)
class StampQuery:
    """What an authority is asked.

    Attributes:
        body: the request.
        digest: of the bytes that are stamped, SHA-256.
        nonce: what the answer has to repeat.
    """

    body: bytes
    digest: bytes
    nonce: int | None

    def check(self, answer: bytes) -> None:
        """Looks whether an answer is to this request; not who signed it.

        Raises:
            StampFailed: it is not.
        """
        try:
            from rfc3161_client import decode_timestamp_response
        except ImportError as error:
            raise NoStampLibrary from error
        try:
            found = decode_timestamp_response(answer)
            status = found.status
            if status in (0, 1):
                info = found.tst_info
                digest, nonce = info.message_imprint.message, info.nonce
        except ValueError as error:
            raise StampFailed(_unread(error)) from error
        if status not in (0, 1):
            raise StampFailed(f"the authority refused: status {status}")
        if digest != self.digest:
            raise StampFailed("the authority stamped other bytes")
        if nonce != self.nonce:
            raise StampFailed("the authority answered another request")


def query_for(data: bytes) -> StampQuery:
    """The request to stamp these bytes: SHA-256, with a nonce, and the authority's certificate in the answer.

    Raises:
        NoStampLibrary: it is not installed.
    """
    try:
        from rfc3161_client import HashAlgorithm, TimestampRequestBuilder
    except ImportError as error:
        raise NoStampLibrary from error
    request = TimestampRequestBuilder().data(data).hash_algorithm(HashAlgorithm.SHA256).cert_request(cert_request=True)
    built = request.nonce(nonce=True).build()
    return StampQuery(built.as_bytes(), sha256(data).digest(), built.nonce)


def read_roots(paths: Iterable[Path]) -> list[Certificate]:
    """The certificates in PEM files.

    Raises:
        OSError: a file can't be read.
        ValueError: it holds something else.
    """
    from cryptography.x509 import load_pem_x509_certificates

    found = []
    for path in paths:
        try:
            found += load_pem_x509_certificates(path.read_bytes())
        except ValueError as error:
            raise ValueError(f"{path} holds no certificate in PEM") from error
    return found


def verify_stamp(stamp: bytes, data: bytes, roots: Sequence[Certificate]) -> datetime:
    """When the bytes were there, as an authority says.

    Args:
        stamp: the answer of the authority, as a ``.tsr`` file holds it.
        data: the bytes of the note.
        roots: whom to trust: the authority's own certificate, or whoever signed it.

    Raises:
        StampFailed: it does not hold.
        NoStampLibrary: it is not installed.
        ValueError: nobody is trusted.
    """
    if not roots:
        raise ValueError("a time stamp is verified with at least one certificate")
    try:
        from rfc3161_client import VerificationError, VerifierBuilder, decode_timestamp_response
    except ImportError as error:
        raise NoStampLibrary from error
    try:
        answer = decode_timestamp_response(stamp)
        VerifierBuilder(roots=list(roots)).build().verify_message(answer, data)
        moment: datetime = answer.tst_info.gen_time
    except VerificationError as error:
        raise StampFailed(f"the time stamp does not hold: {error}") from error
    except ValueError as error:
        raise StampFailed(_unread(error)) from error
    return moment


def _unread(error: ValueError) -> str:
    """What is wrong with an answer that can't be read."""
    said = str(error)
    if "InvalidSetOrdering" in said:
        # OpenSSL writes several certificates in the order in which it was given them.
        return (
            "the time stamp is not in DER: its certificates are not in order. Ask for a shorter chain, or another"
            " authority; openssl ts -verify may read it all the same"
        )
    return f"the time stamp can't be read: {said}"
