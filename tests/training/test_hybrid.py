"""The hybrid: out of fold, of every kind of task, in one graph that says what Python says, and chosen on validation."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from forewarn.bundle import Bundle, Scorer
from forewarn.model import ScoresAndLogits
from forewarn.sequence import RaggedDataset
from training import target_encoding
from training.boosting import CANDIDATES, boost
from training.config import BoostingConfig, TrainConfig, compose
from training.export import export_bundle
from training.hybrid import Hybrid, fold_numbers, out_of_fold, scores_and_features
from training.measure import SplitRows, score_split
from training.network_outputs import network_outputs
from training.prepare import Prepared
from training.soft_labels import add_soft_labels
from training.table import tables
from training.target_encoding import TargetEncoding
from training.tree_choice import mean_loss
from training.weights import column


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory, small: list[str], three: Path) -> TrainConfig:
    folder = tmp_path_factory.mktemp("hybrid")
    made: TrainConfig = compose(
        *small, "protocol=customer", "data.options.customers=40", "baselines=[prior]",
        f"target={three}", "hybrid.enabled=true", "hybrid.folds=2", "boosting.seeds=2",
        "precisions=[fp32,fp16]", f"run={folder / 'run'}",
    )  # fmt: skip
    return made


@pytest.fixture(scope="module")
def results(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "metrics.json").read_text())["metrics"]
    return found


def test_what_wins_on_the_unseen_rows_is_what_ships(run: Path, results: dict[str, Any]) -> None:
    manifest = Bundle.load(run / "bundle").manifest
    fitted = {name: result["fitted"] for name, result in results["hybrid"].items()}
    assert fitted.keys() == {"escalation", "next", "wait"}
    for task in manifest.tasks:
        won = fitted[task.name]["loss"] < fitted[task.name]["loss_of_network"]
        assert fitted[task.name]["ships"] == won
        assert task.scorer == ("hybrid" if won else "transformer")
    assert any(task.scorer == "hybrid" for task in manifest.tasks), "after one epoch, trees know more than the network"
    assert "| hybrid |" in (run / "bundle" / "MODEL_CARD.md").read_text()


def test_one_graph_says_what_trees_and_network_say_in_python(config: TrainConfig, run: Path) -> None:
    """Of every kind of task, on rows that neither export nor parity check has seen."""
    bundle = Bundle.load(run / "bundle")
    prepared = Prepared.load(run / "data" / "encoded")
    hybrid = Hybrid.load(run / "hybrid.json")
    test = SplitRows.load(prepared.split("test"), prepared.target)
    served = score_split(Scorer(bundle), test.histories, prepared.target)
    scores = _scores(run, prepared, config)
    said, features = scores_and_features(scores, test.histories)
    assert hybrid.models
    expected = hybrid.scores(prepared.target.tasks, features, said)
    for task, own in expected.items():
        # Float noise carries an output over a step of the rounding once in thousands of rows.
        assert np.quantile(np.abs(served[task] - own), 0.99) <= 1e-4, task


def test_parity_is_within_the_limits_of_each_precision(run: Path) -> None:
    parity = Bundle.load(run / "bundle").manifest.parity
    assert parity["fp32"] <= 1e-4 and parity["fp16"] <= 1e-2


def test_risks_of_the_hybrid_never_fall_with_the_horizon(run: Path) -> None:
    bundle, prepared = Bundle.load(run / "bundle"), Prepared.load(run / "data" / "encoded")
    test = SplitRows.load(prepared.split("test"), prepared.target)
    risk = score_split(Scorer(bundle), test.histories, prepared.target)["escalation"]
    assert risk.shape[1] == 2 and (np.diff(risk, axis=1) >= 0).all() and ((risk >= 0) & (risk <= 1)).all()


def test_a_stream_scores_like_a_batch(run: Path) -> None:
    scorer = Scorer(Bundle.load(run / "bundle"))
    prepared = Prepared.load(run / "data" / "encoded")
    histories = SplitRows.load(prepared.split("test"), prepared.target).histories[:8]
    together = scorer.run_all(histories)
    for history, whole in zip(histories, together, strict=True):
        for length in (1, history.length // 2 + 1):
            [alone] = scorer.run([history.take(slice(0, length))])
            for task, own in alone.items():
                np.testing.assert_allclose(own[-1], whole[task][length - 1], atol=1e-4)


def test_a_student_is_taught_what_the_trees_say(run: Path, tmp_path: Path) -> None:
    bundle, prepared = Bundle.load(run / "bundle"), Prepared.load(run / "data" / "encoded")
    taught = Path(shutil.copyfile(prepared.split("train"), tmp_path / "train.arrow"))
    add_soft_labels(taught, bundle)
    said = score_split(Scorer(bundle), SplitRows.load(taught, prepared.target).histories, prepared.target)
    rows = RaggedDataset(taught)
    for name, task in (("next.soft_label", "next"), ("wait.soft_value", "wait")):
        np.testing.assert_allclose(column(rows, name), said[task], atol=1e-6)
    onset = column(rows, "escalation.soft_onset").astype(np.float64)
    np.testing.assert_allclose(1 - np.cumprod(1 - onset, axis=1), said["escalation"], atol=1e-5)


def test_a_bundle_exported_again_is_the_same_hybrid(config: TrainConfig, run: Path, tmp_path: Path) -> None:
    from training.config import ExportConfig
    from training.export import main

    bundle = Bundle.load(run / "bundle")
    from omegaconf import OmegaConf

    again = main(OmegaConf.structured(ExportConfig(run=str(run), bundle=str(tmp_path / "b"), precisions=["fp32"])))
    exported = Bundle.load(again["bundle"]).manifest
    assert [task.scorer for task in exported.tasks] == [task.scorer for task in bundle.manifest.tasks]
    assert exported.files["sequence.onnx"] == bundle.manifest.files["sequence.onnx"]


def test_the_graph_encodes_tokens_and_mixes_as_python_does(
    config: TrainConfig, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(target_encoding, "_FEW", 2)  # the simulator has no wide field
    prepared = Prepared.load(run / "data" / "encoded")
    scores = _scores(run, prepared, config)
    valid, test = (SplitRows.load(prepared.split(name), prepared.target) for name in ("valid", "test"))
    sizes, models = prepared.input_shapes.cardinalities, {}
    for task in prepared.target.tasks:
        _, features = scores_and_features(scores, valid.histories)
        models[task.name] = []
        for table in tables(task, valid.tasks[task.name], features):
            encoding = TargetEncoding.fit(task, table, sizes)
            assert encoding is not None
            wide = table._replace(features=encoding.extend(table.features))
            fitted = boost(task, wide, wide, [], CANDIDATES[0], BoostingConfig(1, 1, 1), 0)
            models[task.name].append(replace(fitted, encoding=encoding))
    shares = {"escalation": 0.25, "next": 0.5, "wait": 0.75}
    Hybrid(models, shares).save(tmp_path / "hybrid.json")
    hybrid = Hybrid.load(tmp_path / "hybrid.json")
    export_bundle(scores.model, prepared, tmp_path / "bundle", ["fp32"], hybrid=hybrid)  # type: ignore[arg-type]
    served = score_split(Scorer(Bundle.load(tmp_path / "bundle")), test.histories, prepared.target)
    network, features = scores_and_features(scores, test.histories)
    expected = hybrid.scores(prepared.target.tasks, features, network)
    trees = Hybrid(models).scores(prepared.target.tasks, features, network)
    for task, own in expected.items():
        assert np.quantile(np.abs(served[task] - own), 0.99) <= 1e-4, task
        assert np.abs(own - trees[task]).max() > 0.01, "the network has its share"


def test_a_task_without_trees_keeps_the_networks_scores(config: TrainConfig, run: Path, tmp_path: Path) -> None:
    prepared = Prepared.load(run / "data" / "encoded")
    scores = _scores(run, prepared, config)
    [name] = list(Hybrid.load(run / "hybrid.json").models)[:1]
    only = Hybrid.load(run / "hybrid.json").only([name])
    export_bundle(scores.model, prepared, tmp_path / "bundle", ["fp32"], hybrid=only)  # type: ignore[arg-type]
    bundle = Bundle.load(tmp_path / "bundle")
    assert {task.name: task.scorer for task in bundle.manifest.tasks}[name] == "hybrid"
    test = SplitRows.load(prepared.split("test"), prepared.target)
    served = score_split(Scorer(bundle), test.histories, prepared.target)
    said, _ = scores_and_features(scores, test.histories)
    for task, own in zip(prepared.target.tasks, said, strict=True):
        if task.name != name:
            assert np.abs(served[task.name].reshape(own.shape) - own).max() <= 1e-4


def test_training_rows_are_scored_by_networks_that_never_saw_them(config: TrainConfig, run: Path) -> None:
    prepared = Prepared.load(run / "data" / "encoded")
    everyone = {name for name, _ in _rows(RaggedDataset(prepared.split("train")))}
    folds = [RaggedDataset(run / "hybrid" / f"fold-{fold}" / "train.arrow") for fold in range(2)]
    seen = [{name for name, _ in _rows(dataset)} for dataset in folds]
    assert seen[0] | seen[1] == everyone and not seen[0] & seen[1]
    histories = SplitRows.load(prepared.split("train"), prepared.target).histories
    fold_H = fold_numbers([history.history_id for history in histories], 2, config.seed)
    found = out_of_fold(replace(config, resume=True), prepared, histories, fold_H, run / "hybrid")
    again = _scores(run / "hybrid" / "fold-1", replace(prepared, folder=run / "hybrid" / "fold-1"), config)
    held_out = [history.history_id not in seen[1] for history in histories]
    rows = np.repeat(held_out, [history.length for history in histories])
    for own, output in zip(found, network_outputs(again, histories), strict=True):
        np.testing.assert_allclose(own[rows], output[rows], atol=1e-5)


def test_windows_of_one_history_share_a_fold_and_folds_are_balanced() -> None:
    ids = [f"h{number // 3}" for number in range(90)]
    folds = fold_numbers(ids, 3, seed=1)
    assert all(len(set(folds[i : i + 3])) == 1 for i in range(0, 90, 3))
    assert np.bincount(folds).tolist() == [30, 30, 30]
    assert not np.array_equal(folds, fold_numbers(ids, 3, seed=2))
    with pytest.raises(ValueError, match=r"hybrid\.folds: found 3, expected at most the number of training histories"):
        fold_numbers(["a", "a", "b"], 3, seed=0)


def test_the_loss_that_decides_prefers_the_truth(run: Path) -> None:
    prepared = Prepared.load(run / "data" / "encoded")
    rows = SplitRows.load(prepared.split("valid"), prepared.target).tasks
    size = len(rows["next"].prefix())
    for task in prepared.target.tasks:
        own = rows[task.name]
        targets = own.targets(task)
        if task.kind == "hazard":
            truth, other = np.zeros((size, len(targets))), np.full((size, len(targets)), 0.5)
            for number, (known, label) in enumerate(targets):
                truth[known, number] = label
        elif task.kind == "classification":
            [(known, label)] = targets
            classes = len(task.classes)  # type: ignore[union-attr, arg-type]
            truth, other = np.full((size, classes), 0.0), np.full((size, classes), 1 / classes)
            truth[np.flatnonzero(known), label.astype(int)] = 1
        else:
            [(known, label)] = targets
            truth, other = np.zeros(size), np.full(size, float(label.mean()))
            truth[known] = label
        alike = np.ones(len(truth))
        exact, vague = (mean_loss(task, said, own, alike) for said in (truth, other))
        assert exact is not None and vague is not None and exact < 1e-5 < vague


def test_folds_need_two() -> None:
    with pytest.raises(ValueError, match=r"hybrid\.folds: found 1"):
        compose("hybrid.folds=1", "run=x")


def _scores(run: Path, prepared: Prepared, config: TrainConfig) -> ScoresAndLogits:
    from training.calibration import calibrate
    from training.fit import load_network

    network = load_network(run)
    scores = ScoresAndLogits(network, calibrate(network, prepared, config.weights)).eval()
    assert isinstance(scores, ScoresAndLogits)
    return scores


def _rows(dataset: Any) -> list[tuple[str, Any]]:
    return [dataset[i] for i in range(len(dataset))]
