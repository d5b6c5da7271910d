"""A vault in a PostgreSQL database of its own: a wrapped key for each subject, and tombstones of those destroyed."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar
from uuid import UUID, uuid4

import psycopg

from aximo_db.client.connections import AnyConnection, AnyPool, Connections
from aximo_db.client.errors import (
    InstallationError,
    NotConnectedError,
    SchemaVersionError,
    VaultError,
    is_connection_loss,
    told_by,
    translate,
)
from aximo_db.client.ledger_cursors import LedgerCursor
from aximo_db.client.sealed import Erased
from aximo_db.vault.wrapping import KeyFile, LocalKeys, WrappingKey, default_key

__all__ = ["VAULT_VARIABLE", "PostgresVault", "Rewrapped"]

VAULT_VARIABLE: Final = "AXIMO_VAULT_URL"

T = TypeVar("T")
_log: Final = logging.getLogger("aximo_db")
#: The longest that a key may be remembered: as long may a process seal and open after an erasure elsewhere.
LONGEST_CACHE: Final = 60.0
_MOST_CACHED: Final = 10_000

_FILES: Final = {int(path.name[:4]): path for path in sorted(Path(__file__).parent.glob("[0-9]*.sql"))}
_NEWEST: Final = max(_FILES)

# What is returned was committed, and a key that is lost in a crash would be data that is lost: whatever the session's
# settings are.
_SAFELY: Final = (
    "set transaction isolation level read committed",
    "set local synchronous_commit = on",
)
_FIND: Final = "select kid, wrapped from aximo_vault.subjects where customer_id = %s and subject = %s"
_MAKE: Final = """
insert into aximo_vault.subjects (customer_id, subject, kid, wrapped) values (%s, %s, %s, %s)
on conflict (customer_id, subject) do nothing returning kid
"""
_ERASE: Final = """
insert into aximo_vault.tombstones (kid, customer_id, reason)
select s.kid, s.customer_id, %s from aximo_vault.subjects as s
where s.customer_id = %s and s.subject = %s and s.kid is not null
on conflict (kid) do nothing returning kid
"""
_BURY: Final = """
insert into aximo_vault.tombstones (kid, customer_id, reason)
select g.kid, g.customer_id, g.reason
from (values (%s::uuid, %s::text, %s::text)) as g (kid, customer_id, reason)
where not exists (select from aximo_vault.subjects as s where s.kid = g.kid and s.customer_id <> g.customer_id)
on conflict (kid) do nothing returning kid
"""
_OTHERS: Final = "select kid from aximo_vault.subjects where kid = any(%s::uuid[]) and customer_id <> %s"
#: How many keys are wrapped anew in a transaction.
_PAGE: Final = 500
_LIVE: Final = """
select customer_id, subject, kid, wrapped from aximo_vault.subjects
where kid is not null and (customer_id, subject) > (%s, %s)
order by customer_id, subject limit %s
"""
_STILL: Final = "select kid, wrapped from aximo_vault.subjects where kid = any(%s::uuid[])"
# A row that somebody holds is left out: who waits for one while holding others is in the way of an erasure of several.
_REWRAP: Final = """
with given as materialized (
    select g.kid, g.was, g.anew from unnest(%s::uuid[], %s::bytea[], %s::bytea[]) as g (kid, was, anew)
), held as materialized (
    select s.kid, g.was, g.anew
    from aximo_vault.subjects as s
    join given as g on s.kid = g.kid
    for no key update of s skip locked
)
update aximo_vault.subjects as s set wrapped = h.anew from held as h where s.kid = h.kid and s.wrapped = h.was
returning s.kid
"""
_REWRAP_ONE: Final = """
update aximo_vault.subjects as s set wrapped = %s where s.kid = %s and s.wrapped = %s returning s.kid
"""


@dataclass(slots=True)
class Rewrapped:
    """What was done to the live keys of a vault. One that was erased meanwhile counts nowhere.

    Attributes:
        wrapped: how many were wrapped anew.
        passed_over: how many the first wrapping key opened already.
        unopened: the ids of those that no wrapping key opens. They stay as they are.
    """

    wrapped: int = 0
    passed_over: int = 0
    unopened: list[UUID] = field(default_factory=list)


class PostgresVault:
    """Keys of subjects, in a PostgreSQL database other than the ledger's. A :class:`Vault`.

    May be shared by threads and by stores. ``aximo-db vault migrate`` makes its schema.

    Args:
        source: a connection string or a pool; left out: ``AXIMO_VAULT_URL``. Never ``AXIMO_DB_URL``, as the keys are
            not to be in the ledger's own database, nor in its backups.
        key: what keys are wrapped by: a file's name, or an object with ``wrap`` and ``unwrap``; left out: the file that
            ``AXIMO_VAULT_KEY_FILE`` names, else the key in ``AXIMO_VAULT_KEY``.
        cache_for: how many seconds a key may be remembered, 60 at most.
    """

    def __init__(
        self,
        source: AnyPool | str | None = None,
        *,
        key: WrappingKey | str | os.PathLike[str] | None = None,
        cache_for: float = LONGEST_CACHE,
    ) -> None:
        if not 0 <= cache_for <= LONGEST_CACHE:
            raise ValueError("cache_for is from 0 to 60 seconds")
        if source is None:
            source = os.environ.get(VAULT_VARIABLE)
            if not source:
                raise InstallationError(
                    "no vault is named",
                    rule="vault_named",
                    hint="Set AXIMO_VAULT_URL to the database that the keys are in, which is not the ledger's.",
                )
        if isinstance(source, psycopg.Connection):
            raise TypeError("a vault commits what it does: give it a connection string or a pool")
        self._connections = Connections(source, prepare=False)
        self._key: WrappingKey = (
            default_key() if key is None else KeyFile(key) if isinstance(key, str | os.PathLike) else key
        )
        self._cache_for = cache_for
        self._lock = threading.RLock()
        self._salt: bytes | None = None
        self._key_fits = False
        self._live: dict[tuple[str, str], tuple[float, tuple[UUID, bytes]]] = {}
        self._opened: dict[UUID, tuple[float, bytes | Erased]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connections that were made here, and forgets every key."""
        with self._lock:
            self._live.clear()
            self._opened.clear()
        self._connections.close()

    # What a store asks

    def key_for(self, customer: str, subject: str) -> tuple[UUID, bytes]:
        """The subject's key, and its id; made if it has none. Of two who make one at a time, both get the same.

        Raises:
            VaultError: the subject was erased (``subject_not_erased``), or the wrapping key is missing or another one.
            NotConnectedError: the vault's database can't be reached.
            SchemaVersionError: it has no vault, or one that this package does not know.
        """
        now = time.monotonic()
        with self._lock:
            known = self._live.get((customer, subject))
        if known is not None and now < known[0]:
            return known[1]
        kid, wrapped = self._call(lambda connection: self._found_or_made(connection, customer, subject))
        key = self._key.unwrap(wrapped)
        self._remember(self._live, (customer, subject), now, (kid, key))
        return kid, key

    def open(self, kid: UUID) -> bytes | Erased:
        """The key of that id; :class:`Erased` if it is not there, or can't be unwrapped any more.

        Raises:
            NotConnectedError: the vault's database can't be reached.
            SchemaVersionError: it has no vault, or one that this package does not know.
        """
        now = time.monotonic()
        with self._lock:
            known = self._opened.get(kid)
        if known is not None and now < known[0]:
            return known[1]
        row = self._call(
            lambda connection: self._row(connection, "select wrapped from aximo_vault.subjects where kid = %s", (kid,))
        )
        found: bytes | Erased = Erased(kid)
        if row is not None:
            try:
                found = self._key.unwrap(row[0])
            except VaultError as error:
                # What can't be opened reads as what is gone, and reading goes on. It is asked for again each time: the
                # wrapping key may come back.
                _log.warning("a key of the vault can't be unwrapped: %s", error.rule, extra={"rule": error.rule})
                return found
        self._remember(self._opened, kid, now, found)
        return found

    def erase(self, customer: str, subject: str, reason: str) -> list[UUID]:
        """Destroys the subject's key, and returns its id; none if it has none, or was erased before.

        To record it in the ledger first is the caller's: ``aximo-db erase`` does both.

        Raises:
            NotConnectedError, SchemaVersionError: as :meth:`key_for`.
        """

        def work(connection: AnyConnection) -> list[UUID]:
            values = (customer, self._hashed(connection, customer, subject))
            row = self._row(connection, _ERASE, (reason, *values))
            return [] if row is None else [row[0]]

        kids = self._call(work)
        self._forget(kids)
        return kids

    def readmit(self, customer: str, subject: str) -> None:
        """Lets a subject that was erased have another key. What was sealed before stays erased.

        Raises:
            NotConnectedError, SchemaVersionError: as :meth:`key_for`.
        """

        def work(connection: AnyConnection) -> None:
            values = (customer, self._hashed(connection, customer, subject))
            query = (
                "delete from aximo_vault.subjects where customer_id = %s and subject = %s and kid is null returning 1"
            )
            self._row(connection, query, values)

        self._call(work)

    # What an operator asks

    def kids(self, customer: str, subject: str) -> list[UUID]:
        """The ids of the subject's live keys. Makes none."""
        found = self._call(lambda connection: self._find(connection, customer, subject))
        return [] if found is None or found[0] is None else [found[0]]

    def is_erased(self, customer: str, subject: str) -> bool:
        """Whether the subject was erased, and not readmitted."""
        found = self._call(lambda connection: self._find(connection, customer, subject))
        return found is not None and found[0] is None

    def bury(self, customer: str, kids: Iterable[UUID], reason: str) -> list[UUID]:
        """Destroys keys by their ids, whether they are there or not, and keeps them from coming back.

        A key of another customer stays: see :meth:`of_others`.

        Returns:
            Those that had no tombstone yet.
        """
        wanted = list(kids)

        def work(connection: AnyConnection) -> list[UUID]:
            return [kid for kid in wanted if self._row(connection, _BURY, (kid, customer, reason)) is not None]

        buried = self._call(work)
        self._forget(wanted)
        return buried

    def check_eraser(self) -> None:
        """Refuses a login that may not destroy keys.

        Raises:
            InstallationError: it lacks INSERT on the tombstones.
            NotConnectedError, SchemaVersionError: as :meth:`key_for`.
        """
        query = "select session_user, has_table_privilege('aximo_vault.tombstones', 'insert')"
        ((login, is_eraser),) = self._rows(query, ())
        if not is_eraser:
            raise InstallationError(
                "the vault's login may not destroy keys",
                rule="vault_login_erases",
                detail=f"login {login!r} lacks INSERT on aximo_vault.tombstones",
                hint="As the owner of the vault: grant insert on aximo_vault.tombstones to it. Nothing was recorded.",
            )

    def of_others(self, customer: str, kids: Iterable[UUID]) -> list[UUID]:
        """Those that are live keys of other customers."""
        return [kid for (kid,) in self._rows(_OTHERS, (list(kids), customer))]

    def rewrap(self, progress: Callable[[Rewrapped], object] | None = None) -> Rewrapped:
        """Wraps every live key by the wrapping key as it is now: by the first, if there are several.

        May be stopped at any time and run again, beside services, erasures and itself. A key that is erased meanwhile
        stays erased. What the first key of a file or a variable opens is passed over; whether a key management service
        would wrap another way can't be told, so there every key is wrapped anew, at each run.

        Args:
            progress: called after each few hundred keys with what was done so far.

        Raises:
            VaultError: a wrapping key is missing or malformed, or does not open what it wraps.
            NotConnectedError, SchemaVersionError: as :meth:`key_for`.
        """
        done = Rewrapped()
        after: tuple[str, bytes] = ("", b"")
        while True:
            page = self._rows(_LIVE, (*after, _PAGE))
            if not page:
                return done
            after = page[-1][0], page[-1][1]
            self._rewrap_page([(kid, wrapped) for _, _, kid, wrapped in page], done)
            if progress is not None:
                progress(done)

    def migrate(self) -> list[int]:
        """Makes the schema, or brings it up to date, in one transaction; returns the numbers of the files it ran.

        Raises:
            SchemaVersionError: a newer package made it.
            InstallationError: the database refused.
        """

        def work(connection: AnyConnection) -> list[int]:
            cursor = LedgerCursor(connection)
            cursor.execute("select pg_advisory_xact_lock(hashtextextended('aximo_vault', 0))", prepare=False)
            version = self._version(connection)
            if version > _NEWEST:
                raise _newer(version)
            ran = [number for number in _FILES if number > version]
            for number in ran:
                # The driver's own cursor takes several statements at once.
                psycopg.Cursor(connection).execute(_FILES[number].read_bytes())
                self._row(connection, "insert into aximo_vault.version (version) values (%s) returning 1", (number,))
            return ran

        return self._call(work, is_migrating=True)

    def shares_with_ledger(self) -> bool:
        """Whether a ledger is in the same database, so that its backups hold the keys."""
        row = self._call(
            lambda connection: self._row(connection, "select to_regnamespace('aximo_private') is not null"),
            is_migrating=True,
        )
        return row is not None and bool(row[0])

    # How

    def _rewrap_page(self, keys: Sequence[tuple[UUID, bytes]], done: Rewrapped) -> None:
        """Wraps these keys anew; again those that somebody else changed or held meanwhile, one at a time."""
        waits = False
        while keys:
            anew = [(kid, was, wrapped) for kid, was in keys if (wrapped := self._anew(kid, was, done)) is not None]
            if waits:
                left = [kid for kid, was, wrapped in anew if not self._rows(_REWRAP_ONE, (wrapped, kid, was))]
            else:
                columns = [list(column) for column in zip(*anew, strict=True)]
                stored = {kid for (kid,) in self._rows(_REWRAP, columns)} if anew else set()
                left = [kid for kid, _, _ in anew if kid not in stored]
            done.wrapped += len(anew) - len(left)
            # Those that are not there any more were erased.
            keys = [(kid, wrapped) for kid, wrapped in self._rows(_STILL, (left,))] if left else []
            waits = True

    def _anew(self, kid: UUID, wrapped: bytes, done: Rewrapped) -> bytes | None:
        """The key, wrapped by the wrapping key as it is now; ``None`` if it is, or can't be opened."""
        if isinstance(self._key, LocalKeys) and self._key.is_by_first(wrapped):
            done.passed_over += 1
            return None
        try:
            key = self._key.unwrap(wrapped)
        except VaultError as error:
            if error.rule == "wrapping_key_present":
                raise  # that says nothing of this key
            done.unopened.append(kid)
            return None
        return self._wrapped(key, f"kid {kid}, which stays as it is")

    def _wrapped(self, key: bytes, told: str) -> bytes:
        """The key as it is stored: wrapped, and so that it opens."""
        wrapped = self._key.wrap(key)
        if not isinstance(wrapped, bytes) or not wrapped or self._key.unwrap(wrapped) != key:
            raise VaultError(
                "the wrapping key does not open what it wraps",
                rule="wrapping_key_fits",
                detail=told,
                hint="Look at what wraps and what unwraps: both have to know the same key.",
            )
        return wrapped

    def _rows(self, query: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        """The rows of a statement, in a transaction of its own."""

        def work(connection: AnyConnection) -> list[tuple[Any, ...]]:
            return LedgerCursor(connection).execute(query, values, prepare=False).fetchall()

        return self._call(work)

    def _remember(self, cache: dict[Any, tuple[float, Any]], name: object, since: float, value: object) -> None:
        if self._cache_for == 0:
            return
        with self._lock:
            cache.pop(name, None)
            cache[name] = (since + self._cache_for, value)
            while len(cache) > _MOST_CACHED:
                del cache[next(iter(cache))]

    def _forget(self, kids: Iterable[UUID]) -> None:
        gone = set(kids)
        with self._lock:
            for kid in gone:
                self._opened.pop(kid, None)
            for name in [name for name, (_, (kid, _)) in self._live.items() if kid in gone]:
                del self._live[name]

    def _found_or_made(self, connection: AnyConnection, customer: str, subject: str) -> tuple[UUID, bytes]:
        found = self._find(connection, customer, subject)
        if found is None:
            self._check_key(connection)
            kid = uuid4()
            wrapped = self._wrapped(secrets.token_bytes(32), f"kid {kid}, which is not kept")
            self._row(connection, _MAKE, (customer, self._hashed(connection, customer, subject), kid, wrapped))
            # Whoever made it: there is one now.
            found = self._find(connection, customer, subject)
        if found is None or found[0] is None:
            raise VaultError(
                "this subject was erased",
                rule="subject_not_erased",
                detail="nothing of it can be sealed any more",
                hint="Leave the value out. If the person came back: aximo-db vault readmit.",
            )
        return found[0], found[1]

    def _check_key(self, connection: AnyConnection) -> None:
        """Refuses to make a key that is wrapped by another key than those that are there."""
        if self._key_fits:
            return
        query = "select wrapped from aximo_vault.subjects where wrapped is not null order by since desc limit 1"
        row = self._row(connection, query)
        if row is not None:
            self._key.unwrap(row[0])
        self._key_fits = True

    def _find(self, connection: AnyConnection, customer: str, subject: str) -> tuple[UUID | None, bytes] | None:
        found = self._row(connection, _FIND, (customer, self._hashed(connection, customer, subject)))
        return None if found is None else (found[0], found[1])

    def _hashed(self, connection: AnyConnection, customer: str, subject: str) -> bytes:
        """What the vault knows a subject by: made here, so that no name of one reaches its server."""
        if self._salt is None:
            row = self._row(connection, "select salt from aximo_vault.salt")
            if row is None:
                raise SchemaVersionError(
                    "the vault lacks its salt",
                    rule="vault_installed",
                    detail="aximo_vault.salt is empty, so no subject is known",
                    hint="Restore that row from the vault's backup.",
                )
            self._salt = row[0]
        return hmac.new(self._salt, json.dumps([customer, subject]).encode(), hashlib.sha256).digest()

    @staticmethod
    def _row(connection: AnyConnection, query: str, values: tuple[Any, ...] = ()) -> tuple[Any, ...] | None:
        cursor = LedgerCursor(connection)
        cursor.execute(query, values, prepare=False)
        return cursor.fetchone()

    def _version(self, connection: AnyConnection) -> int:
        row = self._row(connection, "select to_regclass('aximo_vault.version') is not null")
        if row is None or not row[0]:
            return 0
        row = self._row(connection, "select coalesce(max(version), 0) from aximo_vault.version")
        return int(row[0]) if row is not None else 0

    def _call(self, work: Callable[[AnyConnection], T], *, is_migrating: bool = False) -> T:
        """Does the work in a transaction; once more on another connection if the first one was lost.

        Each piece of work leaves what it would leave if it is done twice.
        """

        def attempt(connection: AnyConnection, _: bool) -> T:
            with connection.transaction():
                for statement in _SAFELY:
                    LedgerCursor(connection).execute(statement, prepare=False)
                if not is_migrating and not self._connections.was_used:
                    self._check_version(connection)
                return work(connection)

        for last in (False, True):
            try:
                result = self._connections.call(attempt)
            except psycopg.Error as error:
                if is_connection_loss(error) or isinstance(error, psycopg.InterfaceError):
                    if last:
                        raise NotConnectedError(
                            "the vault can't be reached",
                            rule="vault_reachable",
                            detail=told_by(error),
                            hint="Nothing was sent to the ledger. See whether the vault's server runs.",
                        ) from error
                    with suppress(psycopg.Error):
                        self._connections.close()
                    continue
                meaning = translate(error)
                if meaning is None:
                    raise
                raise meaning from error
            self._connections.was_used |= not is_migrating
            return result
        raise AssertionError  # the second attempt returned or raised

    def _check_version(self, connection: AnyConnection) -> None:
        version = self._version(connection)
        if version == 0:
            raise SchemaVersionError(
                "there is no vault in this database",
                rule="vault_installed",
                hint="Run aximo-db vault migrate as the database's owner, or look whether it is the right database.",
            )
        if version > _NEWEST:
            raise _newer(version)
        if version < _NEWEST:
            raise SchemaVersionError(
                "the vault is older than this package",
                rule="vault_recent_enough",
                detail=f"it is at {version}, and {_NEWEST} is needed",
                hint="Run aximo-db vault migrate as the database's owner.",
            )


def _newer(version: int) -> SchemaVersionError:
    return SchemaVersionError(
        "a newer package made this vault",
        rule="vault_known",
        detail=f"it is at {version}, and this package knows {_NEWEST}",
        hint="Upgrade the package aximo-db.",
    )
