"""The comparison of trainings: what is exported, how the steps are timed, what a ratio is made of."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from benchmarks.peers.environment import PEER, run_worker
from benchmarks.peers.events import export_parquet
from benchmarks.peers.page import render
from benchmarks.statistics import summarise
from benchmarks.training_peer import OWN, TrainingPeerConfig, ratios
from forewarn.sequence import RaggedDataset
from training.config import TrainConfig, compose
from training.prepare import Prepared, prepare
from training.train import load_target

SMALL = ("data=simulator", "target=next_event", "text=none", "model=tiny", "data.options.customers=40", "run=unused")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    config: TrainConfig = compose(*SMALL)
    return prepare(config, load_target(config), tmp_path_factory.mktemp("data"))


def test_the_peer_reads_the_events_that_we_read(prepared: Prepared, tmp_path: Path) -> None:
    facts = export_parquet(prepared, tmp_path / "train.parquet")
    table = pq.read_table(tmp_path / "train.parquet")
    rows = RaggedDataset(prepared.split("train"))
    assert table.num_rows == facts["histories"] == len(rows)
    names = list(prepared.featurizer.vocabularies)
    for index in (0, len(rows) - 1):
        _, arrays = rows[index]
        own = {name: table.column(name)[index].as_py() for name in table.column_names}
        np.testing.assert_array_equal(own["timestamps"], arrays["position"])
        assert own["labels"] == own["c_type"] == arrays["categorical"][:, names.index("type")].tolist()
        exported = np.array([own[f"c_{name}"] for name in names]).T
        np.testing.assert_array_equal(exported, arrays["categorical"])
        assert all(np.isfinite(own[name]).all() for name in facts["numeric"])
        assert max(exported[:, 0]) < facts["categorical"]["c_type"]
    assert facts["events"] == int(rows.lengths("position").sum())


def test_our_worker_times_real_tokens(prepared: Prepared) -> None:
    task = {"overrides": list(SMALL), "folder": str(prepared.folder), "batch": 512, "threads": 1}
    figures = run_worker("own_worker", {**task, "seconds": 0.05, "warmup_steps": 1})
    assert figures["tokens_per_step"] <= 512
    assert 0 < figures["real_token_share"] <= 1 and 0 <= figures["waiting_share"] < 1
    per_step = 1_000 * figures["tokens_per_step"] / figures["step_ms"]
    assert figures["tokens_per_s"] == pytest.approx(per_step)


def test_a_worker_that_fails_says_why(prepared: Prepared) -> None:
    task = {"overrides": ["model.width=30"], "folder": str(prepared.folder), "batch": 512, "threads": 1}
    with pytest.raises(RuntimeError, match=r"own_worker ended with code 1[\s\S]*model.width=30"):
        run_worker("own_worker", {**task, "seconds": 0.05, "warmup_steps": 1})


def row(toolkit: str, budget: int, *rates: float, parameters: int = 1_000) -> dict[str, object]:
    one = summarise([1.0])
    return {
        "model": "tiny", "toolkit": toolkit, "budget": budget, "parameters": parameters, "versions": {"torch": "2"},
        "tokens_per_s": summarise(rates), "tokens_per_cpu_s": summarise(rates), "real_token_share": one,
        "waiting_share": one, "step_ms": one, "tokens_per_step": one,
    }  # fmt: skip


def test_a_ratio_compares_equal_batches_and_the_best_of_each() -> None:
    rows = [row(OWN, 512, 40, 60), row(OWN, 2048, 20, 20), row(PEER, 512, 10, 20), row(PEER, 2048, 40, 40)]
    found = {own["batch"]: own["tokens_per_s"]["values"] for own in ratios(rows)}
    assert found == {
        "512 events": [4.0, 3.0],
        "2048 events": [0.5, 0.5],
        "best of each (512 and 2048 events)": [1.0, 1.5],
    }
    assert {own["size"] for own in ratios([row(OWN, 512, 1), row(PEER, 512, 1, parameters=980)])} == {0.98}


def test_the_page_shows_every_row_and_says_what_was_run() -> None:
    rows = [row(OWN, 512, 40, 60), row(PEER, 512, 10, 20)]
    own = {
        "command": "python -m benchmarks.training_peer", "time": "2026-01-01T00:00:00+00:00", "commit": "0" * 40,
        "dirty": False, "settings": {"threads": 1}, "versions": {"forewarn": "0"},
        "host": {"cores": 2, "processor": "a CPU", "memory_gib": 1.0, "system": "Linux", "load_1m": 0.0},
    }  # fmt: skip
    data = {"name": "x", "protocol": "temporal", "events": 10, "histories": 2, "mean_length": 5.0, "longest": 6}
    page = render({"provenance": own, "data": data, "rows": rows, "ratios": ratios(rows)})
    assert "`python -m benchmarks.training_peer`" in page and "| tiny | 512 events | **3.50 [3.00, 4.00]** |" in page
    assert page.count("| tiny | forewarn |") == page.count(f"| tiny | {PEER} |") == 1


def test_settings_that_measure_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="repeats: found 1"):
        TrainingPeerConfig(repeats=1)
    with pytest.raises(ValueError, match="found an empty list"):
        replace(TrainingPeerConfig(), models=[])
