"""What is measured is what is served, of long histories too: in process, over HTTP and streamed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from forewarn.bundle import Bundle, Scorer, seal
from forewarn.events import History
from serving.app import create_app
from serving.listener import Listener, reserve
from training.config import EvaluateConfig, TrainConfig
from training.evaluate import evaluate

LONGEST = 7  # events; most test histories are longer


@pytest.fixture(scope="module")
def short_sighted(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny bundle, reading at most `LONGEST` events at once."""
    copy = shutil.copytree(tiny_bundle, tmp_path_factory.mktemp("short") / "bundle")
    manifest = Bundle.load(copy).manifest
    featurizer = json.loads((copy / "featurizer.json").read_text())
    featurizer["config"]["max_length"] = LONGEST
    (copy / "featurizer.json").write_text(json.dumps(featurizer))
    sealed = ("schema_version", "model_hash", "files")  # what sealing finds out itself
    seal(copy, **{name: getattr(manifest, name) for name in manifest.__struct_fields__ if name not in sealed})
    return copy


@pytest.fixture(scope="module")
def url(short_sighted: Path, engine_of: Any) -> Iterator[str]:
    """A service of that bundle in this process, behind a real socket."""
    reservation = reserve("127.0.0.1", 0)
    port = reservation.getsockname()[1]
    listener = Listener(create_app(engine_of(bundle=str(short_sighted))), "127.0.0.1", port)
    yield f"http://127.0.0.1:{port}"
    listener.close(5)
    reservation.close()


def test_offline_served_and_streamed_scores_of_long_histories_are_the_same(
    short_sighted: Path, url: str, tiny_config: TrainConfig, tiny_histories: list[History], tmp_path: Path
) -> None:
    config = EvaluateConfig(
        bundle=str(short_sighted), data=tiny_config.data, protocol=tiny_config.protocol, bootstrap=0, scores=True
    )
    evaluate(replace(config, out=str(tmp_path / "offline")))
    evaluate(replace(config, out=str(tmp_path / "served"), url=url))
    offline, served = (pl.read_parquet(tmp_path / way / "scores.parquet") for way in ("offline", "served"))

    lengths = {history.history_id: len(history.events) for history in tiny_histories}
    assert max(lengths.values()) > 2 * LONGEST
    expected = [(history, k) for history, length in lengths.items() for k in range(1, length + 1)]
    assert sorted(offline.select("history_id", "prefix").rows()) == sorted(expected)
    assert offline.columns == served.columns and len(offline) == len(served)
    assert served.to_numpy()[:, 2:].astype(float) == pytest.approx(offline.to_numpy()[:, 2:].astype(float), abs=1e-4)
    measured = [json.loads((tmp_path / way / "metrics.json").read_text())["metrics"] for way in ("offline", "served")]
    for horizon, own in measured[0]["escalation"]["horizons"].items():
        other = measured[1]["escalation"]["horizons"][horizon]
        assert other["brier"]["value"] == pytest.approx(own["brier"]["value"], abs=1e-4)

    scorer = Scorer(Bundle.load(short_sighted), threads=1)
    last = f"escalation.{len(scorer.horizons('escalation')) - 1}"
    history = max(tiny_histories, key=lambda history: len(history.events))
    own = offline.filter(pl.col("history_id") == history.history_id).sort("prefix")[last].to_list()
    for k, risk in enumerate(own, start=1):
        (streamed,) = scorer.score([History(history.history_id, history.customer_id, history.events[:k])])
        assert streamed["escalation"][-1, -1] == pytest.approx(risk, abs=1e-4)
