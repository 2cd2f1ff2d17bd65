"""Traps 1, 11 and 12: inputs that say the label, under another name, just before it, or once it is decided."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from forewarn.targets.lint import Finding, Severity


def subjects(findings: list[Finding], check: str, severity: Severity = Severity.ERROR) -> set[str]:
    return {finding.subject for finding in findings if finding.check == check and finding.severity == severity}


def test_a_copied_evidence_field_is_an_error(lint_verdicts: Any) -> None:
    def plant(rows: Any, bad: bool, number: int, dice: Any) -> None:
        for row in rows:
            row["agreement"] = {"yes": "kept", "no": "broken"}[row["sla_kept"]]
            row["percent"] = {"yes": 100.0, "no": 0.0}[row["sla_kept"]]

    assert subjects(lint_verdicts(plant), "copy of the evidence") == {"agreement", "percent"}


def test_a_field_that_resembles_the_evidence_is_no_copy(lint_verdicts: Any) -> None:
    def plant(rows: Any, bad: bool, number: int, dice: Any) -> None:
        for row in rows:
            row["mood"] = row["sla_kept"] if dice.random() < 0.9 else dice.choice(["yes", "no"])

    assert not subjects(lint_verdicts(plant), "copy of the evidence")


def test_one_field_that_tells_the_label_at_single_events_is_an_error(lint_onsets: Any) -> None:
    def plant(rows: Any, bad: bool, number: int, dice: Any) -> None:
        rows.sort(key=lambda row: row["occurred_at"])
        onset = next((i for i, row in enumerate(rows) if row["type"] == "escalation.onset"), -1)
        for i, row in enumerate(rows):
            row["owner_after"] = "supervisor" if i < onset else "desk"

    findings = lint_onsets(plant)
    assert subjects(findings, "one field tells the label") == {"owner_after"}


def test_a_sparse_field_is_judged_where_it_is_carried(lint_verdicts: Any) -> None:
    def plant(rows: Any, bad: bool, number: int, dice: Any) -> None:
        rows[1]["review"] = "late" if bad else "fine"

    assert subjects(lint_verdicts(plant), "one field tells the label") == {"review"}


def test_an_id_of_the_history_tells_nothing(lint_verdicts: Any) -> None:
    def plant(rows: Any, bad: bool, number: int, dice: Any) -> None:
        for row in rows:
            row["ticket"] = f"T{number}"

    assert not [finding for finding in lint_verdicts(plant) if finding.subject == "ticket"]


def test_evidence_written_seconds_before_the_onset_is_an_error(lint_onsets: Any) -> None:
    def plant(rows: Any, bad: bool, number: int, dice: Any) -> None:
        for onset in [row for row in rows if row["type"] == "escalation.onset"]:
            rows.append({"type": "ticket.tag_added", "occurred_at": onset["occurred_at"] - timedelta(seconds=5)})

    findings = lint_onsets(plant)
    assert subjects(findings, "evidence written down just before the onset") == {"type"}
    assert findings[0].figures["values"] == ["ticket.tag_added"]


def test_a_canned_text_seconds_before_the_onset_is_found(lint_onsets: Any) -> None:
    def plant(rows: Any, bad: bool, number: int, dice: Any) -> None:
        for onset in [row for row in rows if row["type"] == "escalation.onset"]:
            row = {"type": "conversation.message", "text": "I am escalating this for you."}
            rows.append(row | {"occurred_at": onset["occurred_at"] - timedelta(seconds=5)})

    assert subjects(lint_onsets(plant), "evidence written down just before the onset") == {"text"}


def test_a_warning_sign_hours_before_the_onset_is_no_leak(lint_onsets: Any) -> None:
    def plant(rows: Any, bad: bool, number: int, dice: Any) -> None:
        for onset in [row for row in rows if row["type"] == "escalation.onset"]:
            rows.append({"type": "call.abandoned", "occurred_at": onset["occurred_at"] - timedelta(hours=5)})

    assert not subjects(lint_onsets(plant), "evidence written down just before the onset")


def test_an_agent_who_only_appears_once_the_verdict_is_there_is_found(lint_verdicts: Any) -> None:
    def plant(rows: Any, bad: bool, number: int, dice: Any) -> None:
        for i, row in enumerate(rows):
            row["agent"] = f"agent {dice.randint(1, 5)}"
            if bad and i >= len(rows) // 2:
                row |= {"sla_kept": "no", "agent": "agent 99"}

    findings = lint_verdicts(plant)
    assert "agent" in subjects(findings, "values seen only once the label is decided")
    named = next(f for f in findings if f.trap == 11 and f.subject == "agent")
    assert named.figures["values"] == ["agent 99"]


def test_a_breach_event_is_an_error_where_the_label_is_the_breach(lint_verdicts: Any) -> None:
    def plant(rows: Any, bad: bool, number: int, dice: Any) -> None:
        if bad:
            rows.insert(2, rows[1] | {"type": "ticket.sla_breach"})

    assert subjects(lint_verdicts(plant), "breach as label and input") == {"type"}


def test_a_service_level_in_words_alone_is_no_finding(lint_verdicts: Any) -> None:
    def plant(rows: Any, bad: bool, number: int, dice: Any) -> None:
        for row in rows:
            row["sla_policy"] = ["gold", "silver"][number % 2]

    assert not [finding for finding in lint_verdicts(plant) if finding.subject == "sla_policy"]


def test_observation_points_after_the_verdict_are_told(lint_verdicts: Any) -> None:
    def plant(rows: Any, bad: bool, number: int, dice: Any) -> None:
        for row in rows[len(rows) // 2 :]:
            row["sla_kept"] = "no" if bad else "yes"

    findings = lint_verdicts(plant)
    assert subjects(findings, "observation points after the verdict", Severity.WARNING) == {"missed"}


def test_a_verdict_copied_onto_every_event_dates_nothing(lint_verdicts: Any) -> None:
    def plant(rows: Any, bad: bool, number: int, dice: Any) -> None:
        for row in rows:
            row["sla_kept"] = "no" if bad else "yes"

    assert not [finding for finding in lint_verdicts(plant) if finding.severity != Severity.NOTE]
