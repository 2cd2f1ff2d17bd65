"""The commands as a user types them: sweeps, several processes, loggers, precision, export on its own."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from omegaconf import OmegaConf

from forewarn.bundle import Bundle
from forewarn.sequence import RaggedDataset, TokenBudgetBatches
from training.command import run_command
from training.config import EvaluateConfig, ExportConfig, LoggerConfig, TrainConfig, compose
from training.export import run_metrics
from training.fit import fit
from training.prepare import Prepared, prepare
from training.train import load_target


def last_line(*command: str) -> dict[str, object]:
    done = subprocess.run([sys.executable, "-m", *command], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3_000:]
    result: dict[str, object] = json.loads(done.stdout.strip().splitlines()[-1])
    return result


def test_a_sweep_gives_every_job_a_folder_of_its_own(
    small: list[str], here: Any, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert here("training.train", "-m", *small, "seed=0,1", f"run={tmp_path / 'sweep'}") == 0
    assert json.loads(capfd.readouterr().out.splitlines()[-1])["run"] == str(tmp_path / "sweep" / "1")
    hashes = {Bundle.load(tmp_path / "sweep" / job / "bundle").model_hash for job in "01"}
    assert len(hashes) == 2
    assert {path.name for path in (tmp_path / "sweep").iterdir()} == {"0", "1", "multirun.yaml"}


def test_several_processes_train_one_model(small: list[str], tmp_path: Path) -> None:
    several = ("trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2", "trainer.workers=0")
    run = tmp_path / "run"
    last_line("training.train", *small, *several, "trainer.precision=32-true", "measure=false", f"run={run}")
    # As if it had been killed after the first of two epochs.
    (run / "metrics.json").unlink()
    (run / "checkpoints" / "facts.json").unlink()
    saved = (
        (run / "config.yaml").read_text().replace("epochs: 1", "epochs: 2").replace("measure: false", "measure: true")
    )
    (run / "config.yaml").write_text(saved)
    result = last_line("training.train", "resume=true", f"run={run}")
    assert result["epochs"] == 2
    assert Bundle.load(str(result["bundle"])).model_hash == result["model_hash"]


def test_export_works_on_its_own(tiny_run: Path, here: Any, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    own = [f"run={tiny_run}", f"bundle={tmp_path / 'bundle'}", "precisions=[fp32,fp16]"]
    assert here("training.export", *own) == 0
    assert json.loads(capfd.readouterr().out.splitlines()[-1])["parity"].keys() == {"fp32", "fp16"}
    manifest = Bundle.load(tmp_path / "bundle").manifest
    assert manifest.graphs.keys() == {"fp32", "fp16"}
    assert manifest.metrics == Bundle.load(tiny_run / "bundle").manifest.metrics != {}


def test_another_model_does_not_inherit_the_metrics_of_a_run(tiny_run: Path, tmp_path: Path) -> None:
    manifest = Bundle.load(tiny_run / "bundle").manifest
    assert run_metrics(tiny_run, manifest).keys() == {"transformer", "prior", "rule", "logistic", "lightgbm", "gru"}
    other = msgspec.structs.replace(manifest, files=manifest.files | {"sequence.onnx": "0" * 64})
    assert run_metrics(tiny_run, other) == run_metrics(tmp_path, manifest) == {}


def test_the_last_line_is_json_whatever_the_figures_are(capsys: pytest.CaptureFixture[str]) -> None:
    figures = {"auroc": math.nan, "worst": [math.inf, 1.5], "bundle": Path("runs/x"), "task": {"mae": -math.inf}}
    run_command(lambda _: figures, OmegaConf.create())
    printed = capsys.readouterr().out.splitlines()[-1]
    expected = {"auroc": None, "worst": [None, 1.5], "bundle": "runs/x", "task": {"mae": None}}
    assert json.loads(printed, parse_constant=pytest.fail) == expected


@pytest.mark.parametrize(
    ("root", "kind", "key"), [("evaluate", EvaluateConfig, "bundle"), ("export", ExportConfig, "run")]
)
def test_a_value_without_default_is_asked_for_by_name(root: str, kind: type, key: str) -> None:
    with pytest.raises(ValueError, match=f"^{key}: found nothing, expected a value; give {key}="):
        compose(root=root, kind=kind)


@pytest.mark.parametrize(("kind", "left"), [("tensorboard", "tensorboard"), ("mlflow", "mlflow.db")])
def test_loggers_record_a_run_in_its_folder(
    kind: str, left: str, tiny_config: TrainConfig, tiny_run: Path, tmp_path: Path
) -> None:
    config = replace(tiny_config, logger=LoggerConfig(kind=kind), trainer=replace(tiny_config.trainer, epochs=1))
    fit(config, Prepared.load(tiny_run / "data" / "encoded"), tmp_path)
    assert (tmp_path / left).exists()


def test_bf16_arithmetic_trains(tiny_config: TrainConfig, tiny_run: Path, tmp_path: Path) -> None:
    config = replace(tiny_config, trainer=replace(tiny_config.trainer, epochs=1, precision="bf16-mixed"))
    facts = fit(config, Prepared.load(tiny_run / "data" / "encoded"), tmp_path).facts
    assert facts["valid_loss"] < 1.0


@pytest.mark.realdata
def test_batches_of_the_real_log_hold_at_least_95_percent_real_tokens(data_root: Path, tmp_path: Path) -> None:
    config = compose("data=uci_servicenow", "protocol=kairos", f"data.root={data_root}", "run=unused")
    prepared = prepare(config, load_target(config), tmp_path)
    lengths = RaggedDataset(prepared.split("train")).lengths("position")
    assert TokenBudgetBatches(lengths, config.optim.token_budget).real_token_share() >= 0.95
    assert prepared.facts["splits"]["test"] == {"histories": 5_776, "events": 17_477, "windows": 5_776}
    assert {"made_sla", "opened_at", "sys_mod_count"}.isdisjoint(prepared.featurizer.vocabularies)
    assert {"made_sla", "opened_at", "outcome.closed_at"}.isdisjoint(prepared.featurizer.attributes)
