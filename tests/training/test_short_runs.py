"""Small data: enough steps, weights that leave their start, and nothing of it where there is enough data."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from training.config import OptimConfig, TrainConfig, TrainerConfig, compose
from training.datamodule import SequenceDataModule
from training.fit import fit
from training.prepare import Prepared, prepare
from training.short_runs import average_decay, warmup_steps
from training.target import load_target


@pytest.fixture(scope="module")
def config(small: list[str], tmp_path_factory: pytest.TempPathFactory) -> TrainConfig:
    made: TrainConfig = compose(*small, "trainer.epochs=2", f"run={tmp_path_factory.mktemp('short')}")
    return made


@pytest.fixture(scope="module")
def prepared(config: TrainConfig) -> Prepared:
    return prepare(config, load_target(config), Path(config.run) / "data")


def with_trainer(config: TrainConfig, **settings: Any) -> TrainConfig:
    return replace(config, trainer=replace(config.trainer, **settings))


def steps(config: TrainConfig, prepared: Prepared) -> list[int]:
    """Steps of an epoch as its data asks for, and as a run takes them."""
    once = with_trainer(config, least_steps=0).trainer
    parts = [SequenceDataModule(prepared.folder, config.optim, 0, own) for own in (once, config.trainer)]
    return [len(own.batches("train", shuffle=True)[1]) for own in parts]


def test_a_run_of_few_histories_takes_its_least_steps_in_the_epochs_it_was_given(
    config: TrainConfig, prepared: Prepared, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    long = with_trainer(config, least_steps=30)
    once, own = steps(long, prepared)
    assert once < 15 == own
    with caplog.at_level(logging.INFO, logger="training"):
        facts = fit(long, prepared, tmp_path).facts
    assert facts["epochs"] == 2
    last = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=False)
    assert last["global_step"] == 30
    [rate] = {group["lr"] for group in last["optimizer_states"][0]["param_groups"]}
    assert rate == pytest.approx(0.1 * config.optim.learning_rate, rel=0.02), "the rate falls over all the steps"
    [told] = [line for line in caplog.messages if "trainer.least_steps" in line]
    assert f"reads them {15 / once:.1f} times, so that 2 epochs are 30 steps" in told


def test_a_run_of_enough_steps_is_the_same_batch_by_batch(config: TrainConfig, prepared: Prepared) -> None:
    once, _ = steps(config, prepared)
    orders = []
    for least in (0, 2 * once):
        own = with_trainer(config, least_steps=least).trainer
        _, batches = SequenceDataModule(prepared.folder, config.optim, 0, own).batches("train", shuffle=True)
        orders.append(list(batches))
    assert orders[0] == orders[1]


def test_the_validation_split_is_read_once(config: TrainConfig, prepared: Prepared) -> None:
    own = with_trainer(config, least_steps=1_000).trainer
    _, batches = SequenceDataModule(prepared.folder, config.optim, 0, own).batches("valid", shuffle=False)
    assert sorted(i for batch in batches for i in batch) == list(range(len(batches.lengths)))


def test_the_average_of_a_short_run_leaves_its_start(config: TrainConfig, prepared: Prepared, tmp_path: Path) -> None:
    once, _ = steps(config, prepared)
    assert 2 * once < 20, "at decay .98 the first weights would count two thirds at the end"
    moved = {}
    for ema in (0.0, 0.98):
        own = replace(config, optim=replace(config.optim, ema=ema, learning_rate=1e-2))
        fit(own, prepared, tmp_path / f"{ema}")
        last = torch.load(tmp_path / f"{ema}" / "checkpoints" / "last.ckpt", weights_only=False)["state_dict"]
        fit(replace(own, optim=replace(own.optim, learning_rate=0.0)), prepared, tmp_path / f"{ema}-still")
        start = torch.load(tmp_path / f"{ema}-still" / "checkpoints" / "last.ckpt", weights_only=False)["state_dict"]
        moved[ema] = sum(float((last[name] - start[name]).square().sum()) for name in last) ** 0.5
    assert moved[0.98] > 0.5 * moved[0.0] > 0


def test_an_average_looks_back_over_half_of_a_run_at_most() -> None:
    assert [average_decay(0.98, steps) for steps in (1, 4, 20, 100, 10_000)] == [0.0, 0.5, 0.9, 0.98, 0.98]


def test_patience_counts_from_the_end_of_the_warm_up(config: TrainConfig, prepared: Prepared, tmp_path: Path) -> None:
    still = replace(config, optim=replace(config.optim, learning_rate=0.0, ema=0.0, warmup=0.5))
    hopeless = with_trainer(still, epochs=10, patience=1)
    once, _ = steps(config, prepared)
    assert warmup_steps(hopeless.optim, 10 * once) == 5 * once
    assert fit(hopeless, prepared, tmp_path).facts["epochs"] == 5 + 1


def test_a_number_of_steps_that_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match=r"trainer\.least_steps: found -1, expected 0 or a number of steps; use 200"):
        TrainerConfig(least_steps=-1)
    assert warmup_steps(OptimConfig(), 3) == 1
