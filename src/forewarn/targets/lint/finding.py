"""What a check of the linter says: a finding with its numbers, why it matters and what to do about it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from forewarn.targets.lint.table import LintTable


class Severity(StrEnum):
    """error: inputs reveal the label; warning: suspicious, look before you trust a number; note: know it."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


class Hit(NamedTuple):
    """What a check found: about which field or task, the evidence in a sentence, and the figures behind it."""

    severity: Severity
    subject: str
    evidence: str
    figures: dict[str, Any]


@dataclass(frozen=True)
class Finding:
    """A hit with the check it comes from; ``trap`` is the trap's number in docs/leakage.md."""

    severity: Severity
    trap: int
    check: str
    subject: str
    evidence: str
    why: str
    fix: str
    figures: dict[str, Any]

    def __str__(self) -> str:
        return (
            f"{self.severity} (trap {self.trap}, {self.check}): {self.subject}: {self.evidence}.\n"
            f"    Why it matters: {self.why}\n    What to do: {self.fix}"
        )


@dataclass(frozen=True)
class Check:
    """One trap that can be detected: its number, its name, what it looks at, why it matters and what to do."""

    trap: int
    name: str
    looks_at: str
    why: str
    fix: str
    search: Callable[[LintTable], Iterator[Hit]]

    def run(self, table: LintTable) -> list[Finding]:
        """The findings of this check on a table."""
        return [
            Finding(hit.severity, self.trap, self.name, hit.subject, hit.evidence, self.why, self.fix, hit.figures)
            for hit in self.search(table)
        ]
