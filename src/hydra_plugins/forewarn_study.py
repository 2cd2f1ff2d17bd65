"""`hydra/sweeper=study`: Hydra's way in to `training.search`.

Hydra takes sweepers from a package of this name alone, and imports all of it whenever any Hydra program starts, the
service included. So nothing is imported here before a study runs, and annotations are no strings: Hydra runs the file
before it is a known module.
"""

from dataclasses import dataclass, field

from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


@dataclass
class StudyConfig:
    """`hydra.sweeper` of a search."""

    _target_: str = "hydra_plugins.forewarn_study.StudySweeper"
    # Space of overrides: choice(a, b), interval(0.0, 0.4), int(interval(1, 6)), tag(log, interval(1e-4, 1e-2)).
    params: dict[str, str] = field(default_factory=dict)
    n_trials: int = 40  # finished trials at the end, those of earlier starts included
    startup: int = 10  # trials drawn at random before the TPE sampler learns from them
    seed: int = 0  # of the sampler
    report: str | None = None  # Markdown file to write the table of the study to, beside <hydra.sweep.dir>/study.md


class StudySweeper(Sweeper):
    """Runs one job per trial, in this process, until `n_trials` have finished."""

    def __init__(self, params: dict[str, str], n_trials: int, startup: int, seed: int, report: str | None) -> None:
        self.study = StudyConfig(params=params, n_trials=n_trials, startup=startup, seed=seed, report=report)

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Keeps the composed configuration, and makes the launcher that runs the jobs."""
        self.config = config
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> None:
        """Runs what is left of the study."""
        HydraConfig.instance().set_config(self.config)  # Hydra sets it for jobs alone, and the folder's name reads it
        from training.command import run_command
        from training.search import search

        run_command(lambda config: search(self.study, config, self.launcher, arguments), self.config)


ConfigStore.instance().store(group="hydra/sweeper", name="study", node=StudyConfig, provider="forewarn")
