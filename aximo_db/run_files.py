"""The names of :mod:`aximo_db.lines.run_files`, where programs import them from."""

from aximo_db.lines.run_files import (
    LineMissing,
    RunEventMissing,
    RunLogSummary,
    export_run_log,
    export_runs,
    import_run_log,
    import_runs,
)

__all__ = [
    "LineMissing",
    "RunEventMissing",
    "RunLogSummary",
    "export_run_log",
    "export_runs",
    "import_run_log",
    "import_runs",
]
