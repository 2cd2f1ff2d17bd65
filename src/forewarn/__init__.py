"""forewarn: which customers are about to escalate, why, and what to do about it."""

from __future__ import annotations

__version__ = "0.1.0"
