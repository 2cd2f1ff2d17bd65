"""Your own data with no code: an event table, a split file and a target YAML are enough, for every kind of task."""

from __future__ import annotations

import csv
import json
import random
import re
from pathlib import Path

import pytest

from forewarn.bundle import Bundle, Scorer
from training.config import EvaluateConfig, compose
from training.evaluate import evaluate
from training.labelled import LabelledSplits
from training.train import train

TARGET = """
name: repair
description: A log of another trade, with every kind of task.
tasks:
  - {name: refused, kind: hazard, onset: {when: {field: outcome, equals: refused}, at: last}, horizons: [ever]}
  - {name: soon, kind: hazard, onset: {when: {field: type, equals: part_missing}}, horizons: [1 event, 3 events, ever]}
  - {name: mood, kind: classification, field: mood, at: same}
  - {name: after, kind: next_event, unit: h}
  - {name: left, kind: regression, field: remaining_time, unit: d, transform: log1p}
"""


def write_table(path: Path) -> None:
    """Sixty repair orders: a part is missing when the bench is number 7, refusals follow missing parts."""
    rng = random.Random(0)
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["order", "step", "when", "bench", "price", "mood", "outcome"])
        for order in range(60):
            clock, missing = 1_700_000_000 + order * 5_000, False
            for number in range(rng.randint(2, 9)):
                bench = rng.randint(1, 8)
                step = "part_missing" if bench == 7 else rng.choice(["received", "checked", "repaired"])
                missing |= bench == 7
                clock += rng.randint(60, 90_000)
                mood = rng.choice(["calm", "cross"])
                price = round(rng.random() * 100, 2) if number else ""
                rows.writerow([order, step, clock, f"bench {bench}", price, mood, "refused" if missing else "accepted"])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, quick: list[str]) -> Path:
    folder = tmp_path_factory.mktemp("own")
    write_table(folder / "orders.csv")
    (folder / "repair.yaml").write_text(TARGET)
    with (folder / "splits.csv").open("w") as file:
        file.write("customer_id,split\n")
        file.writelines(f"{i},{'test' if i % 4 == 0 else 'valid' if i % 4 == 1 else 'train'}\n" for i in range(60))
    config = compose(
        *quick, "data=table", f"data.events={folder / 'orders.csv'}", f"data.splits={folder / 'splits.csv'}",
        "data.columns={customer_id: order, type: step, occurred_at: when}", "data.time_format=epoch_s",
        f"target={folder / 'repair.yaml'}", "trainer.epochs=2", "sequence.min_count=1", "bootstrap=20", "lint=warn",
        "baselines=[prior,rule,logistic,lightgbm]", f"run={folder / 'run'}",
    )  # fmt: skip
    train(config)
    return folder / "run"


def test_every_kind_of_task_is_trained_measured_and_shipped(run: Path) -> None:
    metrics = json.loads((run / "metrics.json").read_text())["metrics"]
    for model in ("transformer", "prior", "rule", "logistic", "lightgbm"):
        assert metrics[model].keys() == {"refused", "soon", "mood", "after_type", "after_gap", "left"}
        assert metrics[model]["mood"]["macro_f1"]["value"] is not None
        assert metrics[model]["left"]["unit"] == "d"
    tasks = {task.name: task.outputs for task in Bundle.load(run / "bundle").manifest.tasks}
    assert tasks["soon"] == ["1 event", "3 events", "ever"]
    assert sorted(tasks["mood"]) == ["calm", "cross"]
    assert tasks["after_type"][-1] == "<end>"
    assert tasks["left"] == ["d"]


def test_the_given_split_file_decides(run: Path) -> None:
    splits = json.loads((run / "metrics.json").read_text())["data"]
    assert splits["protocol"]["split"] == "given"
    assert {name: own["histories"] for name, own in splits["splits"].items()} == {"train": 30, "valid": 15, "test": 15}


def test_evidence_of_the_target_is_never_an_input(run: Path) -> None:
    featurizer = Bundle.load(run / "bundle").featurizer
    assert {"outcome", "mood"}.isdisjoint(featurizer.vocabularies)
    assert {"type", "bench"} <= featurizer.vocabularies.keys()
    assert "price" in featurizer.attributes


def test_scores_come_in_the_users_units(run: Path) -> None:
    config = compose(
        "data=table", f"data.events={run.parent / 'orders.csv'}", f"data.splits={run.parent / 'splits.csv'}",
        "data.columns={customer_id: order, type: step, occurred_at: when}", "data.time_format=epoch_s", "run=unused",
    )  # fmt: skip
    bundle = Bundle.load(run / "bundle")
    splits = LabelledSplits.open(config.data, bundle.target, config.protocol, run / "again")
    histories = list(splits.visible("test"))
    for history, scores in zip(histories, Scorer(bundle, threads=1).score(histories), strict=True):
        length = len(history.events)
        assert scores["refused"].shape == (length, 1) and scores["soon"].shape == (length, 3)
        assert scores["mood"].sum(axis=1) == pytest.approx([1.0] * length, abs=1e-5)
        assert scores["left"].shape == (length,) and (scores["left"] > -1).all() and (scores["left"] < 30).all()


def test_an_evaluation_reports_every_kind_of_task_in_one_self_contained_page(run: Path) -> None:
    config = compose(
        "data=table", f"data.events={run.parent / 'orders.csv'}", f"data.splits={run.parent / 'splits.csv'}",
        "data.columns={customer_id: order, type: step, occurred_at: when}", "data.time_format=epoch_s",
        f"bundle={run / 'bundle'}", f"out={run / 'evaluation'}", "bootstrap=10", "report=true",
        root="evaluate", kind=EvaluateConfig,
    )  # fmt: skip
    assert evaluate(config)["difference"] == 0.0
    assert {path.name for path in (run / "evaluation").iterdir()} == {
        "metrics.json", "report.html", "report.json", "report.md"
    }  # fmt: skip
    numbers = json.loads((run / "evaluation" / "report.json").read_text())
    named = [(outcome["task"], outcome["horizon"]) for outcome in numbers["outcomes"]]
    assert named[:4] == [("refused", "ever"), ("soon", "1 event"), ("soon", "3 events"), ("soon", "ever")]
    assert {task for task, _ in named[4:]} == {"mood", "after_type", "after_gap", "left"}
    measured = json.loads((run / "evaluation" / "metrics.json").read_text())["metrics"]["refused"]["horizons"]["ever"]
    assert numbers["outcomes"][0]["whole"]["auroc"]["value"] == measured["auroc"]["value"]
    assert all(outcome["ablations"] and outcome["months"] for outcome in numbers["outcomes"])

    page = (run / "evaluation" / "report.html").read_text()
    assert not [target for target in re.findall(r'(?:href|src)="([^"]*)"', page) if not target.startswith("#")]
    assert not re.search(r"<script|<link|<img|@import|url\(", page)
    anchors = set(re.findall(r'<section id="([^"]+)"', page))
    assert set(re.findall(r'href="#([^"]+)"', page)) == anchors
    of_hazard = {"calibration", "ranking", "alerts", "months", "slices", "ablations"}
    assert {f"refused-ever-{part}" for part in of_hazard} | {"mood-classes", "left-quantiles", "model-card"} <= anchors
    assert "evaluation-time ablations" in page and page.count("<svg") > 20 and "nan" not in page
    markdown = (run / "evaluation" / "report.md").read_text()
    assert "## refused, ever" in markdown and "### Slices" in markdown and "<svg" not in markdown
