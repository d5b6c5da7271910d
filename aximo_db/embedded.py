"""The names of :mod:`aximo_db.local.embedded`, where programs import them from."""

from aximo_db.local.embedded import *  # noqa: F403
from aximo_db.local.embedded import __all__ as __all__
