"""Values that only a key of their subject opens: how a caller names them, and what keeps the keys.

They are sealed before they are sent (``aximo_db/client/sealing.py``), so no database, log or backup of the ledger ever
holds them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable
from uuid import UUID

__all__ = ["Erased", "Sealed", "Vault"]


@dataclass(frozen=True, slots=True)
class Sealed:
    """A value of a payload that is to be sealed for a subject. Its text does not say the value.

    Attributes:
        subject: whose the value is, such as the id of a person, in the words of the application. The ledger never
            gets it.
        value: anything that JSON has a form for.
    """

    subject: str
    value: Any = field(repr=False)


@dataclass(frozen=True, slots=True)
class Erased:
    """What is read in place of a sealed value whose key is gone.

    Attributes:
        kid: the id of the key.
    """

    kid: UUID


@runtime_checkable
class Vault(Protocol):
    """What keeps the keys of subjects. ``PostgresVault`` is one; a key management service may be another.

    A subject of a customer has no key, a live one, or was erased. Its methods may be called by several threads at a
    time.
    """

    def key_for(self, customer: str, subject: str) -> tuple[UUID, bytes]:
        """The subject's key to seal with, 32 random bytes, and its id. A new one is made durable first.

        Raises:
            VaultError: the subject was erased, or the vault can't make keys.
        """
        ...

    def open(self, kid: UUID) -> bytes | Erased:
        """The key of that id, or that it is gone."""
        ...

    def erase(self, customer: str, subject: str, reason: str) -> list[UUID]:
        """Destroys the subject's keys for good, and returns their ids; none if there were none."""
        ...

    def readmit(self, customer: str, subject: str) -> None:
        """Lets a subject that was erased have a new key. What was erased stays so."""
        ...
