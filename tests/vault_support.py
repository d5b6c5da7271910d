"""Vaults for the tests: one in memory, and databases of PostgreSQL beside the ledger's."""

from __future__ import annotations

import base64
import contextlib
import secrets
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID, uuid4

import psycopg
from psycopg import sql

from aximo_db import Erased, PostgresVault, VaultError
from aximo_db.local.embedded import EmbeddedServer
from tests.conftest import DBA


class MemoryVault:
    """The simplest vault there can be. Says with ``asked`` which keys it was asked for."""

    def __init__(self) -> None:
        self.keys: dict[tuple[str, str], tuple[UUID, bytes]] = {}
        self.erased: set[tuple[str, str]] = set()
        self.asked: list[UUID] = []

    def key_for(self, customer: str, subject: str) -> tuple[UUID, bytes]:
        if (customer, subject) in self.erased:
            raise VaultError(rule="subject_not_erased")
        return self.keys.setdefault((customer, subject), (uuid4(), secrets.token_bytes(32)))

    def open(self, kid: UUID) -> bytes | Erased:
        self.asked.append(kid)
        return next((key for known, key in self.keys.values() if known == kid), Erased(kid))

    def erase(self, customer: str, subject: str, reason: str) -> list[UUID]:
        self.erased.add((customer, subject))
        return [self.keys.pop((customer, subject))[0]]

    def readmit(self, customer: str, subject: str) -> None:
        self.erased.discard((customer, subject))


def key_file(folder: Path, name: str = "vault.key") -> Path:
    path = folder / name
    path.write_bytes(base64.b64encode(secrets.token_bytes(32)) + b"\n")
    return path


@contextlib.contextmanager
def vault_database(server: EmbeddedServer, name: str = "vault_test", *, migrated: bool = True) -> Iterator[str]:
    """A database of the DBA's for a vault; its connection string."""
    identifier = sql.Identifier(name)
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        connection.execute(sql.SQL("create database {} owner {}").format(identifier, sql.Identifier(DBA)))
    try:
        dsn = server.dsn(DBA, name)
        if migrated:
            with PostgresVault(dsn) as vault:
                vault.migrate()
        yield dsn
    finally:
        with psycopg.connect(server.dsn(), autocommit=True) as connection:
            connection.execute(sql.SQL("drop database {} with (force)").format(identifier))
