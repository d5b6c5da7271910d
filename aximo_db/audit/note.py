"""Signed notes and their keys, as C2SP signed-note.

https://c2sp.org/signed-note. What is signed here is signed with Ed25519, by the package ``cryptography``; witnesses'
cosignatures, of Ed25519 or ML-DSA-44, are verified too (:mod:`~aximo_db.audit.cosignature`).
"""

from __future__ import annotations

import base64
import binascii
import os
import re
import secrets
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Final

from aximo_db.audit import cosignature
from aximo_db.audit.cosignature import KINDS, SIGNER

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

__all__ = [
    "MalformedNote",
    "Note",
    "SecretKey",
    "Signature",
    "SignatureFailed",
    "VerifierKey",
    "check_name",
    "from_base64",
    "open_note",
    "parse_note",
    "read_secret_key",
    "read_verifier_key",
    "sign",
    "signers",
    "text_of",
    "to_base64",
    "write_key_pair",
]

_MOST_SIGNATURES: Final = 100  # in a note; C2SP signed-note asks for at least 16
_MOST_BYTES: Final = 1_048_576  # of a note or proof
_ED25519: Final = bytes([SIGNER])
_CONTROL: Final = re.compile(r"[\x00-\x09\x0b-\x1f]")
_KEY_ID: Final = re.compile(r"[0-9a-f]{8}", re.ASCII)
_KEY_BYTES: Final = 32  # of a seed, and of a public key (RFC 8032)


class MalformedNote(ValueError):  # noqa: N818 - what it says is that the note is malformed
    """A note, checkpoint, proof, key or origin is not written as its format says."""


class SignatureFailed(ValueError):  # noqa: N818
    """A well-formed note is not signed by the expected key, or its signature by that key is wrong.

    Attributes:
        unsigned: the note has no signature of an expected key; otherwise it has one, which is wrong.
    """

    def __init__(self, message: str, *, unsigned: bool = False) -> None:
        super().__init__(message)
        self.unsigned = unsigned


def text_of(data: bytes | str, what: str) -> str:
    """The text of a note or proof, which C2SP signed-note limits to UTF-8 without control characters."""
    if len(data) > _MOST_BYTES:
        raise MalformedNote(f"{what} is larger than {_MOST_BYTES} bytes")
    try:
        text = data if isinstance(data, str) else data.decode()
        text.encode()
    except UnicodeError as error:
        raise MalformedNote(f"{what} is not UTF-8") from error
    if text.startswith("\ufeff"):
        raise MalformedNote(f"{what} begins with a byte order mark; save it as UTF-8 without one")
    found = _CONTROL.search(text)
    if found:
        line = text.count("\n", 0, found.start()) + 1
        if found[0] == "\r":
            raise MalformedNote(f"line {line} of {what} has a carriage return; lines end in LF alone")
        raise MalformedNote(f"line {line} of {what} has the control character U+{ord(found[0]):04X}")
    return text


def to_base64(data: bytes) -> str:
    """Base64 with padding, as all of C2SP has it."""
    return base64.b64encode(data).decode()


def from_base64(text: str, what: str, length: int | None = None) -> bytes:
    """The bytes of base64 as its encoder writes it, and no other form: padded, no stray bits, no white space."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise MalformedNote(f"{what} is not base64") from None
    if to_base64(data) != text:
        raise MalformedNote(f"{what} is not canonical base64")
    if length is not None and len(data) != length:
        raise MalformedNote(f"{what} has {len(data)} bytes, not {length}")
    return data


def check_name(name: str, what: str) -> None:
    """The rule of C2SP signed-note for the name of a key."""
    try:
        name.encode()
    except UnicodeError as error:
        raise MalformedNote(f"{what} is not Unicode text") from error
    if not name or "+" in name or _CONTROL.search(name) or any(character.isspace() for character in name):
        raise MalformedNote(f"{what} is empty or has a space, a plus or a control character")


def _is_key(value: object) -> bool:
    return isinstance(value, bytes) and len(value) == _KEY_BYTES


def _private_key(seed: bytes) -> Ed25519PrivateKey:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return Ed25519PrivateKey.from_private_bytes(seed)


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A public key with a name (C2SP signed-note): of who signs checkpoints, or of a witness, who cosigns them.

    Attributes:
        name: no spaces, plus or control characters.
        public_key: 32 bytes, RFC 8032; 1,312 of ML-DSA-44.
        kind: the signature type: 1, Ed25519; of witnesses 4, Ed25519, and 6, ML-DSA-44 (C2SP tlog-cosignature).
    """

    name: str
    public_key: bytes
    kind: int = SIGNER

    def __post_init__(self) -> None:
        check_name(self.name, "the name of the key")
        known = KINDS.get(self.kind)
        if known is None:
            raise MalformedNote(f"a key of type {self.kind} is none of {', '.join(map(str, KINDS))}")
        if not isinstance(self.public_key, bytes) or len(self.public_key) != known.key_bytes:
            raise MalformedNote(f"a public key of {known.name} has {known.key_bytes} bytes")

    @property
    def is_of_witness(self) -> bool:
        """Whether it cosigns what others sign."""
        return self.kind != SIGNER

    @property
    def _material(self) -> bytes:
        return bytes([self.kind]) + self.public_key

    @property
    def key_id(self) -> bytes:
        """Four bytes that, with the name, tell which key made a signature."""
        return sha256(self.name.encode() + b"\n" + self._material).digest()[:4]

    def encode(self) -> str:
        """The key as one line of text, a "vkey"."""
        return f"{self.name}+{self.key_id.hex()}+{to_base64(self._material)}"

    @classmethod
    def decode(cls, text: str) -> VerifierKey:
        """The key that :meth:`encode` wrote.

        Raises:
            MalformedNote: not such a line, another kind of key, or a key id that is not the key's.
        """
        if text.startswith("PRIVATE+KEY+"):
            raise MalformedNote("this is a secret key, not a verifier key")
        name, key_id, material = _key_parts(text, "the verifier key")
        key = cls(name, material[1:], material[0])
        if key.key_id.hex() != key_id:
            raise MalformedNote("the key id in the verifier key is not its own")
        return key

    def accepts(self, signature: bytes, text: bytes) -> bool:
        """Whether the signature is this key's over the text of a note.

        Args:
            signature: 64 bytes; of a witness, 8 bytes of its moment before.
            text: with its last newline.

        Raises:
            NoMlDsa: the key is of ML-DSA-44, which the installed library does not know.
        """
        return cosignature.accepts(self.kind, self.name, self.public_key, signature, text)


@dataclass(frozen=True, slots=True)
class SecretKey:
    """An Ed25519 secret key with a name. Whoever has it signs checkpoints; its ``repr`` does not show it.

    Attributes:
        name: no spaces, plus or control characters.
        seed: 32 bytes, RFC 8032.
    """

    name: str
    seed: bytes = field(repr=False)

    def __post_init__(self) -> None:
        check_name(self.name, "the name of the key")
        if not _is_key(self.seed):
            raise MalformedNote("an Ed25519 seed has 32 bytes")

    @classmethod
    def generate(cls, name: str) -> SecretKey:
        """A new key, from the operating system's random numbers."""
        return cls(name, secrets.token_bytes(_KEY_BYTES))

    @property
    def verifier(self) -> VerifierKey:
        """The public key."""
        return VerifierKey(self.name, _private_key(self.seed).public_key().public_bytes_raw())

    def encode(self) -> str:
        """The key as one line of text, as Go's ``sumdb/note`` writes it."""
        return f"PRIVATE+KEY+{self.name}+{self.verifier.key_id.hex()}+{to_base64(_ED25519 + self.seed)}"

    @classmethod
    def decode(cls, text: str) -> SecretKey:
        """The key that :meth:`encode` wrote.

        Raises:
            MalformedNote: not such a line, another kind of key, or a key id that is not the key's.
        """
        if not text.startswith("PRIVATE+KEY+"):
            raise MalformedNote("a secret key begins with PRIVATE+KEY+")
        name, key_id, material = _key_parts(text.removeprefix("PRIVATE+KEY+"), "the secret key")
        if material[:1] != _ED25519 or len(material) != 1 + _KEY_BYTES:
            raise MalformedNote("the secret key is not an Ed25519 key")
        key = cls(name, material[1:])
        if key.verifier.key_id.hex() != key_id:
            raise MalformedNote("the key id in the secret key is not its own")
        return key

    def sign(self, text: bytes) -> bytes:
        """The signature over the text, 64 bytes (RFC 8032)."""
        return _private_key(self.seed).sign(text)


def _key_parts(text: str, what: str) -> tuple[str, str, bytes]:
    parts = text.split("+", 2)  # base64 may have a plus of its own
    if len(parts) != 3 or not _KEY_ID.fullmatch(parts[1]):
        raise MalformedNote(f"{what} is not a name, a key id of 8 hexadecimal digits and base64, joined by plus")
    material = from_base64(parts[2], what)
    if not material:
        raise MalformedNote(f"{what} is empty")
    return parts[0], parts[1], material


def write_key_pair(path: str | os.PathLike[str], name: str) -> VerifierKey:
    """Makes a key and writes it to two new files: the secret key to ``path``, the verifier key to ``<path>.pub``.

    The secret file has mode 0600. Nothing is ever overwritten.

    Args:
        path: of the secret file; its folder exists.
        name: of the key, often the ledger's.

    Raises:
        FileExistsError: one of the files exists, whatever it is; then neither is written.
        OSError: a file can't be written; then neither is.
        MalformedNote: not a name for a key.
    """
    key = SecretKey.generate(name)
    secret = Path(path)
    public = secret.with_name(secret.name + ".pub")
    written = _write_new(secret, key.encode(), 0o600)
    try:
        _write_new(public, key.verifier.encode(), 0o644)
    except BaseException:
        written.unlink()
        raise
    return key.verifier


def _write_new(path: Path, line: str, mode: int) -> Path:
    # Where a link leads to nothing, that is made.
    path = Path(os.path.realpath(path))
    with open(path, "xb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
        try:
            file.write(f"{line}\n".encode())
            file.flush()
            os.fsync(file.fileno())
        except BaseException:
            path.unlink()
            raise
    return path


def _read_line(path: str | os.PathLike[str], what: str) -> str:
    text = text_of(Path(path).read_bytes(), what).removesuffix("\n")
    if "\n" in text:
        raise MalformedNote(f"{what} is not one line")
    return text


def read_secret_key(path: str | os.PathLike[str]) -> SecretKey:
    """The key in a file that :func:`write_key_pair` wrote.

    Raises:
        OSError: the file can't be read.
        MalformedNote: it holds something else.
    """
    return SecretKey.decode(_read_line(path, "the secret key"))


def read_verifier_key(path: str | os.PathLike[str]) -> VerifierKey:
    """The key in a ``.pub`` file that :func:`write_key_pair` wrote.

    Raises:
        OSError: the file can't be read.
        MalformedNote: it holds something else.
    """
    return VerifierKey.decode(_read_line(path, "the verifier key"))


@dataclass(frozen=True, slots=True)
class Signature:
    """A signature line of a note, not verified.

    Attributes:
        name: of the key.
        key_id: four bytes.
        signature: the rest, for Ed25519 64 bytes.
    """

    name: str
    key_id: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class Note:
    """A note taken apart (C2SP signed-note), not verified.

    Attributes:
        text: what is signed; ends in a newline.
        signatures: in the note's order; none for an unsigned text.
    """

    text: str
    signatures: tuple[Signature, ...]


def parse_note(note: bytes | str) -> Note:
    """Takes a note apart, without verifying its signatures; see :func:`open_note`.

    A text without any empty line, such as that of an unsigned checkpoint, is a note without signatures.

    Raises:
        MalformedNote: neither of the two.
    """
    whole = text_of(note, "the note")
    if not whole.endswith("\n"):
        raise MalformedNote("the last line of the note does not end in a newline")
    body, blank, block = whole.rpartition("\n\n")
    if not blank:
        return Note(whole, ())
    lines = block.split("\n")[:-1]
    if not lines:
        raise MalformedNote("the note has no signature after its last empty line")
    if len(lines) > _MOST_SIGNATURES:
        raise MalformedNote(f"the note has more than {_MOST_SIGNATURES} signatures")
    return Note(f"{body}\n", tuple(_signature(line) for line in lines))


def _signature(line: str) -> Signature:
    dash, _, rest = line.partition(" ")
    name, _, encoded = rest.partition(" ")
    if dash != "—":
        raise MalformedNote("a signature of the note does not begin with an em dash and a space")
    check_name(name, "the name of a key in the note")
    data = from_base64(encoded, "a signature of the note")
    if len(data) < 5:
        raise MalformedNote("a signature of the note is too short")
    return Signature(name, data[:4], data[4:])


def sign(text: str, *keys: SecretKey) -> str:
    """A note: the text and a signature of each key.

    Args:
        text: ends in a newline; no control characters but newlines.
        keys: one or more.

    Raises:
        MalformedNote: not a text for a note.
        ValueError: no key.
    """
    if not keys:
        raise ValueError("a note is signed by at least one key")
    if not text_of(text, "the text").endswith("\n"):
        raise MalformedNote("the text of a note ends in a newline")
    data = text.encode()
    lines = [f"— {key.name} {to_base64(key.verifier.key_id + key.sign(data))}\n" for key in keys]
    return f"{text}\n{''.join(lines)}"


def open_note(note: bytes | str, *verifiers: VerifierKey) -> str:
    """The text of a note that one of the keys has signed. Signatures of other keys are ignored.

    Args:
        note: as a file holds it; bytes are best, as reading a file as text may change its line ends.
        verifiers: the keys that are trusted, one or more.

    Raises:
        MalformedNote: not a note.
        SignatureFailed: none of the keys has signed it, or a signature of one of them is wrong.
        ValueError: no key.
    """
    if not verifiers:
        raise ValueError("a note is opened with at least one key")
    signers(note, *verifiers)
    return parse_note(note).text


def signers(note: bytes | str, *verifiers: VerifierKey) -> tuple[str, ...]:
    """The names of those of the keys that have signed a note, in the order of its signatures; none, without keys.

    Raises:
        MalformedNote: not a note.
        SignatureFailed: none of the keys has signed it, or a signature of one of them is wrong.
    """
    if not verifiers:
        return ()
    parsed = parse_note(note)
    known = {(key.name, key.key_id): key for key in verifiers}
    text = parsed.text.encode()
    found: list[str] = []
    for signature in parsed.signatures:
        key = known.get((signature.name, signature.key_id))
        if key is None:
            continue
        if not key.accepts(signature.signature, text):
            raise SignatureFailed(f"the signature of {key.name}+{key.key_id.hex()} is not over this text")
        found.append(key.name)
    if not found:
        names = ", ".join(f"{key.name}+{key.key_id.hex()}" for key in verifiers)
        state = "not signed by" if parsed.signatures else "not signed at all; expected is"
        raise SignatureFailed(f"the note is {state} {names}", unsigned=True)
    return tuple(dict.fromkeys(found))
