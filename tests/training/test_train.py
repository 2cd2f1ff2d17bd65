"""Training runs: whole, repeatable, resumable after a kill, honest about shuffled labels."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from forewarn.model import Ensemble
from forewarn.sequence import RaggedDataset, RaggedWriter
from training.config import TrainConfig, compose
from training.fit import fit
from training.measure import SplitRows, measure, score_split
from training.prepare import Prepared, prepare
from training.target import load_target
from training.train import resumed, train


def losses(curve: list[dict[str, float]]) -> list[tuple[float, float]]:
    """What of a curve is the same on every machine."""
    return [(epoch["train/loss"], epoch["valid/loss"]) for epoch in curve]


def test_a_run_leaves_metrics_a_report_and_a_bundle(tiny_run: Path) -> None:
    metrics = json.loads((tiny_run / "metrics.json").read_text())
    assert metrics["metrics"].keys() == {"transformer", "prior", "rule", "logistic", "lightgbm", "gru"}
    for model in metrics["metrics"].values():
        horizons = model["escalation"]["horizons"]
        assert list(horizons) == ["1h", "4h", "1d", "3d", "7d", "14d"]
        measured = horizons["14d"]
        for name in ("auroc", "auprc", "brier", "ece", "recall_5", "recall_12"):
            assert measured[name]["value"] is not None
        rows = {model["escalation"]["horizons"]["14d"]["rows"] for model in metrics["metrics"].values()}
        assert len(rows) == 1, "every model is measured on the same rows"
    assert (tiny_run / "report.md").read_text().startswith("# escalation on simulator")
    assert (tiny_run / "bundle" / "manifest.json").is_file()


def test_a_killed_run_continues_with_the_same_loss_curve(small: list[str], here: Any, tmp_path: Path) -> None:
    whole, killed = tmp_path / "runs" / "whole", tmp_path / "runs" / "killed"
    recipe = [*small, "optim.token_budget=512", "trainer.epochs=6", "trainer.patience=6", "measure=false"]
    train(compose(*recipe, f"run={whole}"))

    command = [sys.executable, "-m", "training.train", *recipe, f"run={killed}"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 200
    while not (killed / "checkpoints" / "last.ckpt").is_file():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (killed / "metrics.json").exists()

    assert here("training.train", "resume=true", f"run={killed}") == 0
    facts = [json.loads((run / "metrics.json").read_text())["training"] for run in (whole, killed)]
    curves = [losses(own["curve"]) for own in facts]
    assert len(curves[0]) == 6
    assert curves[0] == curves[1]


def test_there_must_be_a_run_to_resume(here: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert here("training.train", "resume=true", f"run={tmp_path}/none/here") == 2
    shown = capfd.readouterr().err
    assert "error: resume: found no unfinished run" in shown and "Traceback" not in shown


def test_a_mistyped_run_continues_no_other_and_without_a_name_the_newest_unfinished_goes_on(tmp_path: Path) -> None:
    for name in ("2026-01-01", "2026-01-02", "2026-01-03"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.yaml").write_text("run: elsewhere\nseed: 7\n")
    (tmp_path / "2026-01-03" / "metrics.json").write_text("{}")
    with pytest.raises(ValueError, match=r"resume: found no unfinished run in .*typo"):
        resumed(tmp_path / "typo", named=True)
    newest = resumed(tmp_path / "2026-01-04", named=False)
    assert (newest.run, newest.seed, newest.resume) == (str(tmp_path / "2026-01-02"), 7, True)


def test_a_folder_that_holds_another_run_is_refused_and_left_as_it_is(tiny_config: TrainConfig, tiny_run: Path) -> None:
    before = (tiny_run / "config.yaml").read_text()
    with pytest.raises(ValueError, match=r"^run: found best\.ckpt of an earlier run in .*resume=true"):
        train(replace(tiny_config, seed=5))
    assert (tiny_run / "config.yaml").read_text() == before


def test_the_loss_curve_shows_the_mean_of_each_epoch(tiny_config: TrainConfig, tiny_run: Path, tmp_path: Path) -> None:
    prepared = Prepared.load(tiny_run / "data" / "encoded")
    still = replace(
        tiny_config,
        model=replace(tiny_config.model, layers=1, dropout=0.0, field_dropout=0.0, event_dropout=0.0),
        # A batch is one history, so that the mean is the same in whatever order they come.
        optim=replace(tiny_config.optim, learning_rate=0.0, ema=0.0, token_budget=1),
        trainer=replace(tiny_config.trainer, epochs=2, threads=1),
    )
    # Weights that never change lose the same every epoch; the last batch does not.
    first, second = fit(still, prepared, tmp_path).facts["curve"]
    assert first["train/loss"] == pytest.approx(second["train/loss"], rel=1e-4)


def test_a_moved_run_still_knows_its_best_model(tiny_config: TrainConfig, tiny_run: Path, tmp_path: Path) -> None:
    prepared = Prepared.load(tiny_run / "data" / "encoded")
    first, moved = tmp_path / "first", tmp_path / "moved"
    config = replace(tiny_config, trainer=replace(tiny_config.trainer, epochs=1))
    fit(config, prepared, first)
    shutil.move(first, moved)
    (moved / "checkpoints" / "facts.json").unlink()  # what a killed run has not written yet
    last = torch.load(moved / "checkpoints" / "last.ckpt", weights_only=False)
    (state,) = (own for key, own in last["callbacks"].items() if key.startswith("BestCheckpoint"))
    for name in ("best_model_score", "kth_value"):
        state[name] = torch.tensor(0.0)  # a loss that no later epoch can beat
    state["best_k_models"] = dict.fromkeys(state["best_k_models"], torch.tensor(0.0))
    torch.save(last, moved / "checkpoints" / "last.ckpt")
    best = (moved / "checkpoints" / "best.ckpt").read_bytes()
    longer = replace(config, resume=True, trainer=replace(config.trainer, epochs=2))
    assert fit(longer, prepared, moved).facts["valid_loss"] == 0.0
    assert (moved / "checkpoints" / "best.ckpt").read_bytes() == best


def test_training_stops_when_the_validation_loss_stops_falling(
    tiny_config: TrainConfig, tiny_run: Path, tmp_path: Path
) -> None:
    prepared = Prepared.load(tiny_run / "data" / "encoded")
    hopeless = replace(
        tiny_config,
        optim=replace(tiny_config.optim, learning_rate=0.0, ema=0.0),
        trainer=replace(tiny_config.trainer, epochs=9, patience=2),
    )
    assert fit(hopeless, prepared, tmp_path).facts["epochs"] == 1 + 2


def test_shuffled_labels_leave_nothing_to_learn(tiny_config: TrainConfig, tiny_run: Path, tmp_path: Path) -> None:
    prepared = shuffled(Prepared.load(tiny_run / "data" / "encoded"), tmp_path)
    fitted = fit(replace(tiny_config, run=str(tmp_path / "run")), prepared, tmp_path / "run")
    rows = SplitRows.load(prepared.split("test"), prepared.target)

    class Torch:
        """The trained network in the place of a bundle's scorer."""

        def run_all(self, histories: list, progress: bool) -> list[dict[str, np.ndarray]]:  # type: ignore[type-arg]
            import torch

            from forewarn.model import Scores
            from forewarn.sequence import collate

            with torch.no_grad():
                feed = {name: torch.from_numpy(array) for name, array in collate(histories).items()}
                risk = Scores(fitted.model).eval()(**feed)[0].numpy()
            return [{"escalation": risk[i, : h.length]} for i, h in enumerate(histories)]

    scores = score_split(Torch(), rows.histories, prepared.target)  # type: ignore[arg-type]
    measured = measure(prepared.target, rows, scores, 200)["escalation"]["horizons"]["14d"]["auroc"]
    low, high = measured["low"], measured["high"]
    assert low - 0.03 <= 0.5 <= high + 0.03, measured


def shuffled(prepared: Prepared, folder: Path) -> Prepared:
    """The same inputs with the label arrays of other histories, cut or repeated to length."""
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    for split in ("train", "valid", "test"):
        dataset = RaggedDataset(prepared.split(split))
        rows = [dataset[i] for i in range(len(dataset))]
        with RaggedWriter(folder / f"{split}.arrow") as writer:
            for (history_id, arrays), other in zip(rows, rng.permutation(len(rows)), strict=True):
                labels = {
                    name: np.resize(array, (len(arrays["position"]), *array.shape[1:]))
                    for name, array in rows[other][1].items()
                    if "." in name
                }
                writer.add(history_id, {name: array for name, array in arrays.items() if "." not in name} | labels)
    return replace(prepared, folder=folder)


def test_evaluate_measures_what_the_run_measured(tiny_config: TrainConfig, tiny_run: Path, tmp_path: Path) -> None:
    from training.config import EvaluateConfig
    from training.evaluate import evaluate

    result = evaluate(
        EvaluateConfig(
            bundle=str(tiny_run / "bundle"), data=tiny_config.data, protocol=tiny_config.protocol,
            out=str(tmp_path / "out"), bootstrap=0, scores=True,
        )
    )  # fmt: skip
    run = json.loads((tiny_run / "metrics.json").read_text())["metrics"]["transformer"]["escalation"]["horizons"]
    again = json.loads((tmp_path / "out" / "metrics.json").read_text())["metrics"]["escalation"]["horizons"]
    for horizon, measured in run.items():
        assert again[horizon]["auroc"]["value"] == pytest.approx(measured["auroc"]["value"], abs=1e-4)
        assert again[horizon]["brier"]["value"] == pytest.approx(measured["brier"]["value"], abs=1e-4)
    assert result["events"] == run["1h"]["rows"] or result["events"] > run["1h"]["rows"]
    assert (tmp_path / "out" / "scores.parquet").is_file()


def test_a_prepared_folder_is_found_again_and_rebuilt_when_its_configuration_changes(
    tiny_config: TrainConfig, tiny_run: Path, tmp_path: Path
) -> None:
    import shutil

    from training.prepare import prepare
    from training.train import load_target

    folder = tmp_path / "data"
    shutil.copytree(tiny_run / "data", folder)
    before = (folder / "encoded" / "train.arrow").stat().st_mtime_ns
    target = load_target(tiny_config)
    prepare(tiny_config, target, folder)
    assert (folder / "encoded" / "train.arrow").stat().st_mtime_ns == before
    changed = replace(tiny_config, sequence=replace(tiny_config.sequence, min_count=50))
    prepare(changed, target, folder)
    assert (folder / "encoded" / "train.arrow").stat().st_mtime_ns > before


def test_long_histories_become_windows_that_label_every_prefix_once(tiny_run: Path) -> None:
    from training.datamodule import encoded_row
    from training.encode import labelled_windows

    dataset = RaggedDataset(tiny_run / "data" / "encoded" / "train.arrow")
    name, arrays = max((dataset[i] for i in range(len(dataset))), key=lambda row: len(row[1]["position"]))
    history = encoded_row(name, arrays)
    labels = {"t.label": np.arange(history.length, dtype=np.int32)}
    for longest in (4, 7, history.length - 1, history.length):
        seen: list[int] = []
        for start, window, own in labelled_windows(history, labels, longest):
            assert window.length <= longest and window.event_ids == history.event_ids[start : start + window.length]
            seen += own["t.label"][own["t.label"] >= 0].tolist()
        assert seen == list(range(history.length))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["data=table", "data.events=nowhere.csv", "target=escalation"], "data.events: found no file"),
        (["data=table", "data.events=README.md"], "target: found nothing"),
        (["target=no_such_target"], "target: found 'no_such_target'"),
        (["optim.weighting=nobody"], "optim.weighting"),
        (["baselines=[prior,oracle]"], "baselines: found 'oracle', expected some of prior"),
        (["precisions=[fp32,int3]"], "precisions: found 'int3', expected some of fp32, fp16"),
        (["precisions=[fp16]"], "precisions: found ['fp16'], expected fp32 among them"),
        (["trainer.epochs=0"], "trainer.epochs: found 0, expected at least 1"),
        (["run=README.md/run"], "run: found README.md/run, not a folder to write to"),
        (["page=README.md/report.md"], "page: found README.md, not a folder to write to"),
        (["model.width=30"], "model.width=30"),
    ],
)
def test_a_users_mistake_names_the_setting(overrides: list[str], message: str, tmp_path: Path) -> None:
    with pytest.raises(Exception, match=re.escape(message)):
        train(compose(f"run={tmp_path / 'run'}", *overrides))


def test_a_gpu_that_is_not_there_is_named_before_anything_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(ValueError, match=r"^trainer\.accelerator: found 'gpu', but torch .* sees no GPU"):
        train(compose("trainer=gpu", f"run={tmp_path / 'run'}"))
    assert not (tmp_path / "run").exists()


def test_runs_differ_by_seed_and_repeat_with_it(tiny_config: TrainConfig, tiny_run: Path, tmp_path: Path) -> None:
    prepared = Prepared.load(tiny_run / "data" / "encoded")
    short = replace(tiny_config, trainer=replace(tiny_config.trainer, epochs=1))
    curves = [
        losses(fit(replace(short, seed=seed), prepared, tmp_path / str(number)).facts["curve"])
        for number, seed in enumerate((1, 1, 2))
    ]
    assert curves[0] == curves[1] != curves[2]


def test_averaged_weights_train_and_export(tiny_config: TrainConfig, tiny_run: Path, tmp_path: Path) -> None:
    from training.export import export_bundle

    prepared = Prepared.load(tiny_run / "data" / "encoded")
    one = replace(tiny_config.model, layers=1)
    averaged = replace(tiny_config, model=one, optim=replace(tiny_config.optim, ema=0.9))
    fitted = fit(replace(averaged, trainer=replace(averaged.trainer, epochs=2)), prepared, tmp_path / "run")
    assert export_bundle(fitted.model, prepared, tmp_path / "bundle", ["fp32"]).parity["fp32"] <= 1e-4


def test_datasets_are_memory_mapped(tiny_run: Path) -> None:
    before = pa.total_allocated_bytes()
    dataset = RaggedDataset(tiny_run / "data" / "encoded" / "train.arrow")
    assert len(dataset) > 0 and pa.total_allocated_bytes() - before < 1_000_000


def test_the_composed_configuration_is_typed() -> None:
    with pytest.raises(Exception, match="epochs"):
        compose("trainer.epochs=many", "run=x")


def test_an_ensemble_trains_its_members_with_a_seed_each_and_trains_a_finished_one_no_more(
    small: list[str], tmp_path: Path
) -> None:
    config = compose(*small, "ensemble=2", "weights.half_life_days=30", f"run={tmp_path}")
    prepared = prepare(config, load_target(config), tmp_path / "data")
    fitted = fit(config, prepared, tmp_path)
    assert isinstance(fitted.model, Ensemble) and len(fitted.facts["members"]) == 2
    first, second = (dict(own.named_parameters()) for own in fitted.model.members)
    assert any(not torch.equal(first[name], second[name]) for name in first)

    best = [tmp_path / "checkpoints" / f"member-{number}" / "best.ckpt" for number in (0, 1)]
    before = [path.stat().st_mtime_ns for path in best]
    assert fit(config, prepared, tmp_path).facts == fitted.facts
    assert [path.stat().st_mtime_ns for path in best] == before
