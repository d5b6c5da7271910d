"""The names of :mod:`aximo_db.lines.exporter`, where programs import them from."""

from aximo_db.lines.exporter import *  # noqa: F403
from aximo_db.lines.exporter import __all__ as __all__
