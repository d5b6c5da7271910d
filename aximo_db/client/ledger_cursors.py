"""The cursors that the package's statements go through, on whatever connection.

Nothing of a caller's connection changes what they send or return: not its row factory, cursor class, adapters, nor the
session's DateStyle, IntervalStyle, TimeZone, bytea_output or extra_float_digits. Results come in PostgreSQL's binary
form, which knows none of these settings, and are read by the driver's own adapters as they are by default.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeAlias

import psycopg
from psycopg import AsyncCursor, Cursor
from psycopg.abc import Buffer
from psycopg.adapt import AdaptersMap, Loader
from psycopg.postgres import register_default_adapters
from psycopg.postgres import types as postgres_types
from psycopg.pq import Format
from psycopg.rows import tuple_row
from psycopg.types.array import register_all_arrays
from psycopg.types.json import set_json_loads

from aximo_db.client.events import exact_json, readable_json

__all__ = ["AsyncLedgerCursor", "LedgerCursor"]

RowFactory: TypeAlias = Callable[[Any], Callable[[Any], Any]]

_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
_LATEST: Final = 2**63 - 1  # PostgreSQL's infinity
_EARLIEST: Final = -(2**63)


class _UtcLoader(Loader):
    """A moment in UTC, whatever the session's time zone is."""

    format = Format.BINARY

    def load(self, data: Buffer) -> datetime:
        microseconds = int.from_bytes(data, "big", signed=True)
        try:
            return _EPOCH + timedelta(microseconds=microseconds)
        except OverflowError:
            if microseconds in (_LATEST, _EARLIEST):
                raise psycopg.DataError("a moment without end is none that Python has") from None
            raise psycopg.DataError("a moment outside of the years 1 to 9999, UTC") from None


def _own_adapters(loads: Callable[[str | bytes], Any]) -> AdaptersMap:
    adapters = AdaptersMap(types=postgres_types)
    register_default_adapters(adapters)
    register_all_arrays(adapters)
    set_json_loads(loads, adapters)
    adapters.register_loader("timestamptz", _UtcLoader)
    return adapters


_ADAPTERS: Final = _own_adapters(readable_json)
_EXACT_ADAPTERS: Final = _own_adapters(exact_json)


class _OwnResults:
    """What the two cursors have in common; goes before the driver's class."""

    format: Format

    def __init__(self, connection: Any, *, row_factory: RowFactory = tuple_row, exact: bool = False) -> None:
        self._own_adapters = _EXACT_ADAPTERS if exact else _ADAPTERS
        super().__init__(connection, row_factory=row_factory)  # type: ignore[call-arg]
        self.format = Format.BINARY

    @property
    def adapters(self) -> AdaptersMap:
        """The driver's adapters by default, not the connection's."""
        return self._own_adapters


class LedgerCursor(_OwnResults, Cursor[Any]):
    """A cursor of the package's own.

    Args:
        connection: any.
        row_factory: makes what is fetched of a row.
        exact: whether numbers in JSON keep every digit, as Decimals.
    """


class AsyncLedgerCursor(_OwnResults, AsyncCursor[Any]):
    """An asynchronous cursor of the package's own. Arguments as :class:`LedgerCursor`."""
