"""The names of :mod:`aximo_db.client.errors`, where programs import them from."""

from aximo_db.client.errors import *  # noqa: F403
from aximo_db.client.errors import __all__ as __all__
