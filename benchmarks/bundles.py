"""The bundle under test: the one that was given, or one with an untrained network, built from simulated customers.

How fast a graph runs does not depend on its weights, so nothing is trained; everything else is what training would
make: fitted vocabularies, the text encoder, calibration, export and its parity check. Bundles are kept by content:
the configuration and the code that makes them.
"""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

from benchmarks.config import BenchConfig
from forewarn.bundle import Bundle

log = logging.getLogger(__name__)
REPOSITORY = Path(__file__).resolve().parent.parent
_CUSTOMERS = 150  # about 3,500 events: enough for every vocabulary of the simulator
_TARGET = "escalation"


def bundle_under_test(config: BenchConfig) -> tuple[Bundle, bool]:
    """The bundle, and whether its weights were trained."""
    if config.bundle is not None:
        return Bundle.load(config.bundle), True
    return Bundle.load(untrained_bundle(config)), False


def untrained_bundle(config: BenchConfig) -> Path:
    """Folder of an untrained bundle of size `config.model`, built unless an equal one is there."""
    from training.config import compose

    GlobalHydra.instance().clear()  # Hydra composes one configuration at a time, and this command's own is done
    train = compose(
        f"model={config.model}",
        f"text={config.text}",
        "data=simulator",
        "protocol=customer",
        f"data.options.customers={_CUSTOMERS}",
        f"seed={config.seed}",
        "run=.",
    )
    precisions = list(dict.fromkeys(["fp32", config.precision]))
    key = _key(OmegaConf.to_yaml(OmegaConf.structured(train)), *precisions, config.provider)
    folder = Path(config.cache) / f"untrained-{config.model}-{key[:12]}"
    if not (folder / "bundle").is_dir():
        log.info("building an untrained %s bundle in %s", config.model, folder)
        _build(train, folder, precisions, config.provider)
    return folder / "bundle"


def _build(train: Any, folder: Path, precisions: list[str], provider: str) -> None:
    import torch

    from forewarn.model import SequenceModel
    from forewarn.targets import TargetSpec
    from training.export import export_bundle
    from training.heads import head_specs
    from training.prepare import prepare

    prepared = prepare(train, TargetSpec.load(_TARGET), folder / "data")
    torch.manual_seed(train.seed)
    model = SequenceModel(train.model, prepared.input_shapes, head_specs(prepared)).eval()
    export_bundle(model, prepared, folder / "bundle", precisions, provider)


def _key(*deciding: str) -> str:
    digest = hashlib.sha256("\n".join(deciding).encode())
    for room in ("src/forewarn", "training"):
        for path in sorted((REPOSITORY / room).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()
