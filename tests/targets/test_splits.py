from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import assume, given
from hypothesis import strategies as st

from forewarn.targets import HistorySummary, ProtocolConfig, TargetSpec, assign_splits, summarise

DAY_0 = datetime(2026, 1, 1, tzinfo=UTC)
PROTOCOLS = sorted((Path(__file__).resolve().parents[2] / "conf" / "protocol").glob("*.yaml"))


def day(number: float) -> datetime:
    return DAY_0 + timedelta(days=number)


def summary(name: str, start: float, end: float, customer: str | None = None) -> HistorySummary:
    return HistorySummary(name, customer or name, day(start), day(end))


histories = st.lists(
    st.tuples(st.integers(0, 100), st.integers(0, 30), st.integers(0, 15)), min_size=12, max_size=60
).map(lambda rows: [summary(f"h{i}", start, start + long, f"c{c}") for i, (start, long, c) in enumerate(rows)])


@pytest.mark.parametrize("path", PROTOCOLS, ids=lambda path: path.stem)
def test_every_shipped_protocol_is_a_valid_config(path: Path) -> None:
    assert ProtocolConfig(**yaml.safe_load(path.read_text())).check().name == path.stem


@pytest.mark.parametrize("path", PROTOCOLS, ids=lambda path: path.stem)
def test_every_shipped_protocol_splits_into_disjoint_parts(path: Path) -> None:
    cfg = ProtocolConfig(**yaml.safe_load(path.read_text()))
    index = [summary(f"h{i}", i, i + 1, f"c{i % 20}") for i in range(100)]
    found = assign_splits(index, cfg, {f"c{i}": "test" if i < 5 else "train" for i in range(20)})
    assert set(found.split) == {item.history_id for item in index}
    assert sum(found.counts.values()) == len(index)
    assert min(found.counts[name] for name in ("train", "valid", "test")) > 0


@given(index=histories, purge=st.integers(0, 20), straddlers=st.sampled_from(["censor", "drop"]))
def test_a_temporal_split_learns_before_the_purge_and_tests_from_the_cut(
    index: list[HistorySummary], purge: int, straddlers: str
) -> None:
    try:
        found = assign_splits(index, ProtocolConfig(purge=f"{purge}d", straddlers=straddlers))
    except ValueError:
        assume(False)
    assert found.cut is not None
    assert found.learn_until == found.cut - timedelta(days=purge)
    for item in index:
        kind = found.split[item.history_id]
        assert (kind == "test") == (item.start >= found.cut)
        if kind in ("train", "valid"):
            assert item.start < found.learn_until
            assert found.observed_until(item.history_id) == found.learn_until
            assert straddlers == "censor" or item.end < found.learn_until
        else:
            assert found.observed_until(item.history_id) == found.data_end
    starts = {kind: [i.start for i in index if found.split[i.history_id] == kind] for kind in ("train", "valid")}
    assert max(starts["train"]) <= min(starts["valid"]), "validation is the latest part"


def test_straddlers_are_dropped_or_censored() -> None:
    index = [summary(f"h{i}", i, i + 0.5) for i in range(8)] + [summary("long", 3, 30)]
    dropped = assign_splits(index, ProtocolConfig(straddlers="drop"))
    assert dropped.split["long"] == "dropped"
    assert dropped.counts["dropped_straddling"] == 1
    assert assign_splits(index, ProtocolConfig()).split["long"] in ("train", "valid")


@pytest.mark.parametrize("setting", ["test_start", "test_end", "data_end"])
def test_a_time_that_is_none_is_refused_by_name(setting: str) -> None:
    with pytest.raises(ValueError, match=f"protocol.{setting}: found 'soon', expected an ISO 8601 time"):
        ProtocolConfig(**{setting: "soon"}).check()


def test_the_end_of_the_test_leaves_out_what_starts_later_and_the_end_of_the_data_also_blinds_the_test() -> None:
    index = [summary(f"h{i}", i, i + 3) for i in range(20)]
    open_end = assign_splits(index, ProtocolConfig(test_start="2026-01-11", test_end="2026-01-16"))
    assert [own for own, kind in open_end.split.items() if kind == "test"] == ["h10", "h11", "h12", "h13", "h14"]
    assert open_end.counts["dropped_later"] == 5
    assert open_end.split_until("test") == day(22), "what was tested is followed to the end of the data"
    blind = assign_splits(index, ProtocolConfig(test_start="2026-01-11", data_end="2026-01-16"))
    assert blind.split == open_end.split
    assert blind.split_until("test") == day(15)
    assert assign_splits(index, ProtocolConfig(data_end="2027-01-01")).split_until("test") == day(22)


def test_histories_that_begin_within_the_purge_are_dropped() -> None:
    index = [summary(f"h{i}", i, i) for i in range(20)]
    found = assign_splits(index, ProtocolConfig(test_start="2026-01-16", purge="3d"))
    assert found.cut == day(15)
    assert [found.split[f"h{i}"] for i in range(11, 16)] == ["valid", "dropped", "dropped", "dropped", "test"]
    assert found.counts["dropped_purged"] == 3


def test_a_history_opened_in_time_but_first_seen_after_the_cut_is_not_learnt_from() -> None:
    index = [summary(f"h{i}", i, i) for i in range(20)]
    late = HistorySummary("late", "late", day(1), day(40), first_seen=day(30))
    assert assign_splits([*index, late], ProtocolConfig()).split["late"] == "dropped"


@given(index=histories, seed=st.integers(0, 3))
def test_a_customer_is_in_one_split_only(index: list[HistorySummary], seed: int) -> None:
    try:
        found = assign_splits(index, ProtocolConfig(split="customer", seed=seed))
    except ValueError:
        assume(False)
    seen: dict[str, set[str]] = {}
    for item in index:
        seen.setdefault(item.customer_id, set()).add(found.split[item.history_id])
    assert all(len(kinds) == 1 for kinds in seen.values())
    assert found.unseen == {name for name, kind in found.split.items() if kind == "test"}


@given(index=histories, split=st.sampled_from(["customer", "random"]))
def test_random_choices_depend_on_names_and_seed_only(index: list[HistorySummary], split: str) -> None:
    cfg = ProtocolConfig(split=split, valid="random")
    try:
        found = assign_splits(index, cfg)
    except ValueError:
        assume(False)
    assert found.split == assign_splits(index[::-1], cfg).split


def test_test_histories_of_customers_never_learnt_from_are_named() -> None:
    index = [summary(f"h{i}", i, i, f"c{min(i, 18)}") for i in range(20)] + [summary("again", 19, 19, "c0")]
    found = assign_splits(index, ProtocolConfig())
    assert found.split["again"] == "test"
    assert "again" not in found.unseen
    assert "h19" in found.unseen


def test_a_given_split_is_followed_by_history_or_customer_and_the_unlisted_are_dropped() -> None:
    index = [summary(f"h{i}", i, i, f"c{i // 2}") for i in range(8)]
    given = {"c0": "train", "c1": "valid", "h4": "train", "c2": "test"}
    found = assign_splits(index, ProtocolConfig(split="given"), given)
    assert [found.split[f"h{i}"] for i in range(8)] == ["train", "train", "valid", "valid", "train", "test", "dropped",
                                                        "dropped"]  # fmt: skip
    assert found.counts["dropped_unlisted"] == 2


def test_without_given_validation_the_latest_training_histories_validate() -> None:
    index = [summary(f"h{i}", i, i) for i in range(10)]
    found = assign_splits(index, ProtocolConfig(split="given"), {f"h{i}": "train" for i in range(8)} | {"h8": "test"})
    assert [name for name, kind in found.split.items() if kind == "valid"] == ["h6", "h7"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"split": "time"}, "protocol.split: found 'time', expected one of temporal"),
        ({"straddlers": "censored"}, "protocol.straddlers: .* did you mean 'censor'"),
        ({"test_quantile": 1.5}, r"protocol.test_quantile: found 1.5, expected a share between 0 and 1"),
        ({"purge": "a week"}, "protocol.purge: found 'a week', expected a duration"),
        ({"test_start": "May 2016"}, "protocol.test_start: found 'May 2016', expected an ISO 8601 time"),
        ({"test_start": "2031-01-01"}, "protocol: found no test history among 10"),
        ({"max_prefix": 0}, "protocol.max_prefix: found 0"),
        ({"split": "given"}, "data.splits: found nothing, expected a split file"),
    ],
)
def test_a_protocol_that_cannot_split_is_refused(change: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        assign_splits([summary(f"h{i}", i, i) for i in range(10)], ProtocolConfig(**change))


def test_a_split_file_of_other_names_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"data\.splits: found ids such as 'x', expected history or customer ids such as 'h'"
    ):
        assign_splits([summary("h", 0, 0)], ProtocolConfig(split="given"), {"x": "train"})


def test_a_summary_starts_with_the_first_visible_event_and_ends_with_the_last_of_all(history: Any, at: Any) -> None:
    spec = TargetSpec.parse(
        {"name": "t", "exclude_events": {"field": "type", "in": ["noise", "closed"]},
         "tasks": [{"name": "next", "kind": "next_event"}]}
    )  # fmt: skip
    whole = history((0, "noise"), (5, "a"), (9, "closed"))
    found = summarise(whole, spec, ProtocolConfig())
    assert found == [HistorySummary("h1", "h1", at(5), at(9), first_seen=at(5))]
    assert summarise(history((0, "noise")), spec, ProtocolConfig()) == []


def test_a_summary_may_take_its_times_from_attributes(history: Any) -> None:
    spec = TargetSpec.load("next_event")
    whole = history((0, "a", {"opened_at": 0}), (1, "b", {"closed_at": 3_600}))
    (found,) = summarise(whole, spec, ProtocolConfig(start="opened_at", end="closed_at"))
    assert found.start == datetime(1970, 1, 1, tzinfo=UTC)
    assert found.end == datetime(1970, 1, 1, 1, tzinfo=UTC)
    with pytest.raises(ValueError, match=r"protocol.start: found nothing, expected .*'created_at'.* in history 'h1'"):
        summarise(whole, spec, ProtocolConfig(start="created_at"))
