"""Traps 6, 7, 13 and 14: when things became visible, whose they are, and who is left in the data."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from forewarn.targets.lint import Finding, Severity


def of(findings: list[Finding], check: str) -> dict[str, Severity]:
    return {finding.subject: finding.severity for finding in findings if finding.check == check}


def call(row: Any, lag: timedelta) -> dict[str, Any]:
    known = row["occurred_at"] + lag
    return {"type": "call.transcript", "occurred_at": row["occurred_at"], "ingested_at": known, "text": "agent: hello"}


def test_transcripts_known_the_second_they_were_spoken_are_a_warning(lint_onsets: Any) -> None:
    def at_once(rows: Any, bad: bool, number: int, dice: Any) -> None:
        rows.append(call(rows[1], timedelta(0)))

    def later(rows: Any, bad: bool, number: int, dice: Any) -> None:
        rows.append(call(rows[1], timedelta(minutes=40)))

    assert of(lint_onsets(at_once), "transcripts without a time of arrival") == {"type": Severity.WARNING}
    assert not of(lint_onsets(later), "transcripts without a time of arrival")


def test_rows_edited_after_they_became_visible_are_a_warning(lint_onsets: Any) -> None:
    def plant(rows: Any, bad: bool, number: int, dice: Any) -> None:
        for row in rows:
            edited = dice.random() < 0.1
            row["edited_at"] = (row["occurred_at"] + timedelta(hours=9 if edited else 0)).timestamp()
            row["updated_at"] = row["occurred_at"].timestamp()

    assert of(lint_onsets(plant), "rows edited after they became visible") == {"edited_at": Severity.WARNING}


def test_a_bulk_import_is_a_warning(lint_onsets: Any) -> None:
    moment = None

    def plant(rows: Any, bad: bool, number: int, dice: Any) -> None:
        nonlocal moment
        moment = moment or rows[0]["occurred_at"] + timedelta(days=30)
        for row in rows:
            row["ingested_at"] = max(row["occurred_at"], moment)

    findings = lint_onsets(plant)
    assert of(findings, "bulk import") == {"ingested_at": Severity.WARNING}
    assert next(f for f in findings if f.check == "bulk import").figures["moments"] == 1


def test_a_feed_that_is_read_every_hour_is_no_import(lint_onsets: Any) -> None:
    def plant(rows: Any, bad: bool, number: int, dice: Any) -> None:
        for row in rows:
            hour = row["occurred_at"].replace(minute=0, second=0, microsecond=0)
            row["ingested_at"] = hour + timedelta(hours=1)

    assert not of(lint_onsets(plant), "bulk import")


def test_events_visible_before_they_happened_are_a_warning(lint_onsets: Any) -> None:
    def plant(rows: Any, bad: bool, number: int, dice: Any) -> None:
        for row in rows:
            row["ingested_at"] = row["occurred_at"] - timedelta(hours=2)

    assert of(lint_onsets(plant), "visible before it happened") == {"ingested_at": Severity.WARNING}


def test_cases_that_change_hands_and_events_that_two_claim_are_warnings(lint_onsets: Any) -> None:
    def plant(rows: Any, bad: bool, number: int, dice: Any) -> None:
        rows[1] |= {"customer_id": "somebody else", "event_id": f"shared {number // 2}"}
        rows[0]["case_id"] = f"case {number // 2}"

    expected = dict.fromkeys(["customer_id", "event_id", "case_id"], Severity.WARNING)
    assert of(lint_onsets(plant), "merged histories") == expected


def test_merge_and_erasure_events_are_noted(lint_onsets: Any) -> None:
    def plant(rows: Any, bad: bool, number: int, dice: Any) -> None:
        if number % 10 == 0:
            rows.append({"type": "lifecycle.merge", "occurred_at": rows[-1]["occurred_at"]})
            rows.append({"type": "lifecycle.erase", "occurred_at": rows[-1]["occurred_at"]})

    findings = lint_onsets(plant)
    assert of(findings, "merged histories") == {"type": Severity.NOTE}
    assert of(findings, "only some survived") == {"type": Severity.NOTE}


def test_a_period_from_which_only_bad_endings_were_kept_is_a_warning(survivors: Any) -> None:
    assert of(survivors(kept_only_bad_until=120), "only some survived") == {"missed": Severity.WARNING}
    assert not of(survivors(kept_only_bad_until=0), "only some survived")
