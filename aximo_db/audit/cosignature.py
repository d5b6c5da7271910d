"""What keys of each kind sign: the text of a note, or what C2SP tlog-cosignature makes of a checkpoint and a moment.

https://c2sp.org/tlog-cosignature. A witness cosigns what it saw grow; its signature begins with the moment it gave it.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey

__all__ = ["COSIGNER", "KINDS", "POST_QUANTUM", "SIGNER", "Kind", "NoMlDsa", "accepts", "cosigned", "moment_of"]

#: The signature types of C2SP signed-note: Ed25519 over the text; a witness's Ed25519; a witness's ML-DSA-44.
SIGNER: Final = 1
COSIGNER: Final = 4
POST_QUANTUM: Final = 6

_MOMENT_BYTES: Final = 8  # bytes
_LATEST: Final = 2**63 - 1


class NoMlDsa(ValueError):  # noqa: N818
    """The installed ``cryptography``, or the OpenSSL under it, does not know ML-DSA-44."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of key.

    Attributes:
        name: for people.
        key_bytes: of the public key.
        signature_bytes: of what stands after the key id, the moment included.
    """

    name: str
    key_bytes: int
    signature_bytes: int


KINDS: Final = {
    SIGNER: Kind("Ed25519", 32, 64),
    COSIGNER: Kind("Ed25519 of a witness", 32, _MOMENT_BYTES + 64),
    POST_QUANTUM: Kind("ML-DSA-44", 1312, _MOMENT_BYTES + 2420),
}


def moment_of(kind: int, signature: bytes) -> int | None:
    """When a witness says that it cosigned, in seconds since 1970; ``None`` of another signature."""
    if kind == SIGNER or len(signature) < _MOMENT_BYTES:
        return None
    return int.from_bytes(signature[:_MOMENT_BYTES], "big")


def cosigned(kind: int, name: str, moment: int, text: bytes) -> bytes | None:
    """What a witness's key signs; ``None`` if the text is no checkpoint, about which it says nothing.

    Args:
        kind: :data:`COSIGNER` or :data:`POST_QUANTUM`.
        name: the key's.
        moment: in seconds since 1970.
        text: of the note, with its last newline.
    """
    lines = text.split(b"\n")
    if not 0 <= moment <= _LATEST or len(lines) < 4 or not lines[1].isdigit() or len(lines[1]) > 19:
        return None
    if kind == COSIGNER:
        return b"cosignature/v1\ntime %d\n" % moment + text
    try:
        root = base64.b64decode(lines[2], validate=True)
    except (binascii.Error, ValueError):
        return None
    origin, named = lines[0], name.encode()
    if len(root) != sha256().digest_size or not 0 < len(origin) < 256 or len(named) > 255:
        return None
    return b"".join(
        (
            b"subtree/v1\n\0",
            bytes([len(named)]),
            named,
            moment.to_bytes(8, "big"),
            bytes([len(origin)]),
            origin,
            (0).to_bytes(8, "big"),
            int(lines[1]).to_bytes(8, "big"),
            root,
        )
    )


def accepts(kind: int, name: str, public_key: bytes, signature: bytes, text: bytes) -> bool:
    """Whether a signature, without the key id, is this key's over the text of a note.

    Raises:
        NoMlDsa: the key is of ML-DSA-44, which the installed library does not know.
    """
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    if len(signature) != KINDS[kind].signature_bytes:
        return False
    message: bytes | None = text
    if (moment := moment_of(kind, signature)) is not None:
        message, signature = cosigned(kind, name, moment, text), signature[_MOMENT_BYTES:]
    if message is None:
        return False
    try:
        if kind == POST_QUANTUM:
            _ml_dsa(public_key).verify(signature, message)
        else:
            Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except NoMlDsa:
        raise
    except (InvalidSignature, ValueError):
        return False
    return True


def _ml_dsa(public_key: bytes) -> MLDSA44PublicKey:
    """The key, if the library knows of such."""
    from cryptography.exceptions import UnsupportedAlgorithm

    try:
        from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey

        return MLDSA44PublicKey.from_public_bytes(public_key)
    except (ImportError, UnsupportedAlgorithm) as error:
        raise NoMlDsa("a key of ML-DSA-44 needs a newer library: pip install --upgrade cryptography") from error
