"""The history store: the same histories from memory and from disk, in any order of rows, complete or not there."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from forewarn.events import Event, EventError, HistoryStore, Quarantine, build_histories, make_history

START = datetime(2026, 3, 1, tzinfo=UTC)


def event(number: int, customer: str, **more: object) -> Event:
    at = START + timedelta(minutes=number)
    core = {"source": "test", "customer_id": customer, "type": "usage.session", "occurred_at": at, "ingested_at": at}
    return Event(event_id=f"e{number}", **core, **more)  # type: ignore[arg-type]


EVENTS = [event(number, f"c{number % 7}", attributes={"n": float(number), "a": "x"}) for number in range(60)]


def test_a_store_holds_every_history_and_says_how_many(tmp_path: Path) -> None:
    store = build_histories(EVENTS, tmp_path / "store")
    assert len(store) == 7
    assert store.counts == {"events": 60, "histories": 7, "duplicates": 0, "out_of_order": 0, "quarantined": 0}
    histories = {history.history_id: history for history in store}
    assert histories["c3"] == make_history("c3", [e for e in EVENTS if e.customer_id == "c3"])
    assert [store[i] for i in range(len(store))] == list(store)
    assert store[-1] == list(store)[-1]


def test_a_store_can_be_opened_again(tmp_path: Path) -> None:
    built = build_histories(EVENTS, tmp_path / "store")
    opened = HistoryStore(tmp_path / "store")
    assert list(opened) == list(built)
    assert (opened.fingerprint, opened.counts, opened.by) == (built.fingerprint, built.counts, "customer_id")


@pytest.mark.parametrize(("buckets", "memory_events"), [(1, 1_000), (256, 1_000), (4, 7), (64, 1)])
def test_spilling_to_disk_gives_what_memory_gives(tmp_path: Path, buckets: int, memory_events: int) -> None:
    expected = build_histories(EVENTS, tmp_path / "memory")
    store = build_histories(EVENTS, tmp_path / "disk", buckets=buckets, memory_events=memory_events)
    assert list(store) == list(expected)
    assert store.fingerprint == expected.fingerprint
    assert sorted(path.name for path in store.folder.iterdir()) == ["histories.msgpack", "offsets.npy", "store.json"]


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.permutations(EVENTS))
def test_the_order_of_rows_does_not_matter(tmp_path: Path, shuffled: list[Event]) -> None:
    expected = build_histories(EVENTS, tmp_path / "given")
    store = build_histories(shuffled, tmp_path / "shuffled", memory_events=25)
    assert store.fingerprint == expected.fingerprint


def test_the_fingerprint_follows_the_content_and_not_the_order_of_attributes(tmp_path: Path) -> None:
    turned = [event(number, f"c{number % 7}", attributes={"a": "x", "n": float(number)}) for number in range(60)]
    other = [*EVENTS[:-1], event(59, "c3", attributes={"n": 60.0, "a": "x"})]
    fingerprint = build_histories(EVENTS, tmp_path / "1").fingerprint
    assert build_histories(turned, tmp_path / "2").fingerprint == fingerprint
    assert build_histories(other, tmp_path / "3").fingerprint != fingerprint


def test_duplicates_and_late_rows_are_counted(tmp_path: Path) -> None:
    one, two, three = (event(number, "c") for number in range(3))
    store = build_histories([one, three, two, one], tmp_path / "store")
    assert store.counts == {"events": 3, "histories": 1, "duplicates": 1, "out_of_order": 2, "quarantined": 0}


def test_an_id_given_to_two_customers_is_an_event_of_each(tmp_path: Path) -> None:
    store = build_histories([event(1, "ada"), event(1, "bob"), event(1, "bob")], tmp_path / "store")
    assert (store.counts["events"], store.counts["histories"], store.counts["duplicates"]) == (2, 2, 1)


@pytest.mark.parametrize(
    ("by", "expected"), [("case_id", {"k1", "k2"}), ("household", {"12"}), ("type", {"usage.session"})]
)
def test_any_field_can_be_the_key(tmp_path: Path, by: str, expected: set[str]) -> None:
    events = [event(number, "c", case_id=f"k{number}", attributes={"household": 12.0}) for number in (1, 2)]
    assert {history.history_id for history in build_histories(events, tmp_path / "store", by=by)} == expected


def test_an_event_without_the_key_is_rejected(tmp_path: Path) -> None:
    events = [event(1, "c", case_id="k"), event(2, "c")]
    with pytest.raises(EventError, match=r"case_id: found nothing, expected a value in every event"):
        build_histories(events, tmp_path / "strict", by="case_id")
    with Quarantine(tmp_path / "aside.jsonl") as quarantine:
        store = build_histories(events, tmp_path / "lenient", by="case_id", quarantine=quarantine)
    assert (store.counts["events"], store.counts["quarantined"]) == (1, 1)
    assert "e2" in (tmp_path / "aside.jsonl").read_text()


def test_a_failed_build_leaves_the_old_store_and_no_rubbish(tmp_path: Path) -> None:
    build_histories(EVENTS, tmp_path / "store")

    def broken() -> object:
        yield EVENTS[0]
        raise RuntimeError("the power fails")

    with pytest.raises(RuntimeError, match="the power fails"):
        build_histories(broken(), tmp_path / "store", memory_events=1)  # type: ignore[arg-type]
    assert len(HistoryStore(tmp_path / "store")) == 7
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


def test_no_events_and_a_folder_of_something_else_are_errors(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="found no events"):
        build_histories([], tmp_path / "store")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.png").touch()
    with pytest.raises(ValueError, match="no history store"):
        build_histories(EVENTS, tmp_path / "photos")
    with pytest.raises(ValueError, match=r"expected a history store"):
        HistoryStore(tmp_path / "photos")
