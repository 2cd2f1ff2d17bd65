"""Trees behind competing tasks: they ship together, and what they say fits one future, in Python and in the graph."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from forewarn.bundle import Bundle, Scorer
from forewarn.model import ScoresAndLogits
from forewarn.targets import TargetSpec
from training.boosting import CANDIDATES, boost
from training.calibration import calibrate
from training.competing import within_one
from training.config import BoostingConfig, TrainConfig, compose
from training.export import export_bundle
from training.fit import load_network
from training.hybrid import Hybrid, scores_and_features
from training.measure import SplitRows, score_split
from training.prepare import Prepared
from training.table import Table

TARGET = """
name: ending
complete: false
keep_inputs: [status]
tasks:
  - {name: escalation, kind: hazard, horizons: [1d, 7d], competes_in: ending,
     onset: {when: {field: type, equals: escalation.onset}}}
  - {name: wait, kind: regression, field: gap, transform: log1p}
  - {name: closure, kind: hazard, horizons: [1d, 7d], competes_in: ending,
     onset: {when: {field: status, equals: closed}}, cooldown: {until: {field: type, equals: ticket.created}}}
"""
CAUSES = ("escalation", "closure")


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory, small: list[str]) -> TrainConfig:
    folder = tmp_path_factory.mktemp("competing-hybrid")
    (folder / "target.yaml").write_text(TARGET)
    made: TrainConfig = compose(
        *small, "protocol=customer", "data.options.customers=80", f"target={folder / 'target.yaml'}",
        "hybrid.enabled=true", "hybrid.folds=2", f"run={folder / 'run'}",
    )  # fmt: skip
    return made


@pytest.fixture(scope="module")
def rows(run: Path) -> SplitRows:
    prepared = Prepared.load(run / "data" / "encoded")
    return SplitRows.load(prepared.split("test"), prepared.target)


def test_trees_of_competing_tasks_ship_together(run: Path) -> None:
    found = json.loads((run / "metrics.json").read_text())["metrics"]["hybrid"]
    fitted = [found[task]["fitted"] for task in CAUSES]
    won = sum(own["loss"] for own in fitted) < sum(own["loss_of_network"] for own in fitted)
    assert won, "after one epoch, trees know more than the network"
    assert [own["ships"] for own in fitted] == [True, True]
    scorers = {task.name: task.scorer for task in Bundle.load(run / "bundle").manifest.tasks}
    assert [scorers[task] for task in CAUSES] == ["hybrid", "hybrid"]


def test_risks_of_shipped_trees_never_fall_and_never_add_up_to_more_than_one(run: Path, rows: SplitRows) -> None:
    bundle = Bundle.load(run / "bundle")
    served = score_split(Scorer(bundle), rows.histories, bundle.target)
    risks = [served[task] for task in CAUSES]
    assert sum(risks).max() <= 1 + 1e-5  # type: ignore[union-attr]
    assert all((np.diff(risk, axis=1) >= 0).all() and (risk >= 0).all() for risk in risks)


def test_the_graph_scales_what_trees_say_as_python_does(
    config: TrainConfig, run: Path, rows: SplitRows, tmp_path: Path
) -> None:
    """With trees that are sure of both causes in most rows, as those of a small data set may be in some."""
    prepared = Prepared.load(run / "data" / "encoded")
    target, network = prepared.target, load_network(run)
    scores = ScoresAndLogits(network, calibrate(network, prepared, config.weights)).eval()
    said, features = scores_and_features(scores, rows.histories)
    models = {}
    for cause, share in zip(CAUSES, (0.6, 0.9), strict=True):
        label = (np.arange(len(features)) % 10 < 10 * share).astype(np.int8)
        table = Table(features, label, np.ones(len(features)))
        sure = boost(target.task(cause), table, table, [], CANDIDATES[0], BoostingConfig(1, 1, 1), 0)
        models[cause] = [sure, sure]
    hybrid = Hybrid(models)
    apart = [hybrid(target.task(cause), features, said[0]) for cause in CAUSES]
    total = sum(apart)
    assert isinstance(total, np.ndarray) and (total > 1).mean() > 0.5 and (total < 1).any()
    fitted = hybrid.scores(target.tasks, features, said)
    export_bundle(network, prepared, tmp_path / "both", ["fp32"], hybrid=hybrid)
    served = score_split(Scorer(Bundle.load(tmp_path / "both")), rows.histories, target)
    for cause, own in zip(CAUSES, apart, strict=True):
        np.testing.assert_allclose(fitted[cause], own / np.maximum(total, 1))
        # Float noise carries a row over a threshold of a tree now and then.
        assert np.quantile(np.abs(served[cause] - fitted[cause]), 0.99) <= 1e-4


def test_trees_of_one_cause_fit_one_future_with_the_network_s_scores_of_another(
    config: TrainConfig, run: Path, rows: SplitRows, tmp_path: Path
) -> None:
    prepared = Prepared.load(run / "data" / "encoded")
    [rounds] = Hybrid.load(run / "hybrid.json").models["closure"][1:]
    always = Hybrid({"escalation": [rounds, rounds]})  # as sure of an escalation as of a closure
    network = load_network(run)
    calibration = calibrate(network, prepared, config.weights)
    export_bundle(network, prepared, tmp_path / "one", ["fp32"], hybrid=always, calibration=calibration)
    served = score_split(Scorer(Bundle.load(tmp_path / "one")), rows.histories, prepared.target)
    total = served["escalation"] + served["closure"]
    assert ((total[:, -1] > 1 - 1e-6) & (total[:, -1] <= 1 + 1e-6)).mean() > 0.5 and total.max() <= 1 + 1e-6


def test_each_group_is_scaled_by_its_own_longest_horizon_where_that_exceeds_one() -> None:
    written = ", ".join(
        f"{{name: {name}, kind: hazard, onset: {{when: {{field: type, equals: {name}}}}}, horizons: [1d, 2d], "
        f"competes_in: {group}}}"
        for name, group in (("a", "one"), ("b", "two"), ("c", "one"), ("d", "two"))
    )
    tasks = TargetSpec.from_yaml(f"{{name: x, complete: false, tasks: [{written}]}}").tasks
    said = {"a": np.array([[0.1, 0.6]]), "b": np.array([[0.5, 0.9]]), "c": np.array([[0.1, 0.4]]), "d": np.ones((1, 2))}
    found = within_one(tasks, said)
    assert list(found) == list(said)
    np.testing.assert_array_equal(found["a"], said["a"])
    np.testing.assert_allclose(found["b"] + found["d"], [[1.5 / 1.9, 1]])
    assert within_one(tasks, {"b": said["b"]})["b"] is said["b"]
