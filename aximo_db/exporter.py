"""The names of :mod:`aximo_db.lines.exporter`, where programs import them from."""

from aximo_db.lines.exporter import Exported, export_log, number_new_events

__all__ = [
    "Exported",
    "export_log",
    "number_new_events",
]
