"""What a check found."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

__all__ = ["Verdict"]


@dataclass(slots=True)
class Verdict:
    """What a check found.

    Attributes:
        ok: whether everything that was to be shown holds.
        findings: in words, one a line; with ``ok`` what was shown, else what is wrong.
        facts: the same for programs.
    """

    ok: bool = True
    findings: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {"ok": self.ok, "findings": self.findings, **self.facts}

    def fail(self, finding: str) -> None:
        """Adds what is wrong."""
        self.ok = False
        self.findings.append(finding)
