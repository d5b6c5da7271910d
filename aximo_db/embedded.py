"""The names of :mod:`aximo_db.local.embedded`, where programs import them from."""

from aximo_db.local.embedded import EmbeddedServer, embedded_binaries

__all__ = [
    "EmbeddedServer",
    "embedded_binaries",
]
