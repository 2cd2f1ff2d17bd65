"""The simulator: seeded, streamed, true to its documented hazard, and with signal in the words alone."""

from __future__ import annotations

from itertools import islice, pairwise

import numpy as np
import pytest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from forewarn.events import Event
from forewarn.events.simulator import SimulatorOptions, Story, simulate, stories

OPTIONS = SimulatorOptions(customers=3000)


@pytest.fixture(scope="module")
def told() -> list[Story]:
    return list(stories(OPTIONS))


@pytest.fixture(scope="module")
def events(told: list[Story]) -> list[Event]:
    return [event for story in told for event in story.events]


def test_a_seed_gives_the_same_events_and_another_seed_others() -> None:
    few = SimulatorOptions(customers=20)
    assert list(simulate(few)) == list(simulate(few))
    assert list(simulate(few)) != list(simulate(SimulatorOptions(customers=20, seed=8)))


def test_a_customer_is_the_same_in_a_world_of_any_size() -> None:
    few, many = stories(SimulatorOptions(customers=5)), stories(SimulatorOptions(customers=10**9))
    assert list(few) == list(islice(many, 5))


def test_between_eight_and_twelve_percent_of_customers_escalate(told: list[Story]) -> None:
    escalated = sum(any(e.type == "escalation.onset" for e in story.events) for story in told)
    assert 0.08 < escalated / len(told) < 0.12


def test_events_are_in_order_inside_the_window_and_have_unique_ids(told: list[Story], events: list[Event]) -> None:
    assert len({event.event_id for event in events}) == len(events)
    for story in told:
        assert all(a.occurred_at <= b.occurred_at for a, b in pairwise(story.events))
        assert all(event.ingested_at >= event.occurred_at for event in story.events)
        assert all((e.occurred_at - OPTIONS.begins).total_seconds() <= OPTIONS.days * 86_400 for e in story.events)


def test_onset_and_closure_take_turns(told: list[Story]) -> None:
    for story in told:
        kinds = [e.type for e in story.events if e.type.startswith("escalation.")]
        assert all(kind == ("escalation.onset", "escalation.closed")[place % 2] for place, kind in enumerate(kinds))


def test_onsets_are_as_many_as_the_true_hazard_says(told: list[Story]) -> None:
    onsets = sum(e.type == "escalation.onset" for story in told for e in story.events)
    expected = sum(story.hazard for story in told)
    assert abs(onsets - expected) < 4 * expected**0.5


def test_onsets_are_as_many_as_the_true_hazard_says_where_it_is_low_and_where_it_is_high() -> None:
    spells = []  # from one event to the next: hazard at its start, hazard spent, whether it ended in an onset
    for story in stories(SimulatorOptions(customers=3000, hazard_scale=2e-4)):
        for (_, before), (event, after) in pairwise(zip(story.events, story.truth, strict=True)):
            spent = after.hazard_spent - before.hazard_spent
            spells.append((before.hazard_per_hour, spent, event.type == "escalation.onset"))
    tenths = np.array_split(np.array(sorted(spells)), 10)
    for tenth in tenths:
        expected, onsets = tenth[:, 1].sum(), tenth[:, 2].sum()
        assert abs(onsets - expected) < 4 * expected**0.5 + 1
    assert tenths[-1][:, 2].mean() > 5 * tenths[4][:, 2].mean()


def test_attributes_name_nothing_latent(events: list[Event]) -> None:
    allowed = ["product", "issue", "queue", "priority", "reply_latency_s", "msg_len", "csat", "language", "status"]
    assert {name for event in events for name in event.attributes} == set(allowed)


def test_weeks_and_days_have_seasons_and_some_customers_are_silent(told: list[Story]) -> None:
    opened = [e.occurred_at for story in told for e in story.events if e.type == "ticket.created"]
    weekend = sum(moment.weekday() >= 5 for moment in opened) / len(opened)
    night = sum(moment.hour < 6 for moment in opened) / len(opened)
    assert weekend < 0.8 * 2 / 7
    assert night < 0.15 * 6 / 24 * 4
    gaps = [(b.occurred_at - a.occurred_at).days for story in told for a, b in pairwise(story.events)]
    assert max(gaps) > 20


def test_texts_are_varied_and_short_enough_to_encode(events: list[Event]) -> None:
    said = [event.text for event in events if event.text and event.actor == "customer"]
    assert len(set(said)) > 0.4 * len(said)
    assert np.mean([len(text.split()) for text in said]) < 20


def test_the_words_alone_tell_who_escalates(told: list[Story]) -> None:
    """Opening messages by whether the case escalates within a week: fitted on one half, measured on the other."""
    texts, escalates = [], []
    for story in stories(SimulatorOptions(customers=6000, hazard_scale=6e-5)):
        onsets = [e.occurred_at for e in story.events if e.type == "escalation.onset"]
        for event in story.events:
            if event.text and event.actor == "customer":
                texts.append(event.text)
                escalates.append(any(0 < (onset - event.occurred_at).total_seconds() < 7 * 86_400 for onset in onsets))
    half = len(texts) // 2
    words = CountVectorizer(ngram_range=(1, 2), min_df=5, binary=True)
    model = LogisticRegression(C=0.05, max_iter=200).fit(words.fit_transform(texts[:half]), escalates[:half])
    auroc = roc_auc_score(escalates[half:], model.predict_proba(words.transform(texts[half:]))[:, 1])
    assert auroc > 0.6
