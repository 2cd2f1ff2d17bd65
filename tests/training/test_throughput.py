"""The record of a training, and the batches it counts."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from forewarn.sequence import INPUT_COLUMNS, RaggedDataset, TokenBudgetBatches, collate
from training.config import TrainConfig
from training.datamodule import EncodedDataset, encoded_row
from training.fit import fit
from training.labelled import NO_LABEL
from training.prepare import Prepared
from training.throughput import REAL_SHARE, TOKENS_PER_S, TRAIN_LOSS, VALID_LOSS, WAITING_SHARE


@pytest.fixture
def short(tiny_config: TrainConfig) -> TrainConfig:
    return replace(tiny_config, trainer=replace(tiny_config.trainer, epochs=2))


def test_every_epoch_is_one_log_line_and_one_entry_of_the_curve(
    short: TrainConfig, tiny_run: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="training.throughput"):
        facts = fit(short, Prepared.load(tiny_run / "data" / "encoded"), tmp_path).facts
    lines = [record.getMessage() for record in caplog.records if record.name == "training.throughput"]
    assert [line.partition(":")[0] for line in lines] == ["epoch 1 of 2", "epoch 2 of 2"]
    assert all("real tokens/s" in line and "waiting for batches" in line for line in lines)
    for entry in facts["curve"]:
        assert entry.keys() == {TRAIN_LOSS, VALID_LOSS, TOKENS_PER_S, REAL_SHARE, WAITING_SHARE}
        assert entry[TOKENS_PER_S] > 0 and 0 <= entry[WAITING_SHARE] < 1
    assert facts["curve"][0][REAL_SHARE] == facts["real_token_share"] < 1, "padding is not a real token"


def test_a_slow_reader_shows_as_time_waiting(
    short: TrainConfig, tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = EncodedDataset.__getitems__

    def slow(self: EncodedDataset, indices: list[int]) -> dict[str, torch.Tensor]:
        time.sleep(0.1)
        return read(self, indices)

    monkeypatch.setattr(EncodedDataset, "__getitems__", slow)
    prepared = Prepared.load(tiny_run / "data" / "encoded")
    last = fit(short, prepared, tmp_path).facts["curve"][-1]
    lengths = RaggedDataset(prepared.split("train")).lengths("position")
    waited_s = last[WAITING_SHARE] * int(lengths.sum()) / last[TOKENS_PER_S]
    assert waited_s > 0.099 * len(TokenBudgetBatches(lengths, short.optim.token_budget))


def test_a_training_batch_is_what_collate_makes_of_its_histories(tiny_run: Path) -> None:
    path = tiny_run / "data" / "encoded" / "train.arrow"
    rows, indices = RaggedDataset(path), [5, 0, 17, 3]
    batch = EncodedDataset(path).__getitems__(indices)
    expected = collate([encoded_row(*rows[index]) for index in indices])
    assert {name for name in batch if name in INPUT_COLUMNS} == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(batch[name].numpy(), array, strict=True)
    for name in (name for name in batch if "." in name):
        for row, index in enumerate(indices):
            own = rows[index][1][name]
            np.testing.assert_array_equal(batch[name][row, : len(own)].numpy(), own)
            assert (batch[name][row, len(own) :] == NO_LABEL[name.rpartition(".")[2]]).all()
