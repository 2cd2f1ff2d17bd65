"""A small honest log with a final verdict and one with onsets; tests plant one leak each and ask the linter.

Both hold 200 histories over 100 days. ``plant`` changes the events of a history, given as dicts, before it is built.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from forewarn.events import Event, History, make_history
from forewarn.targets import ProtocolConfig, TargetSpec, assign_splits, summarise
from forewarn.targets.lint import Finding, Inputs, LintTable, collect, run_checks

START = datetime(2026, 1, 1, tzinfo=UTC)
VERDICT = TargetSpec.from_yaml("""
name: verdict
exclude_events: {field: type, equals: ticket.closed}
tasks:
  - {name: missed, kind: hazard, onset: {when: {field: sla_kept, equals: "no"}, at: last}, horizons: [ever]}
""")
ONSET = TargetSpec.from_yaml("""
name: onset
complete: false
tasks:
  - name: escalation
    kind: hazard
    onset: {when: {field: type, equals: escalation.onset}}
    cooldown: {until: {field: type, equals: escalation.closed}}
    horizons: [1d, 7d]
""")

Row = dict[str, Any]
# (events of a history, whether it ends badly, its number, dice)
Plant = Callable[[list[Row], bool, int, random.Random], None]
Lint = Callable[..., list[Finding]]
CORE = ("type", "occurred_at", "ingested_at", "channel", "actor", "case_id", "text", "event_id", "customer_id")


def untouched(rows: list[Row], bad: bool, number: int, dice: random.Random) -> None:
    """Plants nothing."""


def story(number: int, dice: random.Random) -> tuple[list[Row], bool]:
    """The open part of one honest history: hours apart, in queues that change, a little worse where waits are long."""
    bad = dice.random() < 0.3
    now = START + timedelta(hours=12 * number + dice.random() * 6)
    rows = []
    for step in range(dice.randint(3, 8)):
        now += timedelta(hours=dice.expovariate(0.2 if bad else 0.3))
        kind = "ticket.created" if not step else dice.choice(["conversation.message", "ticket.field"])
        rows.append(
            {
                "type": kind,
                "occurred_at": now,
                "status": "new" if not step else dice.choice(["open", "pending"]),
                "queue": dice.choice(["billing", "network", "general"]),
                "product": ["phone", "line", "box"][number % 3],
                "wait_s": dice.expovariate(1 / (500 if bad else 400)),
                "text": dice.choice(["hello", "my bill is wrong", "please call me"]),
            }
        )
    return rows, bad


def verdict_log(plant: Plant, histories: int = 200) -> list[History]:
    """Closed cases: the verdict stands on the closing event, which is hidden from the model."""
    log = []
    for number in range(histories):
        dice = random.Random(f"verdict {number}")
        rows, bad = story(number, dice)
        for row in rows:
            row["sla_kept"] = "yes"
        closed = rows[-1]["occurred_at"] + timedelta(hours=dice.expovariate(0.3))
        rows.append(rows[-1] | {"type": "ticket.closed", "occurred_at": closed, "sla_kept": "no" if bad else "yes"})
        plant(rows, bad, number, dice)
        log.append(built(f"case {number}", f"customer {number % 60}", rows))
    return log


def onset_log(plant: Plant) -> list[History]:
    """Customers who go on: some escalate half way, and are looked after until the escalation is closed."""
    histories = []
    for number in range(200):
        dice = random.Random(f"onset {number}")
        rows, bad = story(number, dice)
        if bad:
            middle = rows[len(rows) // 2]["occurred_at"]
            rows.append({"type": "escalation.onset", "occurred_at": middle + timedelta(minutes=30)})
            rows.append({"type": "escalation.closed", "occurred_at": middle + timedelta(minutes=50)})
        plant(rows, bad, number, dice)
        histories.append(built(f"customer {number}", f"customer {number}", rows))
    return histories


def built(name: str, customer: str, rows: list[Row]) -> History:
    events = []
    for i, row in enumerate(rows):
        core = {"event_id": f"{name} {i}", "customer_id": customer, "ingested_at": row["occurred_at"]}
        core |= {key: row[key] for key in CORE if key in row}
        attributes = {
            key: float(value) if isinstance(value, int) else value for key, value in row.items() if key not in CORE
        }
        events.append(Event(source="test", attributes=attributes, **core))
    return make_history(name, events)


def table_of(
    histories: list[History], target: TargetSpec, protocol: ProtocolConfig | None = None, **changes: Any
) -> LintTable:
    """The linter's table with every visible field as an input, as `auto` would have it."""
    protocol = protocol or ProtocolConfig(purge="8d")
    fields = {name: value for history in histories for event in history.events
              for name, value in event.attributes.items()}  # fmt: skip
    hidden = target.hidden_inputs()
    categorical = [name for name, value in fields.items() if isinstance(value, str) and name not in hidden]
    numeric = [name for name, value in fields.items() if isinstance(value, float) and name not in hidden]
    inputs = Inputs(["type", "channel", "actor", *categorical], numeric, text=True)
    index = [summary for history in histories for summary in summarise(history, target, protocol)]
    assignment = replace(assign_splits(index, protocol), **changes.pop("assignment", {}))
    return collect(histories, target, protocol, assignment, inputs, **changes)


@pytest.fixture(scope="session")
def lint_verdicts() -> Lint:
    """Findings on the log with a final verdict, after planting."""
    return lambda plant=untouched, **changes: run_checks(table_of(verdict_log(plant), VERDICT, **changes))


@pytest.fixture(scope="session")
def lint_onsets() -> Lint:
    """Findings on the log with onsets, after planting."""
    return lambda plant=untouched, **changes: run_checks(table_of(onset_log(plant), ONSET, **changes))


@pytest.fixture(scope="session")
def lint_shown_verdicts() -> Lint:
    """Findings on the log with a final verdict whose closing events the model may see."""
    shown = TargetSpec.parse({key: value for key, value in VERDICT.source.items() if key != "exclude_events"})
    return lambda plant=untouched, **changes: run_checks(table_of(verdict_log(plant), shown, **changes))


@pytest.fixture(scope="session")
def onset_cut() -> datetime:
    """The cut of the log with onsets."""
    cut = table_of(onset_log(untouched), ONSET).assignment.cut
    assert cut is not None
    return cut


@pytest.fixture(scope="session")
def survivors() -> Lint:
    """Findings on a longer log with a final verdict; of its first histories only bad ones were kept."""

    def findings(kept_only_bad_until: int) -> list[Finding]:
        def plant(rows: list[Row], bad: bool, number: int, dice: random.Random) -> None:
            ends_badly = bad or number < kept_only_bad_until
            rows[-1]["sla_kept"] = "no" if ends_badly else "yes"

        return run_checks(table_of(verdict_log(plant, histories=600), VERDICT))

    return findings
