"""The key that the keys in a vault are wrapped by. It is kept elsewhere: without it, the vault opens nothing."""

from __future__ import annotations

import base64
import binascii
import os
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

from aximo_db.client.errors import VaultError

__all__ = [
    "KEY_FILE_VARIABLE",
    "KEY_VARIABLE",
    "KeyFile",
    "KeyService",
    "KeyVariable",
    "LocalKeys",
    "WrappingKey",
    "default_key",
]

KEY_VARIABLE: Final = "AXIMO_VAULT_KEY"
KEY_FILE_VARIABLE: Final = "AXIMO_VAULT_KEY_FILE"
_FORM: Final = "A key is 32 random bytes in base64, as openssl rand -base64 32 makes them."


class WrappingKey(Protocol):
    """What wraps and unwraps keys of 32 bytes.

    A :class:`VaultError` says that it can't, as its own key is gone or another one: values then read as erased. Any
    other exception goes on to the caller.
    """

    def wrap(self, key: bytes) -> bytes:
        """The key, wrapped."""
        ...

    def unwrap(self, wrapped: bytes) -> bytes:
        """The key that was wrapped."""
        ...


class KeyService:
    """Wraps by what a key management service does.

    Args:
        wrap, unwrap: its two operations.
    """

    def __init__(self, wrap: Callable[[bytes], bytes], unwrap: Callable[[bytes], bytes]) -> None:
        self._wrap, self._unwrap = wrap, unwrap

    def wrap(self, key: bytes) -> bytes:
        """The key, wrapped."""
        return self._wrap(key)

    def unwrap(self, wrapped: bytes) -> bytes:
        """The key that was wrapped."""
        return self._unwrap(wrapped)


class LocalKeys(ABC):
    """Wraps by AES key wrap (RFC 3394) with keys of 32 bytes that are looked up each time.

    There is one a line. The first wraps, all unwrap: so another key takes over while services go on.
    """

    @abstractmethod
    def _text(self) -> str:
        """The keys in base64, from where they are kept."""

    def _keys(self) -> list[bytes]:
        # Some editors begin a file with a byte order mark, and end lines with a carriage return. A line that is empty
        # and not at the end stands for a key that somebody forgot to fill in.
        lines = self._text().removeprefix("\ufeff").rstrip().split("\n")
        return [_key_of(line.strip(), number) for number, line in enumerate(lines, 1)]

    def wrap(self, key: bytes) -> bytes:
        """The key, wrapped by the first of these."""
        from cryptography.hazmat.primitives.keywrap import aes_key_wrap

        return aes_key_wrap(self._keys()[0], key)

    def unwrap(self, wrapped: bytes) -> bytes:
        """The key that was wrapped by any of these."""
        for wrapping in self._keys():
            key = _unwrapped(wrapping, wrapped)
            if key is not None:
                return key
        raise VaultError(
            "the vault's keys were wrapped by another key",
            rule="wrapping_key_fits",
            hint="Give the vault the key that it was made with. Without it, what was sealed is lost.",
        )

    def is_by_first(self, wrapped: bytes) -> bool:
        """Whether a key was wrapped by the first of these."""
        return _unwrapped(self._keys()[0], wrapped) is not None


def _key_of(line: str, number: int) -> bytes:
    try:
        key = base64.b64decode(line, validate=True)
    except (ValueError, binascii.Error):
        key = b""
    if len(key) != 32:
        raise VaultError(
            "the vault's wrapping key is no key",
            rule="wrapping_key_present",
            detail=f"line {number} is not 32 bytes in base64",
            hint=_FORM,
        )
    return key


def _unwrapped(wrapping: bytes, wrapped: bytes) -> bytes | None:
    from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap

    try:
        return aes_key_unwrap(wrapping, wrapped)
    except InvalidUnwrap:
        return None


class KeyFile(LocalKeys):
    """Wraps by the key in a file: 32 bytes in base64. With several, one a line, the first wraps and all unwrap.

    Args:
        path: the file.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)

    def _text(self) -> str:
        try:
            return self._path.read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            raise VaultError(
                "the file with the vault's wrapping key can't be read",
                rule="wrapping_key_present",
                detail=error.strerror,
                hint=_FORM,
            ) from error


class KeyVariable(LocalKeys):
    """Wraps by the key in an environment variable, in the form of a :class:`KeyFile`.

    Args:
        name: the variable.
    """

    def __init__(self, name: str = KEY_VARIABLE) -> None:
        self._name = name

    def _text(self) -> str:
        text = os.environ.get(self._name)
        if not text:
            raise VaultError(
                "the vault's wrapping key is not set",
                rule="wrapping_key_present",
                detail="the environment variable is empty",
                hint="Set AXIMO_VAULT_KEY_FILE to a file with the key, or AXIMO_VAULT_KEY to the key.",
            )
        return text


def default_key() -> WrappingKey:
    """The key that the environment names: in a file, else in a variable."""
    path = os.environ.get(KEY_FILE_VARIABLE)
    return KeyFile(path) if path else KeyVariable()
