"""Checking a log without its database. Nothing here opens a connection or imports a database driver.

One format a file: :mod:`~aximo_db.audit.merkle`, :mod:`~aximo_db.audit.note`, :mod:`~aximo_db.audit.checkpoint`,
:mod:`~aximo_db.audit.proof`, :mod:`~aximo_db.audit.export`. :mod:`~aximo_db.audit.check` puts them together, and is
what ``python -m aximo_db.audit`` runs.
"""

from aximo_db.audit.check import (
    Verdict,
    check_chunks,
    check_export,
    check_proof,
    check_published,
    check_stamp,
    compare,
    main,
    read_note,
)

__all__ = [
    "Verdict",
    "check_chunks",
    "check_export",
    "check_proof",
    "check_published",
    "check_stamp",
    "compare",
    "main",
    "read_note",
]
