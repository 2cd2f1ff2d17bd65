"""The leakage linter: every trap of docs/leakage.md that data can show is a check with numbers and advice.

Design choices
- Checks read one columnar table of sampled histories; none reads files, knows Hydra or needs torch.
- Names only raise a suspicion; a finding needs numbers. False alarms cost trust, so thresholds are far from what honest
  fields of the public logs reach, and each stands in its check with its reason.
- Whatever looks for the label in inputs reads training and validation alone; the test's labels only enter as a rate.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from forewarn.targets.lint import (
    arrival,
    calendar,
    copies,
    giveaways,
    length,
    lifetime,
    merges,
    ratings,
    service_level,
    simulated,
    split,
    state,
    survivors,
)
from forewarn.targets.lint.collect import collect
from forewarn.targets.lint.finding import Check, Finding, Severity
from forewarn.targets.lint.table import Inputs, LintTable

CHECKS: tuple[Check, ...] = (
    copies.COPIED,
    copies.TELLING,
    giveaways.BEFORE,
    state.CURRENT,
    lifetime.AGGREGATES,
    lifetime.LATER,
    calendar.CALENDAR,
    ratings.BACKFILLED,
    ratings.AFTERWARDS,
    arrival.LATE_TEXT,
    arrival.EDITED_ROWS,
    merges.MERGES,
    split.FUTURE,
    length.PROXY,
    length.OWN_EVENT,
    split.OVERLAP,
    split.BASE_RATE,
    giveaways.AFTER,
    service_level.BREACHES,
    service_level.DECIDED,
    arrival.IMPORTS,
    arrival.EARLY,
    survivors.SURVIVORS,
    simulated.SIMULATED,
)
_ORDER = list(Severity)


def run_checks(table: LintTable, checks: Iterable[Check] = CHECKS) -> list[Finding]:
    """The findings of the checks on a table, errors first."""
    return by_severity(finding for check in checks for finding in check.run(table))


def by_severity(findings: Iterable[Finding]) -> list[Finding]:
    """Errors, then warnings, then notes; otherwise the order of the checks."""
    return sorted(findings, key=lambda finding: _ORDER.index(finding.severity))


def count_severities(findings: Iterable[Finding]) -> dict[str, int]:
    """How many findings of each severity, zeros included."""
    counts = Counter(finding.severity for finding in findings)
    return {severity.value: counts[severity] for severity in Severity}


__all__ = [
    "CHECKS",
    "Check",
    "Finding",
    "Inputs",
    "LintTable",
    "Severity",
    "by_severity",
    "collect",
    "count_severities",
    "run_checks",
]
