"""Studies: what is searched, what a study remembers, and what it never reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import optuna
import pytest
from omegaconf import OmegaConf
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from forewarn.bundle import Bundle
from forewarn.sequence import RaggedDataset
from hydra_plugins.forewarn_study import StudyConfig
from training.config import ExportConfig
from training.export import main as export
from training.search import ask, best_of, finished, open_study, own_values, search, search_space
from training.study_page import study_page


def test_a_study_of_two_trials_goes_on_to_three_and_never_touches_the_test_split(
    small: list[str], here: Any, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    folder = tmp_path / "simulator-tiny"
    where = f"hydra.sweep.dir={tmp_path}/${{hydra:runtime.choices.data}}-${{hydra:runtime.choices.model}}"

    def study(trials: int) -> tuple[dict[str, Any], str]:
        own = ["model.width=64", "model.mlp_width=176", where, f"hydra.sweeper.n_trials={trials}"]
        assert here("training.train", "-m", "hparams_search=recipe", *small, *own) == 0
        printed = capfd.readouterr().out
        return json.loads(printed.strip().splitlines()[-1]), printed

    first, _ = study(2)
    before = (folder / "study.md").read_text()
    second, output = study(3)
    assert (first["trials"], second["trials"]) == (2, 3)
    assert output.count("Launching 1 jobs") == 1
    assert sorted(path.name for path in folder.iterdir() if path.name.isdigit()) == ["0", "1", "2"]

    losses = [json.loads((folder / job / "metrics.json").read_text())["training"]["valid_loss"] for job in "012"]
    assert second["valid_loss"] == min(losses), "the objective is the validation loss"
    assert [path.parent.name for path in folder.glob("*/checkpoints")] == [str(second["best"])]

    assert len(RaggedDataset(folder / "data" / "encoded" / "valid.arrow")) > 0
    assert not list(folder.rglob("test.arrow")) and not list(folder.rglob("bundle"))
    page = (folder / "study.md").read_text()
    assert before != page and "3 finished trials" in page
    assert "python -m training.train model=tiny" in page and "model.width=64" in page

    best = OmegaConf.structured(ExportConfig(run=str(folder / str(second["best"]))))
    assert Bundle.load(export(best)["bundle"]).manifest.parity["fp32"] <= 1e-4, "the best can be exported as it is"


def test_a_sweep_is_searched_and_a_plain_value_is_not() -> None:
    space, fixed = search_space([
        "optim.learning_rate=tag(log, interval(1e-4, 1e-2))", "model.layers=int(interval(1, 6))",
        "optim.token_budget=choice(256, 512)", "model=tiny,base", "data=uci_servicenow",
    ])  # fmt: skip
    assert space == {
        "optim.learning_rate": FloatDistribution(1e-4, 1e-2, log=True),
        "model.layers": IntDistribution(1, 6),
        "optim.token_budget": CategoricalDistribution(["256", "512"]),
        "model": CategoricalDistribution(["tiny", "base"]),
    }
    assert fixed == ["data=uci_servicenow"]


def test_the_command_line_has_the_last_word() -> None:
    space, fixed = search_space(["optim.ema=choice(0.9, 0.98)", "model.layers=interval(1, 6)", "model.layers=2"])
    assert list(space) == ["optim.ema"]
    assert fixed == ["model.layers=2"]


def test_a_space_without_a_choice_is_refused() -> None:
    with pytest.raises(ValueError, match=r"hydra\.sweeper\.params: found nothing to choose"):
        search_space(["model=tiny"])


def test_a_study_that_would_read_the_test_split_is_refused() -> None:
    config = OmegaConf.create({"measure": True})
    with pytest.raises(ValueError, match="measure: found true"):
        search(StudyConfig(params={"optim.ema": "choice(0.9, 0.98)"}), config, None, [])  # type: ignore[arg-type]


def test_an_interrupted_trial_does_not_count_and_is_drawn_again(tmp_path: Path) -> None:
    space = {"rate": FloatDistribution(1e-4, 1e-2, log=True), "budget": CategoricalDistribution(["256", "512"])}
    settings, start = StudyConfig(startup=2), {"rate": 2e-3}

    def run(folder: Path, interrupt_at: int | None) -> list[dict[str, object]]:
        for number in range(6):
            if number == interrupt_at:
                ask(open_study(folder, {}), space, settings, start)  # the process dies here
            own = open_study(folder, {})
            trial = ask(own, space, settings, start)
            own.tell(trial, trial.params["rate"])
        return [trial.params for trial in finished(open_study(folder, {}))]

    unbroken = run(tmp_path / "unbroken", None)
    assert unbroken[0]["rate"] == 2e-3 and unbroken[1]["rate"] != 2e-3
    for interrupt_at in (0, 4):
        folder = tmp_path / f"killed-{interrupt_at}"
        assert run(folder, interrupt_at) == unbroken
        states = [trial.state.name for trial in open_study(folder, {}).trials]
        assert states.count("FAIL") == 1 and states.count("COMPLETE") == 6


def test_a_study_begins_with_what_the_recipe_has_of_its_space() -> None:
    config = OmegaConf.create(
        {
            "optim": {"learning_rate": 2e-3, "ema": 0.98, "token_budget": 512},
            "model": {"ageing": True, "layers": 2, "width": 32},
            "hydra": {"runtime": {"choices": {"model": "tiny"}}},
        }
    )
    space, _ = search_space([
        "optim.learning_rate=tag(log, interval(1e-4, 1e-2))", "optim.ema=interval(0.99, 0.999)",
        "model.layers=interval(1, 6)", "optim.token_budget=choice(256, 512)", "model.ageing=false,true",
        "model.width=choice(64, 128)", "model=tiny,base",
    ])  # fmt: skip
    assert own_values(config, space) == {
        "optim.learning_rate": 2e-3, "model.layers": 2, "optim.token_budget": "512", "model.ageing": "True",
        "model": "tiny",
    }  # fmt: skip


def test_losses_that_do_not_compare_stay_apart(tmp_path: Path) -> None:
    open_study(tmp_path, {"target": "sla_miss", "seed": "0"})
    with pytest.raises(ValueError, match="target: found reassignment, expected sla_miss"):
        open_study(tmp_path, {"target": "reassignment", "seed": "0"})


def test_a_trial_that_diverged_comes_last_and_has_no_loss() -> None:
    own = optuna.create_study()
    for loss in (0.5, None, 0.25):
        trial = own.ask({"rate": FloatDistribution(0.0, 1.0)})
        own.tell(trial, loss, state=None if loss else optuna.trial.TrialState.PRUNED)
    best = best_of(own.trials)
    assert best is not None and best.number == 2
    rows = [line.split(" | ")[:2] for line in study_page("study", own.trials, []).splitlines()[-3:]]
    assert rows == [["| 2", "0.2500"], ["| 0", "0.5000"], ["| 1", "-"]]
