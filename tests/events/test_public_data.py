"""The public data sets through their conf/data files: hand-made files of the same shape, and the real ones."""

from __future__ import annotations

import ast
import gzip
import time
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from forewarn.events import DataConfig, EventError, History, HistoryStore, given_splits, open_histories
from training.config import compose

Root = Path


def config(repository: Path, name: str, root: Root, **changes: Any) -> DataConfig:
    loaded: DataConfig = compose(f"data={name}", f"data.root={root}", "run=unused").data
    return replace(loaded, **changes)


def histories(store: HistoryStore) -> dict[str, History]:
    return {history.history_id: history for history in store}


class TestUciServicenow:
    def test_order_is_the_counter_even_where_the_clock_runs_backwards(
        self, repository: Path, small_root: Root, tmp_path: Path
    ) -> None:
        store = open_histories(config(repository, "uci_servicenow", small_root), tmp_path / "store")
        assert store.counts == {"events": 6, "histories": 2, "duplicates": 0, "out_of_order": 0, "quarantined": 0}
        first = histories(store)["INC0000001"].events
        assert [e.attributes["sys_mod_count"] for e in first] == [0, 1, 2, 3]
        assert [e.type for e in first] == ["ticket.created", "ticket.status", "ticket.field", "ticket.status"]
        assert first[2].occurred_at == first[1].occurred_at
        written = datetime(2016, 3, 1, 9, 30, tzinfo=UTC).timestamp()
        assert first[2].attributes["sys_updated_at"] == written
        second = histories(store)["INC0000002"].events
        assert [e.attributes["incident_state"] for e in second] == ["New", "Resolved"]

    def test_attributes_hold_what_the_row_knew_and_the_outcome_apart(
        self, repository: Path, small_root: Root, tmp_path: Path
    ) -> None:
        cfg = config(repository, "uci_servicenow", small_root)
        event = histories(open_histories(cfg, tmp_path / "store"))["INC0000001"].events[0]
        assert (event.customer_id, event.case_id, event.channel) == ("Caller 1", "INC0000001", "phone")
        assert event.attributes["age_s"] == 300
        assert "assigned_to" not in event.attributes
        outcome = {name for name in event.attributes if "closed" in name or "resolved" in name}
        assert outcome == {"outcome.closed_at", "outcome.resolved_at"}
        inputs = {*cfg.inputs.categorical, *cfg.inputs.numeric}
        assert not inputs & (outcome | {"made_sla", "opened_at", "sys_updated_at", "sys_mod_count"})
        assert not {name for name in inputs if name.startswith(("closed", "resolved"))}

    def test_an_unknown_caller_is_a_customer_per_incident(
        self, repository: Path, small_root: Root, tmp_path: Path
    ) -> None:
        cfg = config(repository, "uci_servicenow", small_root, by="customer_id")
        assert set(histories(open_histories(cfg, tmp_path / "store"))) == {"Caller 1", "case:INC0000002"}

    def test_an_incident_stays_with_the_caller_who_opened_it(
        self, repository: Path, fixtures: Path, tmp_path: Path
    ) -> None:
        lines = (fixtures / "uci_servicenow" / "incident_event_log.csv").read_text().splitlines()
        lines[2:5] = [line.replace("Caller 1", "Caller 2") for line in lines[2:5]]
        (tmp_path / "log.csv").write_text("\n".join(lines))
        cfg = config(repository, "uci_servicenow", tmp_path, events="log.csv", by="customer_id")
        assert set(histories(open_histories(cfg, tmp_path / "store"))) == {"Caller 1", "case:INC0000002"}

    def test_bad_rows_are_named_or_set_aside(self, repository: Path, fixtures: Path, tmp_path: Path) -> None:
        lines = (fixtures / "uci_servicenow" / "incident_event_log.csv").read_text().splitlines()
        lines[2] = lines[2].replace("1/3/2016 10:00", "noon")
        lines[4] = "INC0000001,cut off"
        (tmp_path / "log.csv").write_text("\n".join(lines))
        cfg = config(repository, "uci_servicenow", tmp_path, events="log.csv")
        with pytest.raises(EventError, match=r"log.csv:5: row: found '2 cells', expected 36 cells"):
            open_histories(cfg, tmp_path / "store")
        cfg.errors = "lenient"
        counts = open_histories(cfg, tmp_path / "store").counts
        assert (counts["events"], counts["quarantined"]) == (4, 2)
        assert 'found":"\'noon\'"' in (tmp_path / "store.quarantine.jsonl").read_text()

    @pytest.mark.parametrize(
        ("name", "content", "message"),
        [
            ("log.zip", b"no zip", "found a damaged archive"),
            ("log.csv", b"number,state\nINC1,New\n", "found no column 'assigned_to'"),
        ],
    )
    def test_another_file_is_refused(
        self, repository: Path, tmp_path: Path, name: str, content: bytes, message: str
    ) -> None:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=message):
            open_histories(config(repository, "uci_servicenow", tmp_path, events=name), tmp_path / "store")

    @pytest.mark.realdata
    def test_the_real_log_is_read_whole_and_quickly(self, repository: Path, data_root: Root, tmp_path: Path) -> None:
        start = time.perf_counter()
        store = open_histories(config(repository, "uci_servicenow", data_root), tmp_path / "store")
        assert time.perf_counter() - start < 30  # about 4 s on one quiet core
        assert store.counts == {
            "events": 141_712,
            "histories": 24_918,
            "duplicates": 0,
            "out_of_order": 0,
            "quarantined": 0,
        }
        backwards, callers = 0, set()
        for history in store:
            counters = [event.attributes["sys_mod_count"] for event in history.events]
            assert counters == sorted(counters)
            backwards += sum(e.attributes["sys_updated_at"] < e.occurred_at.timestamp() for e in history.events)
            callers.add(history.customer_id)
        assert backwards == 5
        assert len({caller for caller in callers if not caller.startswith("case:")}) == 5_244


class TestHelpdesk:
    def test_activities_become_types_and_equal_seconds_keep_source_order(
        self, repository: Path, small_root: Root, tmp_path: Path
    ) -> None:
        store = open_histories(config(repository, "helpdesk", small_root), tmp_path / "store")
        first = histories(store)["Case9001"]
        assert [e.type for e in first.events] == [
            "ticket.assign_seriousness",
            "ticket.take_in_charge_ticket",
            "ticket.resolve_ticket",
            "ticket.closed",
        ]
        assert first.customer_id == "Case9001"
        assert first.events[0].attributes == {"resource": "Value 90"}

    def test_another_table_is_refused(self, repository: Path, tmp_path: Path) -> None:
        (tmp_path / "log.csv").write_text("case_id;activity\n0;0\n")
        with pytest.raises(ValueError, match="read this file with data=table"):
            open_histories(config(repository, "helpdesk", tmp_path, events="log.csv"), tmp_path / "store")

    @pytest.mark.realdata
    def test_the_real_log_is_read_whole(self, repository: Path, data_root: Root, tmp_path: Path) -> None:
        store = open_histories(config(repository, "helpdesk", data_root), tmp_path / "store")
        assert (store.counts["events"], len(store)) == (21_348, 4_580)
        assert (store.counts["duplicates"], store.counts["out_of_order"]) == (0, 0)
        assert len({event.type for history in store for event in history.events}) == 14


class TestUss:
    def test_a_dialogue_is_a_history_with_rated_customer_turns(
        self, repository: Path, small_root: Root, tmp_path: Path
    ) -> None:
        store = open_histories(config(repository, "uss_mwoz", small_root), tmp_path / "store")
        events = histories(store)["mwoz-0000"].events
        assert [e.actor for e in events] == ["customer", "bot", "customer", "bot", "customer"]
        assert [e.attributes.get("rating_class") for e in events] == ["high", None, "low", None, "mid"]
        assert events[0].attributes["rating_mean"] == pytest.approx(10 / 3)
        assert [e.attributes.get("user_turn") for e in events] == [1, None, 2, None, 3]
        assert events[1].attributes == {"act": "Restaurant-Request"}
        assert (events[-1].type, events[-1].text, events[-1].channel) == ("survey.answered", "OVERALL", "survey")
        assert [(b.occurred_at - a.occurred_at).seconds for a, b in pairwise(events)] == [1] * 4

    def test_the_official_split_is_by_dialogue(self, repository: Path, small_root: Root) -> None:
        assert given_splits(config(repository, "uss_mwoz", small_root)) == {
            "mwoz-0000": "train",
            "mwoz-0001": "valid",
            "mwoz-0002": "test",
        }
        assert given_splits(config(repository, "uss_sgd", small_root)) == {"sgd-0000": "train", "sgd-0001": "test"}

    def test_the_dialogues_of_a_second_set_all_teach(self, repository: Path, small_root: Root, tmp_path: Path) -> None:
        cfg = config(repository, "uss_mwoz", small_root)
        both = replace(cfg, events=[cfg.events, config(repository, "uss_sgd", small_root).events])
        split = given_splits(both)
        assert split == {
            "mwoz-0000": "train",
            "mwoz-0001": "valid",
            "mwoz-0002": "test",
            "sgd-0000": "train",
            "sgd-0001": "train",
        }
        assert histories(open_histories(both, tmp_path / "store")).keys() == split.keys()

    def test_a_split_without_its_dialogues_is_named(self, repository: Path, small_root: Root) -> None:
        cfg = config(repository, "uss_mwoz", small_root, options={"dataset": "sgd"})
        with pytest.raises(ValueError, match=r"data\.events: found files of mwoz, expected one of sgd"):
            given_splits(cfg)

    @pytest.mark.parametrize(
        ("line", "field"),
        [("USER\tonly text", "turn"), ("ROBOT\thi\t\t", "turn"), ("USER\thi\t\t3,x", "rating")],
    )
    def test_a_line_that_is_no_turn_is_named(self, repository: Path, tmp_path: Path, line: str, field: str) -> None:
        (tmp_path / "d.txt").write_text(f"\nUSER\thello\t\t3,3,3\n{line}\n")
        with pytest.raises(EventError, match=rf"d.txt:3: {field}: found"):
            open_histories(config(repository, "uss_mwoz", tmp_path, events="d.txt"), tmp_path / "store")

    @pytest.mark.realdata
    @pytest.mark.parametrize(("dataset", "turns", "rated"), [("mwoz", 23_108, 953), ("sgd", 26_666, 1_085)])
    def test_the_real_dialogues_and_their_official_test_lines_agree(
        self, repository: Path, data_root: Root, tmp_path: Path, dataset: str, turns: int, rated: int
    ) -> None:
        cfg = config(repository, f"uss_{dataset}", data_root)
        store = open_histories(cfg, tmp_path / "store")
        assert (store.counts["events"], len(store)) == (turns, 1_000)
        split = given_splits(cfg)
        assert split is not None
        assert Counter(split.values()) == {"train": 800, "valid": 100, "test": 100}

        official = Counter()
        with gzip.open(data_root / "uss" / f"test_{dataset}.txt.gz", "rt", encoding="utf-8") as file:
            for line in file:
                dialogue, _, label = line.rstrip("\n").split("\t")
                spoken = ast.literal_eval(dialogue)[-1].partition("|||")[0]
                official[spoken, ("low", "mid", "high")[int(label)]] += 1
        ours = Counter(
            (event.text, event.attributes["rating_class"])
            for history in store
            if split[history.history_id] == "test"
            for event in history.events
            if event.attributes.get("user_turn", 0) > 3
        )
        assert ours.total() == rated
        assert ours == official
