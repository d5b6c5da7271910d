"""The names of ``aximo_db.report`` that a terminal needs: reading metrics, and printing them."""

from __future__ import annotations

from aximo_db.report.query import Grain, read_metrics
from aximo_db.report.terminal import print_metrics
from aximo_db.report.values import human_ms, human_rate

__all__ = ["Grain", "human_ms", "human_rate", "print_metrics", "read_metrics"]
