"""What a figure needs beside it to mean anything: commit, machine, versions, settings; no folder of any machine."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import onnxruntime

from benchmarks.config import BenchConfig
from serving import environment
from training.provenance import command_of, processor, without_folders

REPOSITORY = Path(__file__).resolve().parent.parent
_PACKAGES = (
    "forewarn", "fastapi", "hydra-core", "msgspec", "numpy", "prometheus-client", "psutil", "pytorch-lightning", "ray",
    "tokenizers", "torch", "uvicorn",
)  # fmt: skip
# Variables that change how fast things run, read by name: an environment also holds secrets.
_VARIABLES = (
    "CUDA_VISIBLE_DEVICES", "MALLOC_ARENA_MAX", "MKL_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS",
    "PYTHONOPTIMIZE",
)  # fmt: skip


def provenance(config: BenchConfig) -> dict[str, Any]:
    """Everything about this run but the model and the load; the time is that of the call."""
    device = {"provider": config.provider, "precision": config.precision, "name": device_name(config.provider)}
    return {**run_facts("benchmarks.run", asdict(config)), "device": device, "seed": config.seed}


def run_facts(module: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """What every benchmark notes of a run of `module`: time, command, commit, machine, versions and settings."""
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command_of(module, *sys.argv[1:]),
        **_commit(),
        "host": host(),
        "versions": _versions(),
        "environment": _environment(),
        "settings": _cleaned(settings),
    }


def host() -> dict[str, Any]:
    """Cores, processor, memory, system and load of this machine before the run."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "cores": len(os.sched_getaffinity(0)),
        "processor": processor(),
        "memory_gib": round(pages / 2**30, 1),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "load_1m": round(os.getloadavg()[0], 2),
    }


def device_name(provider: str) -> str:
    """The GPU by its own name, or the processor."""
    if provider != "cuda":
        return processor()
    query = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    return _output(query).splitlines()[0].strip() if _output(query) else "unknown GPU"


def slug(config: BenchConfig) -> str:
    """The device in a file name: 2-core-cpu, nvidia-h100-80gb-hbm3-fp16."""
    device = f"{len(os.sched_getaffinity(0))}-core-cpu"
    if config.provider == "cuda":
        device = device_name("cuda").partition(",")[0]
    precision = "" if config.precision == "fp32" else f"-{config.precision}"
    return re.sub(r"[^a-z0-9]+", "-", device.lower()).strip("-") + precision


def _cleaned(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _cleaned(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_cleaned(inner) for inner in value]
    return without_folders(value) if isinstance(value, str) else value


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "onnxruntime": onnxruntime.__version__}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _environment() -> Mapping[str, str]:
    own = {name: os.environ[name] for name in _VARIABLES if name in os.environ}
    return own | {name: os.environ.get(name, value) for name, value in environment.SETTINGS.items()}


def _commit() -> dict[str, Any]:
    commit = _output(["git", "rev-parse", "HEAD"])
    return {"commit": commit or "unknown", "dirty": bool(_output(["git", "status", "--porcelain"])) if commit else None}


def _output(command: list[str]) -> str:
    try:
        done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=20)
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
