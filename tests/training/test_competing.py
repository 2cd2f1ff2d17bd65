"""Competing tasks from raw events to a bundle, on customers whose true cumulative incidences are known in closed form.

A customer leaves or complains, whichever comes first, each with a constant hazard; plain customers soon complain
and gold ones leave. So the truth within t days is P(leaves first) = q / (q + c) * (1 - exp(-(q + c) t)).
"""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from forewarn.bundle import Bundle, Scorer
from forewarn.bundle.session import open_session
from forewarn.model import Scores
from forewarn.model.scores import link
from training.calibration import calibrate
from training.config import EvaluateConfig, TrainConfig, compose
from training.evaluate import evaluate
from training.fit import load_network
from training.measure import SplitRows, score_split
from training.network_outputs import network_outputs
from training.prepare import Prepared

PER_DAY = {"plain": {"leaves": 0.1, "complains": 0.5}, "gold": {"leaves": 0.3, "complains": 0.1}}
DAYS = (1, 3, 7)
TARGET = """
name: ending
complete: false
tasks:
"""
TASK = """
  - {{name: {0}, kind: hazard, onset: {{when: {{field: type, equals: {0}}}}}, horizons: [1d, 3d, 7d],
     cooldown: {{for: ever}}, competes_in: ending}}
"""


def truth(plan: str, task: str) -> list[float]:
    total = sum(PER_DAY[plan].values())
    return [PER_DAY[plan][task] / total * (1 - math.exp(-total * days)) for days in DAYS]


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory, quick: list[str]) -> TrainConfig:
    folder, dice = tmp_path_factory.mktemp("competing"), random.Random(5)
    lines = ["customer_id,type,plan,occurred_at"]
    for customer in range(3_000):
        plan = ("plain", "gold")[customer % 2]
        start = dice.uniform(0, 10)
        wait = {task: dice.expovariate(rate) for task, rate in PER_DAY[plan].items()}
        first = min(wait, key=wait.__getitem__)
        for kind, days in (("start", start), (first, start + wait[first])):
            lines.append(f"c{customer},{kind},{plan},{1_772_000_000 + 86_400 * days:.0f}")
    lines.append(f"last,note,plain,{1_772_000_000 + 86_400 * 30:.0f}")  # all are watched for weeks
    (folder / "events.csv").write_text("\n".join(lines) + "\n")
    (folder / "target.yaml").write_text(TARGET + "".join(TASK.format(task) for task in ("leaves", "complains")))
    made: TrainConfig = compose(
        *quick, "data=table", f"data.root={folder}", "data.events=events.csv", f"target={folder / 'target.yaml'}",
        "protocol=customer", "protocol.valid_fraction=0.4", "optim.learning_rate=5e-3", "optim.token_budget=128",
        "optim.ema=0.9", "trainer.epochs=4", "baselines=[prior,logistic]", "precisions=[fp32,fp16]",
        f"run={folder / 'run'}",
    )  # fmt: skip
    return made


@pytest.fixture(scope="module")
def rows(run: Path) -> SplitRows:
    prepared = Prepared.load(run / "data" / "encoded")
    return SplitRows.load(prepared.split("test"), prepared.target)


def by_plan(run: Path, rows: SplitRows, values: Any) -> dict[str, Any]:
    """The mean of values [N, K] over the starts of each plan."""
    vocabularies = Bundle.load(run / "bundle").featurizer.vocabularies
    column = list(vocabularies).index("plan")
    token = np.concatenate([own.categorical[:, column] for own in rows.histories])
    starts = np.concatenate([np.arange(own.length) == 0 for own in rows.histories])
    own = {plan: starts & (token == vocabularies["plan"].encode([plan])[0]) for plan in PER_DAY}
    assert all(chosen.sum() > 100 for chosen in own.values())
    return {plan: values[chosen].mean(axis=0) for plan, chosen in own.items()}


def test_the_trained_risk_is_the_true_cumulative_incidence_and_the_naive_one_is_not(
    config: TrainConfig, run: Path, rows: SplitRows
) -> None:
    bundle, prepared = Bundle.load(run / "bundle"), Prepared.load(run / "data" / "encoded")
    served = score_split(Scorer(bundle), rows.histories, bundle.target)
    network = load_network(run)
    scores = Scores(network, calibrate(network, prepared, config.weights)).eval()
    naive = network_outputs(scores.logits, rows.histories)
    for task, logits in zip(bundle.target.tasks, naive, strict=True):
        found = by_plan(run, rows, served[task.name])
        alone = by_plan(run, rows, link("hazard", torch.from_numpy(logits)).numpy())
        for plan in PER_DAY:
            np.testing.assert_allclose(found[plan], truth(plan, task.name), atol=0.05)
        rarer = "plain" if task.name == "leaves" else "gold"
        assert alone[rarer][-1] > truth(rarer, task.name)[-1] + 0.1, "ended by itself alone, a cause looks likelier"


def test_served_risks_of_a_row_never_fall_and_never_add_up_to_more_than_one(run: Path, rows: SplitRows) -> None:
    bundle = Bundle.load(run / "bundle")
    for precision in ("fp32", "fp16"):
        served = score_split(Scorer(bundle, precision=precision), rows.histories, bundle.target)
        assert all((np.diff(risk, axis=1) >= 0).all() for risk in served.values())
        assert sum(served.values()).max() <= 1 + 1e-5  # type: ignore[union-attr]


def test_the_graph_says_what_torch_says_in_both_precisions(config: TrainConfig, run: Path, rows: SplitRows) -> None:
    bundle, prepared = Bundle.load(run / "bundle"), Prepared.load(run / "data" / "encoded")
    assert bundle.manifest.parity["fp32"] <= 1e-5 and bundle.manifest.parity["fp16"] <= 1e-2
    network = load_network(run)
    scores = Scores(network, calibrate(network, prepared, config.weights)).eval()
    served = score_split(Scorer(bundle), rows.histories, bundle.target)
    for task, own in zip(bundle.target.tasks, network_outputs(scores, rows.histories), strict=True):
        np.testing.assert_allclose(served[task.name], own, atol=1e-5)
    assert [node.name for node in open_session(bundle.graph("fp32"), "cpu").get_outputs()] == ["leaves", "complains"]


def test_metrics_baselines_and_the_report_are_those_of_any_hazard(config: TrainConfig, run: Path) -> None:
    found = json.loads((run / "metrics.json").read_text())["metrics"]
    for task in ("leaves", "complains"):
        own = {name: found[name][task]["horizons"] for name in ("transformer", "prior", "logistic")}
        assert all(horizons.keys() == {"1d", "3d", "7d"} for horizons in own.values())
        assert own["transformer"]["7d"]["brier"]["value"] < own["prior"]["7d"]["brier"]["value"] - 0.03
    out = run / "evaluation"
    options: dict[str, Any] = {"bootstrap": 0, "out": str(out), "report": True}
    evaluated = evaluate(EvaluateConfig(bundle=f"{run}/bundle", data=config.data, protocol=config.protocol, **options))
    assert evaluated["difference"] == 0.0
    assert "complains" in (out / "report.html").read_text()
