"""What trainings in tests share. Commands run in the test's own process: to start one costs seconds, most of a run."""

from __future__ import annotations

import logging
import runpy
import sys
import warnings
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from subprocess import CompletedProcess
from types import SimpleNamespace

import pytest
from hydra.core.config_store import ConfigStore

from training.config import TrainConfig
from training.train import train

Here = Callable[..., int]
_THREE = """
name: three
complete: false
tasks:
  - {name: escalation, kind: hazard, onset: {when: {field: type, equals: escalation.onset}}, horizons: [1d, 14d]}
  - {name: next, kind: classification, field: channel, at: next}
  - {name: wait, kind: regression, field: gap, transform: log1p}
"""


@pytest.fixture(scope="session")
def three(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A target with a task of every kind, on simulated customers."""
    path = tmp_path_factory.mktemp("targets") / "three.yaml"
    path.write_text(_THREE)
    return path


@pytest.fixture(scope="module")
def run(config: TrainConfig) -> Path:
    """The folder of a training by the `config` that the module itself defines."""
    train(config)
    return Path(config.run)


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Here:
    """`here("training.train", "seed=1")` runs `python -m training.train seed=1` in this process; its exit status."""

    def run(module: str, *arguments: str) -> int:
        spec, root, store = find_spec(module), logging.getLogger(), ConfigStore.instance()
        assert spec is not None and spec.origin is not None
        handlers, level, schemas = root.handlers[:], root.level, dict(store.repo)
        with monkeypatch.context() as patch, warnings.catch_warnings():
            patch.setattr(sys, "argv", [spec.origin, *arguments])
            warnings.filterwarnings("ignore", ".*found in sys.modules", RuntimeWarning)
            try:
                runpy.run_module(module, run_name="__main__", alter_sys=True)
            except SystemExit as ended:
                return ended.code if isinstance(ended.code, int) else 0
            finally:
                root.handlers[:] = handlers  # Hydra's print to the streams of this test
                root.setLevel(level)
                store.repo.update(schemas)  # the program, run as a script, registered its own anew
        return 0

    return run


@pytest.fixture
def runs_here(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs that another command makes start in this process."""

    def run(command: Sequence[str], check: bool) -> CompletedProcess[str]:
        python, dash_m, module, *arguments = command
        assert (python, dash_m, check) == (sys.executable, "-m", False)
        return CompletedProcess(command, here(module, *arguments))

    monkeypatch.setattr("training.runs.subprocess", SimpleNamespace(run=run))
