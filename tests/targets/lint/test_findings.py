"""What holds of every check and every finding, and that an honest log passes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from forewarn.targets.lint import CHECKS, Severity, count_severities


@pytest.mark.parametrize("log", ["lint_verdicts", "lint_onsets"])
def test_an_honest_log_passes(log: str, request: pytest.FixtureRequest) -> None:
    findings = request.getfixturevalue(log)()
    assert not [str(finding) for finding in findings if finding.severity != Severity.NOTE]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_every_check_explains_itself(check: Any) -> None:
    assert 1 <= check.trap <= 15
    assert all(len(text) > 20 for text in (check.looks_at, check.why, check.fix))


def test_check_names_tell_them_apart() -> None:
    assert len({check.name for check in CHECKS}) == len(CHECKS)


def test_every_check_and_every_trap_is_in_the_documentation(repository: Path) -> None:
    page = (repository / "docs" / "leakage.md").read_text()
    assert not [check.name for check in CHECKS if f"| {check.name} |" not in page]
    assert not [trap for trap in range(1, 16) if f"| {trap} " not in page]


def test_a_finding_says_what_it_saw_why_it_matters_and_what_to_do(lint_verdicts: Any) -> None:
    def plant(rows: Any, bad: bool, number: int, dice: Any) -> None:
        for row in rows:
            row["kept"] = row["sla_kept"]

    finding = lint_verdicts(plant)[0]
    assert str(finding).startswith("error (trap 1, copy of the evidence): kept: tells the value of sla_kept")
    assert finding.why in str(finding) and finding.fix in str(finding)
    assert finding.figures["errors_removed"] == 1.0


def test_errors_come_first_and_are_counted(lint_verdicts: Any) -> None:
    def plant(rows: Any, bad: bool, number: int, dice: Any) -> None:
        for row in rows:
            row["kept"] = row["sla_kept"]
            row["closing_time"] = float(len(rows))

    findings = lint_verdicts(plant)
    order = [list(Severity).index(finding.severity) for finding in findings]
    assert order == sorted(order) and order[0] == 0
    counts = count_severities(findings)
    assert counts.keys() == {"error", "warning", "note"} and sum(counts.values()) == len(findings)


def test_fewer_histories_than_a_share_can_be_read_from_find_nothing(lint_onsets: Any) -> None:
    def plant(rows: Any, bad: bool, number: int, dice: Any) -> None:
        for row in rows:
            row["closed_total"] = float(len(rows))

    assert lint_onsets(plant, most_events=60) == []
