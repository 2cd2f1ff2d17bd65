"""The linter as a command and as the first step of a training."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from training.config import TrainConfig, compose
from training.lint import LintConfig, lint, lint_run
from training.prepare import Prepared
from training.train import train

TARGET = """
name: refusal
exclude_events: {field: step, equals: handed_back}
tasks:
  - {name: refused, kind: hazard, onset: {when: {field: outcome, equals: refused}, at: last}, horizons: [ever]}
"""


@pytest.fixture(scope="module")
def orders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a target and two tables of repair orders: an honest one, and one with a copy of the outcome."""
    folder = tmp_path_factory.mktemp("orders")
    (folder / "refusal.yaml").write_text(TARGET)
    rng = random.Random(0)
    honest, leaky = ["customer_id,type,occurred_at,step,outcome"], ["customer_id,type,occurred_at,step,outcome,grade"]
    for order in range(160):
        clock, refused = 1_700_000_000 + order * 40_000, rng.random() < 0.4
        steps = ["received", *rng.choices(["checked", "repaired", "waiting"], k=rng.randint(2, 6)), "handed_back"]
        early = rng.random() < 0.1  # now and then it shows before the end
        for step in steps:
            clock += rng.randint(600, 9_000)
            shown = step == "handed_back" or (early and step == "waiting")
            outcome = "refused" if refused and shown else "accepted"
            row = f"{order},order.{step},{clock},{step},{outcome}"
            honest.append(row)
            leaky.append(f"{row},{'B' if outcome == 'refused' else 'A'}")
    (folder / "honest.csv").write_text("\n".join(honest))
    (folder / "leaky.csv").write_text("\n".join(leaky))
    return folder


def overrides(orders: Path, table: str, run: Path) -> list[str]:
    return ["data=table", f"data.events={orders / table}", f"target={orders / 'refusal.yaml'}", f"run={run}"]


@pytest.mark.parametrize(("table", "code"), [("honest.csv", 0), ("leaky.csv", 2)])
def test_the_command_ends_with_2_when_an_input_reveals_the_label(
    orders: Path, table: str, code: int, here: Any, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert here("training.lint", *overrides(orders, table, tmp_path)) == code
    shown = capfd.readouterr().out
    result = json.loads(shown.strip().splitlines()[-1])
    report = json.loads(Path(result["report"]).read_text())
    assert result["error"] == report["counts"]["error"] == code // 2
    assert result.keys() >= {"run", "report", "error", "warning", "note"}
    assert ("grade: tells the value of outcome" in shown) == bool(code)
    assert ("**grade**" in (tmp_path / "lint.md").read_text()) == bool(code)


def test_a_setting_that_looks_at_nothing_is_refused(orders: Path, tmp_path: Path) -> None:
    config = compose(*overrides(orders, "honest.csv", tmp_path), "histories=0", root="lint", kind=LintConfig)
    with pytest.raises(ValueError, match="histories=0"):
        lint(config)


def test_evidence_that_is_listed_as_an_input_is_refused(orders: Path, tmp_path: Path) -> None:
    listed = "data.inputs.categorical=[outcome]"
    config = compose(*overrides(orders, "honest.csv", tmp_path), listed, root="lint", kind=LintConfig)
    with pytest.raises(ValueError, match=r"data\.inputs\.categorical: found 'outcome'"):
        lint(config)


def test_training_refuses_before_it_fits(orders: Path, tmp_path: Path) -> None:
    config = compose(*overrides(orders, "leaky.csv", tmp_path / "run"), "text=none", "model=tiny", "lint=refuse")
    with pytest.raises(ValueError, match=r"lint: found inputs that reveal the label: grade \(copy of the evidence\)"):
        train(config)
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_a_training_run_keeps_what_was_found(tiny_run: Path) -> None:
    kept = json.loads((tiny_run / "metrics.json").read_text())["lint"]
    assert kept["mode"] == "warn"
    assert kept["counts"]["error"] == 0
    assert {finding["check"] for finding in kept["findings"]} == {"training and test share time or customers"}


def test_off_looks_at_nothing(tiny_config: TrainConfig, tiny_run: Path, tmp_path: Path) -> None:
    prepared = Prepared.load(tiny_run / "data" / "encoded")
    assert lint_run(replace(tiny_config, lint="off"), prepared, tmp_path / "no such folder") == {"mode": "off"}
    assert compose("lint=off", "run=x").lint == "off"
    with pytest.raises(Exception, match="lint: found 'strict', expected one of warn, refuse, off"):
        compose("lint=strict", "run=x")


@pytest.mark.realdata
@pytest.mark.parametrize("data", ["helpdesk", "uss_sgd"])
def test_public_logs_reveal_no_label(data: str, data_root: Path, tmp_path: Path) -> None:
    config = compose(f"data={data}", f"data.root={data_root}", f"run={tmp_path}", root="lint", kind=LintConfig)
    assert lint(config)[1]["error"] == 0
