"""What the page calls an incident, which an alert has to find once."""

from __future__ import annotations

from typing import Any, NamedTuple


class Incident(NamedTuple):
    """The word in the singular and the plural."""

    one: str
    many: str

    @classmethod
    def of(cls, numbers: dict[str, Any]) -> Incident:
        """A case under the target's `per`, else a history; `numbers` are those of the whole report."""
        return cls("history", "histories") if numbers["per"] is None else cls("case", "cases")
