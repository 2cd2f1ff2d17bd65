"""Reasons: the events without which the risk would be lower."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.special import logit

from forewarn.bundle import Bundle, Scorer
from forewarn.events import History
from forewarn.risk import reasons


@pytest.fixture(scope="module")
def scorer(tiny_bundle: Path) -> Scorer:
    return Scorer(Bundle.load(tiny_bundle), threads=1)


def test_a_contribution_is_the_fall_in_log_odds_without_the_event(
    scorer: Scorer, tiny_histories: list[History]
) -> None:
    history = max(tiny_histories, key=lambda h: len(h.events))
    found = reasons(scorer, history, "escalation", top=5)
    assert found, "the longest history has at least one event that raises its risk"
    assert [r.contribution for r in found] == sorted((r.contribution for r in found), reverse=True)
    for reason in found:
        without = [event for event in history.events if event.event_id != reason.event_id]
        (full,), (less,) = scorer.score([history]), scorer.score([History("h", "c", without)])
        fall = logit(float(full["escalation"][-1, -1])) - logit(float(less["escalation"][-1, -1]))
        assert reason.contribution == pytest.approx(fall, abs=1e-3) and fall > 0


def test_only_the_newest_events_are_candidates(scorer: Scorer, tiny_histories: list[History]) -> None:
    history = max(tiny_histories, key=lambda h: len(h.events))
    newest = {event.event_id for event in history.events[-4:]}
    assert {r.event_id for r in reasons(scorer, history, "escalation", top=10, newest=4)} <= newest


def test_a_first_event_has_no_reason(scorer: Scorer, tiny_histories: list[History]) -> None:
    first = History("h", "c", tiny_histories[0].events[:1])
    assert reasons(scorer, first, "escalation") == []
    assert np.isfinite(scorer.score([first])[0]["escalation"]).all()
