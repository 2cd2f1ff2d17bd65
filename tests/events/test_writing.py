"""Event tables written by the program are read back as they were, and the simulate command keeps the truth apart."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from forewarn.events import DataConfig, Event, open_histories, read_events
from forewarn.events import writing as writing_module
from forewarn.events.simulator import SimulatorOptions, simulate
from forewarn.events.writing import write_events
from training.simulate import SimulateConfig, simulate_table

AT = datetime(2026, 3, 1, tzinfo=UTC)


def event(name: str, **attributes: str | float) -> Event:
    core = {"source": "test", "customer_id": "ada", "type": "x", "occurred_at": AT, "ingested_at": AT}
    return Event(event_id=name, attributes=attributes, **core)  # type: ignore[arg-type]


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.dictionaries(st.sampled_from(["amount", "score"]), st.floats(allow_nan=False, allow_infinity=False)),
        max_size=6,
    ),
    st.sampled_from(["t.parquet", "t.jsonl", "t.jsonl.gz"]),
)
def test_written_events_are_read_back(tmp_path: Path, rows: list[dict[str, float]], name: str) -> None:
    events = [event(f"e{number}", **row, note="n") for number, row in enumerate(rows)] or [event("e")]
    write_events(events, tmp_path / name)
    assert list(read_events(DataConfig(events=str(tmp_path / name)))) == events


def test_parts_with_different_attributes_are_joined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing_module, "_PART_EVENTS", 2)
    events = [event("1", a=1.0), event("2"), event("3", b="x"), event("4", a="mixed"), event("5", a=2.5)]
    assert write_events(events, tmp_path / "t.parquet") == 5
    read = list(read_events(DataConfig(events=str(tmp_path / "t.parquet"))))
    assert [e.attributes.get("b") for e in read] == [None, None, "x", None, None]
    assert read[3].attributes["a"] == "mixed"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["t.parquet"]


def test_an_unknown_file_type_and_a_failure_leave_no_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"found the file type '.csv', expected .parquet"):
        write_events([event("1")], tmp_path / "t.csv")
    with pytest.raises(ZeroDivisionError):
        write_events((event(str(1 / number)) for number in (1, 0)), tmp_path / "t.jsonl")
    assert list(tmp_path.iterdir()) == []


def test_the_simulate_command_writes_events_and_the_truth_apart(tmp_path: Path) -> None:
    data = DataConfig(reader="simulator", options={"customers": 50, "seed": 3})
    result = simulate_table(SimulateConfig(data=data, out=str(tmp_path / "world.parquet")))
    expected = list(simulate(SimulatorOptions(customers=50, seed=3)))
    assert result["events"] == len(expected)
    written = DataConfig(events=str(result["events_file"]))
    assert list(read_events(written)) == expected
    truth = pl.read_parquet(tmp_path / "world.truth.parquet")
    assert truth.columns == ["event_id", "strain", "hazard_per_hour", "hazard_spent"]
    assert truth["event_id"].to_list() == [e.event_id for e in expected]
    straight = open_histories(data, tmp_path / "straight").fingerprint
    assert open_histories(written, tmp_path / "through_a_file").fingerprint == straight
