"""A search over the recipe: `python -m training.train -m hparams_search=recipe data=…` runs its jobs from here.

Optuna behind a Hydra sweeper of our own, because hydra-optuna-sweeper holds Optuna below 3. What it promises:

- The objective is the validation loss of the best epoch. Jobs run with `measure=false`, so there is no test
  split to look at.
- The study lives in `<hydra.sweep.dir>/study.db`; the same command continues it. An interrupted trial does not count,
  and since every choice depends on the seed and the finished trials alone, it is drawn again as it was.
- The first trial is the recipe as it stands, so that the table says what the search has found beyond it.
- One process per study. Only the best trial keeps its checkpoints.
"""

from __future__ import annotations

import json
import logging
import math
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override, Transformer
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig, OmegaConf
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState

from hydra_plugins.forewarn_study import StudyConfig
from training.fit import CHECKPOINTS
from training.study_page import study_page

log = logging.getLogger(__name__)
_FREE = ("hydra", "run", "data_folder", "resume")  # what a study may differ in from start to start
Space = dict[str, BaseDistribution]


def search(settings: StudyConfig, config: DictConfig, launcher: Launcher, arguments: list[str]) -> dict[str, Any]:
    """Runs what is left of a study, one job per trial; writes its table after each and returns the best trial."""
    space, fixed = search_space([*(f"{name}={value}" for name, value in settings.params.items()), *arguments])
    if config.measure:
        raise ValueError("measure: found true, expected false: a search may not read the test split; leave it out")
    start = own_values(config, space)
    folder = Path(config.hydra.sweep.dir)
    study = open_study(folder, _deciding(settings, config, space))
    while (done := len(finished(study))) < settings.n_trials:
        trial = ask(study, space, settings, start)
        chosen = {name: shown(value) for name, value in trial.params.items()}
        log.info("trial %d, %d of %d: %s", trial.number, done + 1, settings.n_trials, chosen)
        started = time.monotonic()
        overrides = [*fixed, *(f"{name}={value}" for name, value in chosen.items())]
        (job,) = launcher.launch([overrides], initial_job_idx=trial.number)
        result = job.return_value  # raises what the job raised
        for name in ("epochs", "parameters"):
            trial.set_user_attr(name, result[name])
        trial.set_user_attr("minutes", round((time.monotonic() - started) / 60, 2))
        loss = result["valid_loss"]
        if loss is not None and math.isfinite(loss):
            study.tell(trial, loss)
        else:  # it diverged: a finished trial, the worst of all
            study.tell(trial, state=TrialState.PRUNED)
        _drop_checkpoints(folder, study)
        _write_page(settings, folder, study, fixed)
    best = _write_page(settings, folder, study, fixed)
    chosen = {name: shown(value) for name, value in best.params.items()} if best else {}
    loss = best.value if best else None
    return {
        "study": folder,
        "trials": done,
        "best": best.number if best else None,
        "valid_loss": loss,
        "choice": chosen,
    }


def search_space(overrides: Sequence[str]) -> tuple[Space, list[str]]:
    """Sweeps among Hydra overrides as distributions, the rest as it is; the last word on a name counts."""
    last: dict[str, Override] = {}
    for override in OverridesParser.create().parse_overrides(list(overrides)):
        last.pop(override.get_key_element(), None)
        last[override.get_key_element()] = override
    space = {name: _distribution(override) for name, override in last.items() if override.is_sweep_override()}
    fixed = [f"{name}={own.get_value_element_as_str()}" for name, own in last.items() if name not in space]
    if not space:
        raise ValueError(
            "hydra.sweeper.params: found nothing to choose, expected at least one sweep such as "
            "optim.ema: choice(0.9, 0.98); add one, or use hparams_search=recipe"
        )
    return space, fixed


def _distribution(override: Override) -> BaseDistribution:
    value = override.value()
    if not isinstance(value, IntervalSweep):
        return CategoricalDistribution([str(choice) for choice in override.sweep_iterator(Transformer.encode)])
    assert value.start is not None and value.end is not None
    logarithmic = "log" in value.tags
    if isinstance(value.start, int) and isinstance(value.end, int):
        return IntDistribution(value.start, value.end, log=logarithmic)
    return FloatDistribution(value.start, value.end, log=logarithmic)


def open_study(folder: Path, settings: Mapping[str, str]) -> optuna.Study:
    """The study of a folder, new or continued; ValueError names the settings it was started with otherwise."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    folder.mkdir(parents=True, exist_ok=True)
    study = optuna.create_study(
        storage=f"sqlite:///{(folder / 'study.db').absolute()}", study_name="search", load_if_exists=True
    )
    before = json.loads(study.user_attrs.get("settings", "null"))
    if before is None:
        study.set_user_attr("settings", json.dumps(settings))
    elif before != settings:
        names = sorted(name for name in before.keys() | settings.keys() if before.get(name) != settings.get(name))
        raise ValueError(
            f"{names[0]}: found {settings.get(names[0])}, expected {before.get(names[0])} like the study in {folder} "
            f"(differing: {', '.join(names)}); losses would not compare, so give another hydra.sweep.dir"
        )
    for interrupted in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        study.tell(interrupted.number, state=TrialState.FAIL)
    return study


def own_values(config: DictConfig, space: Space) -> dict[str, Any]:
    """The values that a configuration has itself, of all names whose space has them."""
    found: dict[str, Any] = {}
    for name, distribution in space.items():
        chosen = config.hydra.runtime.choices.get(name)  # of a config group
        value = OmegaConf.select(config, name) if chosen is None else chosen
        if isinstance(distribution, CategoricalDistribution):
            value = str(value)
            within = value in distribution.choices
        else:
            assert isinstance(distribution, FloatDistribution | IntDistribution)
            within = isinstance(value, int | float) and distribution.low <= value <= distribution.high
        if within:
            found[name] = value
    return found


def ask(study: optuna.Study, space: Space, settings: StudyConfig, start: Mapping[str, Any]) -> optuna.Trial:
    """The next trial, at first with `start`; what it tries depends on the seed and the finished trials alone."""
    if not finished(study) and not study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
        study.enqueue_trial(dict(start))
    study.sampler = optuna.samplers.TPESampler(
        seed=settings.seed + len(finished(study)), n_startup_trials=settings.startup
    )
    return study.ask(space)


def finished(study: optuna.Study) -> list[FrozenTrial]:
    """The trials that count: those that ran to their end."""
    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))


def best_of(trials: Sequence[FrozenTrial]) -> FrozenTrial | None:
    """The trial with the lowest validation loss, the earliest of equals; None where none has one."""
    measured = [trial for trial in trials if trial.value is not None]
    return min(measured, key=lambda trial: (trial.value, trial.number), default=None)


def shown(value: Any) -> str:
    """A value as it is given to the job and shown in the table: numbers to four digits."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _flat(value: Any, name: str = "") -> dict[str, str]:
    if not isinstance(value, dict):
        return {name: str(value)}
    return {
        key: text for own, inner in value.items() for key, text in _flat(inner, f"{name}.{own}".lstrip(".")).items()
    }


def _deciding(settings: StudyConfig, config: DictConfig, space: Space) -> dict[str, str]:
    """Everything that decides what a trial's loss means; names to values, as text."""
    own = OmegaConf.masked_copy(config, [str(name) for name in config if name not in _FREE])
    flat = _flat(OmegaConf.to_container(own, resolve=False))
    flat |= {f"hydra.sweeper.params.{name}": repr(distribution) for name, distribution in space.items()}
    return flat | {"hydra.sweeper.seed": str(settings.seed), "hydra.sweeper.startup": str(settings.startup)}


def _write_page(settings: StudyConfig, folder: Path, study: optuna.Study, fixed: Sequence[str]) -> FrozenTrial | None:
    trials = finished(study)
    page = study_page(folder.name, trials, fixed)
    for path in (folder / "study.md", *([Path(settings.report)] if settings.report else [])):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(page)
    return best_of(trials)


def _drop_checkpoints(folder: Path, study: optuna.Study) -> None:
    best = best_of(finished(study))
    for checkpoints in folder.glob(f"*/{CHECKPOINTS}"):
        if best is None or checkpoints.parent.name != str(best.number):
            shutil.rmtree(checkpoints)
