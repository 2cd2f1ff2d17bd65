"""What every command shares: a user's mistake is one clear line, and the last line printed is one JSON object."""

from __future__ import annotations

import json
import logging
import math
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

# Libraries that report every step of their work at a level meant for progress.
_TALKATIVE = ("pytorch_lightning", "torch.onnx", "onnxscript", "onnx_ir", "alembic", "fsspec")
Main = Callable[[DictConfig], dict[str, Any]]


def run_command(main: Main, config: DictConfig) -> dict[str, Any]:
    """Runs a command's function, prints its result as the last line and returns it; a ValueError ends with code 2."""
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.ERROR)
    # Lightning advises more loader processes and logging steps on every small run; both are set on purpose.
    warnings.filterwarnings("ignore", module="pytorch_lightning")
    warnings.filterwarnings("ignore", message=".*LeafSpec.*")
    try:
        result = main(config)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    if is_first_process():  # those of a distributed run share the output
        print(json.dumps(_plain(result), allow_nan=False), flush=True)
    return result


def is_first_process() -> bool:
    """Whether this is the process of a distributed run that writes and prints, as the only one of another run is."""
    return os.environ.get("LOCAL_RANK", "0") == "0"


def make_folder(folder: Path, setting: str) -> None:
    """Makes a folder to write into; ValueError naming the setting where that cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(
            f"{setting}: found {folder}, not a folder to write to ({error.strerror}); name another"
        ) from None
    if not os.access(folder, os.W_OK):
        raise ValueError(f"{setting}: found {folder}, which this user may not write to; name another")


def _plain(value: Any) -> Any:
    """The value as JSON knows it: a path is text, and a number that is none (NaN, infinity) is null."""
    if isinstance(value, dict):
        return {name: _plain(own) for name, own in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(own) for own in value]
    if isinstance(value, Path):
        return value.as_posix()
    return None if isinstance(value, float) and not math.isfinite(value) else value
