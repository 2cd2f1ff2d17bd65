"""What every command shares: a user's mistake is one clear line, and the last line printed is one JSON object."""

from __future__ import annotations

import json
import logging
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
    print(json.dumps(result, default=_plain), flush=True)
    return result


def _plain(value: object) -> object:
    if isinstance(value, Path):
        return value.as_posix()
    raise TypeError(f"result holds a {type(value).__name__}, expected plain JSON values")
