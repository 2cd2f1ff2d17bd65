"""Traps 2, 3, 4 and 15: fields that only the end of a history, the calendar or a simulator can fill."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from forewarn.targets.lint import Finding, Severity


def of(findings: list[Finding], check: str) -> dict[str, Severity]:
    return {finding.subject: finding.severity for finding in findings if finding.check == check}


def test_a_state_that_is_closed_from_the_first_event_on_is_an_error(lint_onsets: Any) -> None:
    def plant(rows: Any, bad: bool, number: int, dice: Any) -> None:
        state = dice.choice(["Closed", "Closed", "Open"])
        for row in rows:
            row["ticket_status"] = state

    assert of(lint_onsets(plant), "current instead of at-event value") == {"ticket_status": Severity.ERROR}


def test_a_state_that_never_moves_is_a_warning_and_a_product_is_not(lint_onsets: Any) -> None:
    def plant(rows: Any, bad: bool, number: int, dice: Any) -> None:
        for row in rows:
            row["stage"] = ["first", "second"][number % 2]
            row["country"] = ["uk", "us"][number % 2]

    assert of(lint_onsets(plant), "current instead of at-event value") == {"stage": Severity.WARNING}


def test_final_counters_on_the_first_row_are_an_error_and_running_ones_are_not(lint_onsets: Any) -> None:
    def plant(rows: Any, bad: bool, number: int, dice: Any) -> None:
        for i, row in enumerate(rows):
            row["reply_count"] = float(len(rows))
            row["running_count"] = float(i)

    assert of(lint_onsets(plant), "current instead of at-event value") == {"reply_count": Severity.ERROR}


def test_a_whole_life_aggregate_is_an_error_whatever_its_name(lint_verdicts: Any) -> None:
    def plant(rows: Any, bad: bool, number: int, dice: Any) -> None:
        for row in rows:
            row["x17"] = (rows[-1]["occurred_at"] - rows[0]["occurred_at"]).total_seconds() / 3_600
            row["tenure_years"] = float(number % 11)

    assert of(lint_verdicts(plant), "whole-life aggregate") == {"x17": Severity.ERROR}


def test_a_field_named_for_the_end_and_filled_from_the_first_event_is_a_warning(lint_verdicts: Any) -> None:
    def plant(rows: Any, bad: bool, number: int, dice: Any) -> None:
        code = dice.choice(["fixed", "duplicate", "no answer"])
        for row in rows:
            row["closed_code"] = code

    assert of(lint_verdicts(plant), "whole-life aggregate") == {"closed_code": Severity.WARNING}


def test_a_time_from_the_future_is_an_error_and_a_due_date_is_not(lint_verdicts: Any) -> None:
    def plant(rows: Any, bad: bool, number: int, dice: Any) -> None:
        for row in rows:
            row["last_touch"] = rows[-1]["occurred_at"].timestamp() - dice.random()
            row["due_at"] = (row["occurred_at"] + timedelta(hours=dice.random() * 2_000)).timestamp()

    assert of(lint_verdicts(plant), "time from the future") == {"last_touch": Severity.ERROR}


@pytest.mark.parametrize("planted", ["date", "ticket number", "falling"])
def test_a_number_that_names_the_day_is_a_warning(lint_verdicts: Any, planted: str) -> None:
    def plant(rows: Any, bad: bool, number: int, dice: Any) -> None:
        first = rows[0]["occurred_at"].timestamp()
        for row in rows:
            row["n"] = {"date": first, "ticket number": 7_000.0 + number, "falling": -first}[planted]

    assert of(lint_verdicts(plant), "calendar in disguise") == {"n": Severity.WARNING}


def test_a_log_without_a_clock_has_no_calendar(lint_verdicts: Any) -> None:
    def plant(rows: Any, bad: bool, number: int, dice: Any) -> None:
        for row in rows:
            row["n"] = float(number)

    assert not of(lint_verdicts(plant, clock=False), "calendar in disguise")


def test_a_rating_on_every_event_is_an_error_and_one_on_its_answer_is_not(lint_onsets: Any) -> None:
    def plant(rows: Any, bad: bool, number: int, dice: Any) -> None:
        stars = float(dice.randint(1, 5))
        for row in rows:
            row["csat"] = stars
        rows[-1]["nps"] = stars

    assert of(lint_onsets(plant), "rating written back") == {"csat": Severity.ERROR}


def test_ratings_after_the_outcome_are_a_warning(lint_verdicts: Any) -> None:
    def plant(rows: Any, bad: bool, number: int, dice: Any) -> None:
        if bad:
            rows[-2]["sla_kept"] = "no"
        asked = rows[-2]["occurred_at"] + timedelta(seconds=1)
        rows.insert(-1, rows[-2] | {"type": "survey.answered", "occurred_at": asked, "text": "…"})

    assert of(lint_verdicts(plant), "rating after the outcome") == {"missed": Severity.WARNING}


def test_the_simulators_truth_is_an_error_and_a_synthetic_flag_a_warning(lint_onsets: Any) -> None:
    def plant(rows: Any, bad: bool, number: int, dice: Any) -> None:
        for row in rows:
            row["strain"] = dice.random()
            row["is_synthetic"] = ["true", "false"][number % 2]

    expected = {"strain": Severity.ERROR, "is_synthetic": Severity.WARNING}
    assert of(lint_onsets(plant), "simulator's parameters") == expected
