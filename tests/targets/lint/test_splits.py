"""Traps 8, 9 and 10: what the split lets training know, and rows whose length or place tells the outcome."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from forewarn.targets import ProtocolConfig
from forewarn.targets.lint import Finding, Severity


def of(findings: list[Finding], check: str) -> dict[str, Severity]:
    return {finding.subject: finding.severity for finding in findings if finding.check == check}


def test_training_that_is_observed_beyond_the_cut_is_an_error(lint_onsets: Any, onset_cut: Any) -> None:
    leaky = {"learn_until": onset_cut + timedelta(days=10)}
    findings = lint_onsets(protocol=ProtocolConfig(), assignment=leaky)
    expected = dict.fromkeys(["protocol", "escalation"], Severity.ERROR)
    assert of(findings, "training beyond the cut") == expected


@pytest.mark.parametrize("purge", ["0s", "8d"])
def test_a_temporal_split_masks_what_its_labels_cannot_see(lint_onsets: Any, purge: str) -> None:
    assert not of(lint_onsets(protocol=ProtocolConfig(purge=purge)), "training beyond the cut")


def test_a_random_split_is_a_warning_and_a_customer_split_a_note(lint_verdicts: Any) -> None:
    check = "training and test share time or customers"
    assert of(lint_verdicts(protocol=ProtocolConfig("random", split="random")), check).keys() == {"protocol random"}
    findings = lint_verdicts(protocol=ProtocolConfig("random", split="random"))
    assert {f.severity for f in findings if f.check == check} == {Severity.WARNING, Severity.NOTE}
    findings = lint_verdicts(protocol=ProtocolConfig("customer", split="customer"))
    assert [f.severity for f in findings if f.check == check] == [Severity.NOTE]


def test_customers_on_both_sides_are_counted(lint_verdicts: Any) -> None:
    noted = [f for f in lint_verdicts() if f.check == "training and test share time or customers"]
    assert len(noted) == 1 and 0 < noted[0].figures["shared"] <= 1


def test_a_base_rate_that_shifts_between_the_splits_is_a_warning(lint_verdicts: Any) -> None:
    def plant(rows: Any, bad: bool, number: int, dice: Any) -> None:
        rows[-1]["sla_kept"] = "no" if dice.random() < (0.7 if number < 130 else 0.1) else "yes"

    found = [f for f in lint_verdicts(plant) if f.check == "base rate shifts between training and test"]
    assert [f.severity for f in found] == [Severity.WARNING]
    assert found[0].figures["train"] > 0.5 > found[0].figures["test"]


def test_a_length_that_tells_the_outcome_is_a_warning(lint_verdicts: Any) -> None:
    def plant(rows: Any, bad: bool, number: int, dice: Any) -> None:
        if bad:
            rows[1:1] = [rows[1] | {"occurred_at": rows[1]["occurred_at"] - timedelta(seconds=i)} for i in range(9)]

    assert of(lint_verdicts(plant), "length tells the outcome") == {"missed": Severity.WARNING}


def test_a_verdict_read_from_its_own_row_is_noted(lint_shown_verdicts: Any) -> None:
    assert of(lint_shown_verdicts(), "verdict read from the row itself") == {"missed": Severity.NOTE}
