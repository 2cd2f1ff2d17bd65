"""What a field's name says. A name is a hint and never more: each check asks the values too."""

from __future__ import annotations

import re

_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")

STATE = frozenset({"state", "status", "stage", "phase"})
SETTLED = frozenset(
    {"closed", "resolved", "solved", "done", "completed", "complete", "cancelled", "canceled", "finished", "settled",
     "archived", "terminated"}
)  # fmt: skip
COUNTER = frozenset(
    {"count", "counts", "counter", "reopens", "reassignments", "transfers", "handoffs", "touches", "replies",
     "comments", "messages", "updates", "interactions", "contacts"}
)  # fmt: skip
LIFETIME = frozenset(
    {"closed", "close", "closing", "closure", "resolved", "resolution", "resolve", "solved", "total", "final",
     "lifetime", "overall", "outcome", "ended"}
)  # fmt: skip
PLANNED = frozenset(
    {"due", "deadline", "until", "expires", "expiry", "expiration", "renews", "renewal", "scheduled", "appointment",
     "promised", "eta", "next", "planned", "target", "expected", "estimated"}
)  # fmt: skip
RATING = frozenset({"rating", "ratings", "rated", "csat", "nps", "ces", "satisfaction", "survey", "feedback", "stars"})
EDITED = frozenset({"edited", "modified", "updated", "changed", "redacted"})
SPOKEN = frozenset({"transcript", "transcription", "transcribed", "wrapup", "recording", "voicemail", "summary"})
SERVICE_LEVEL = frozenset({"sla", "slas", "breach", "breached", "breaches", "overdue", "violated", "violation"})
MERGE = frozenset({"merge", "merged"})
ERASE = frozenset({"erase", "erased", "erasure", "gdpr", "anonymised", "anonymized"})
SIMULATION = frozenset({"latent", "simulated", "simulator", "simulation", "synthetic"})


def words(name: str) -> set[str]:
    """The lower-case words of a name: ``closedAt``, ``closed_at`` and ``case.closed-at`` all hold ``closed``."""
    return {word.lower() for word in _WORD.findall(name)}
