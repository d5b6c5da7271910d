"""``python -m aximo_db.audit``."""

import sys

from aximo_db.audit.check import main

sys.exit(main())
