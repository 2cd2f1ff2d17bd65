"""The peer's own virtual environment, and workers run in it or in ours."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import venv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

log = logging.getLogger(__name__)
PEER = "hotpp-benchmark"
REPOSITORY = Path(__file__).resolve().parents[2]
# The same torch as ours, so that a difference is the toolkits' own.
REQUIREMENTS = (f"torch=={torch.__version__.partition('+')[0]}", f"{PEER}==0.7.0")


def peer_python(cache: Path) -> Path:
    """The interpreter of the peer's environment, which is made when its requirements are not installed yet."""
    folder = cache / "environment"
    python, done = folder / "bin" / "python", folder / "requirements.txt"
    wanted = "\n".join(REQUIREMENTS)
    if not done.is_file() or done.read_text() != wanted:
        log.info("installing %s into an environment of its own, %s", PEER, folder)
        venv.create(folder, clear=True, with_pip=True)
        install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *REQUIREMENTS]
        subprocess.run(install, check=True)
        done.write_text(wanted)
    return python


def run_worker(name: str, task: Mapping[str, Any], python: Path | None = None) -> dict[str, Any]:
    """The figures of one worker on one task; `python` is our own interpreter unless given.

    RuntimeError with the end of its output when the worker fails.
    """
    threads = str(task["threads"])
    environment = {**os.environ, "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads, "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [python or sys.executable, "-m", f"benchmarks.peers.{name}"],
        input=json.dumps(task),
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        env=environment,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{name} ended with code {done.returncode}:\n{done.stderr[-2_000:]}")
    figures: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return figures
