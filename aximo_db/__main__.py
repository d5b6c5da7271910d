"""``python -m aximo_db`` is ``aximo-db``."""

from aximo_db.cli import main

main()
