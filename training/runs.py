"""Runs made by another command: each as a user would type it, in a process of its own, continued where it stopped."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from forewarn.bundle.manifest import METRICS
from training.config import SAVED
from training.provenance import command_of
from training.results.record import RECORD, run_origin

TRAIN = "training.train"


def make_run(module: str, overrides: Sequence[str], run: Path) -> bool:
    """Starts the run of a module, or continues an unfinished one; whether it ended well.

    ValueError where the folder is that of another recipe.
    """
    arguments = [*overrides, f"run={run}"]
    if finished(run) or (run / SAVED).is_file():
        found, expected = run_origin(run)["command"], command_of(module, *arguments)
        if found not in (expected, "unknown"):
            raise ValueError(
                f"run: found in {run} the run of `{found}`, expected that of `{expected}`; remove the folder, or name "
                "another"
            )
        if finished(run):
            return True
        arguments = ["resume=true", f"run={run}"]
    return run_module(module, arguments)


def run_module(module: str, arguments: Sequence[str]) -> bool:
    """Runs a command in a process of its own; whether it ended well."""
    return subprocess.run([sys.executable, "-m", module, *arguments], check=False).returncode == 0


def finish_run(module: str, overrides: Sequence[str], run: Path) -> None:
    """`make_run`, where nothing can go on without it: ValueError where it ends with an error."""
    if not make_run(module, overrides, run):
        raise ValueError(
            f"run: found {run} ended with an error, which is above, expected a finished run; mend its cause and "
            "give the same command again: it goes on from there"
        )


def finished(run: Path) -> bool:
    """Whether a run measured what it was to measure."""
    return (run / METRICS).is_file() or (run / RECORD).is_file()


def override_name(override: str) -> str:
    """The first part of what a Hydra override sets: `trainer` of `trainer.epochs=2` and of `+trainer=gpu`."""
    return override.lstrip("+~").partition("=")[0].partition(".")[0].partition("@")[0]
