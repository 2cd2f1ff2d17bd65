"""Prepared folders: found again while nothing that decides them changed, and honest about what they hold."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from forewarn.sequence import RaggedDataset
from forewarn.targets import TargetSpec
from training.config import TrainConfig, compose
from training.heads import head_specs
from training.prepare import Prepared, prepare

TARGET = """
name: refund
tasks:
  - {name: refund, kind: hazard, onset: {when: {field: type, equals: refund}}, horizons: [1 event, 3 events, ever]}
"""


@pytest.fixture
def config(tmp_path: Path) -> TrainConfig:
    """Forty customers of four events each, every second one refunded, with a split file of ten a split."""
    rows = [
        f"c{customer},{'refund' if customer % 2 and number == 3 else 'order'},2026-01-{number + 1:02d},a"
        for customer in range(40)
        for number in range(4)
    ]
    (tmp_path / "events.csv").write_text("\n".join(["customer_id,type,occurred_at,shop", *rows]) + "\n")
    write_splits(tmp_path, 10)
    return compose(
        "data=table", f"data.root={tmp_path}", "data.events=events.csv", "data.splits=splits.csv", "text=none",
        "sequence.min_count=1", f"run={tmp_path / 'run'}",
    )  # fmt: skip


def write_splits(folder: Path, tested: int) -> None:
    names = ["test" if c < tested else "valid" if c < 20 else "train" for c in range(40)]
    (folder / "splits.csv").write_text("customer_id,split\n" + "".join(f"c{c},{s}\n" for c, s in enumerate(names)))


def prepared(config: TrainConfig, target: str = TARGET) -> Prepared:
    return prepare(config, TargetSpec.from_yaml(target), Path(config.run) / "data")


def ids(found: Prepared, split: str) -> set[str]:
    rows = RaggedDataset(found.split(split))
    return {rows[i][0] for i in range(len(rows))}


def test_an_edited_split_file_is_followed_also_under_its_old_name(config: TrainConfig) -> None:
    assert ids(prepared(config), "test") == {f"c{i}" for i in range(10)}
    write_splits(Path(config.data.root), 5)
    assert ids(prepared(config), "test") == {f"c{i}" for i in range(5)}


def test_a_split_file_of_another_name_with_the_same_rows_changes_nothing(config: TrainConfig) -> None:
    before = prepared(config).split("train").stat().st_mtime_ns
    root = Path(config.data.root)
    (root / "splits.csv").rename(root / "moved.csv")
    moved = replace(config, data=replace(config.data, splits="moved.csv"))
    assert prepared(moved).split("train").stat().st_mtime_ns == before


def test_the_facts_tell_how_many_tested_histories_are_of_customers_unseen_in_training(config: TrainConfig) -> None:
    assert prepared(config).facts["unseen_customers"] == 10


def test_horizons_of_time_are_refused_where_rows_have_none(config: TrainConfig) -> None:
    clockless = replace(config, data=replace(config.data, clock="none"))
    assert prepared(clockless).facts["splits"]["train"]["histories"] == 20
    with pytest.raises(ValueError, match=r"found 1h in clock time, .* the data has no clock"):
        prepared(clockless, TARGET.replace("[1 event, 3 events, ever]", "[1h, ever]"))


def test_a_task_without_an_onset_in_training_is_refused_by_name_and_predicate(config: TrainConfig) -> None:
    never = prepared(config, TARGET.replace("equals: refund", "equals: refunded"))
    with pytest.raises(ValueError, match=r"task 'refund': found no onset .*'field': 'type', 'equals': 'refunded'"):
        head_specs(never)
    assert head_specs(prepared(config))[0].size == 3
