"""What a score means to a person: the reason events behind a risk."""

from __future__ import annotations

from forewarn.risk.reasons import Reason, contributions, reasons

__all__ = ["Reason", "contributions", "reasons"]
