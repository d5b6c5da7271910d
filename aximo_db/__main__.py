"""``python -m aximo_db`` is ``aximo-db``."""

from aximo_db.cli.app import main

main()
