"""The satisfaction target labels exactly the published test lines of both USS data sets."""

from __future__ import annotations

import gzip
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from forewarn.events.config import DataConfig
from forewarn.events.sources import given_splits, open_histories
from forewarn.targets import TargetSpec, label_history

pytestmark = pytest.mark.realdata


@pytest.mark.parametrize(("part", "lines"), [("mwoz", 953), ("sgd", 1_085)])
def test_labelled_rows_are_the_published_test_lines(data_root: Path, tmp_path: Path, part: str, lines: int) -> None:
    data = DataConfig(
        reader="uss", root=str(data_root), events=f"uss/{part.upper()}.txt.gz", splits="official",
        by="conversation_id", clock="none", options={"dataset": part},
    )  # fmt: skip
    spec, splits = TargetSpec.load("satisfaction"), given_splits(data)
    assert splits is not None
    labels = [
        label_history(spec, history)["satisfaction"]
        for history in open_histories(data, tmp_path / "store")
        if splits[history.history_id] == "test"
    ]
    found = np.concatenate([label for label in labels if isinstance(label, np.ndarray)])
    with gzip.open(data_root / "uss" / f"test_{part}.txt.gz", "rt") as file:
        published = Counter(int(line.rstrip("\n").rpartition("\t")[2]) for line in file)
    assert Counter(found[found >= 0].tolist()) == published
    assert published.total() == lines
