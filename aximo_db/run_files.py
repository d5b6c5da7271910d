"""The names of :mod:`aximo_db.lines.run_files`, where programs import them from."""

from aximo_db.lines.run_files import *  # noqa: F403
from aximo_db.lines.run_files import __all__ as __all__
