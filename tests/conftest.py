"""Shared fixtures, and what `realdata` means.

A test marked `realdata` reads a public data set in place. Where the data root is missing such tests are deselected and
one line says so: a fresh clone passes without them, and nobody mistakes "not run" for "passed".
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from forewarn.events import History
    from training.config import TrainConfig

REPOSITORY = Path(__file__).resolve().parent.parent
DATA_ROOT = Path(os.environ.get("FOREWARN_DATA", REPOSITORY.parent / "shared" / "data")).resolve()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if DATA_ROOT.is_dir():
        return
    deselected = [item for item in items if item.get_closest_marker("realdata")]
    if not deselected:
        return
    config.hook.pytest_deselected(items=deselected)
    items[:] = [item for item in items if not item.get_closest_marker("realdata")]
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None:
        reporter.write_line(
            f"realdata: {len(deselected)} tests deselected: found no folder {DATA_ROOT}, expected public data sets; "
            "set FOREWARN_DATA to their folder"
        )


@pytest.fixture(scope="session")
def repository() -> Path:
    """The repository root."""
    return REPOSITORY


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder of the public data sets; only tests marked `realdata` may ask for it."""
    return DATA_ROOT


@pytest.fixture(scope="session")
def quick() -> list[str]:
    """Overrides of a run that takes seconds, whatever its data: the smallest network, one epoch, nothing beside it."""
    return [
        "model=tiny", "model.layers=1", "text=none", "logger=none", "lint=off", "trainer.epochs=1",
        "trainer.least_steps=0", "trainer.progress=false", "trainer.threads=1", "bootstrap=0", "baselines=[]",
        "boosting.candidates=1", "boosting.seeds=1",
    ]  # fmt: skip


@pytest.fixture(scope="session")
def small(quick: list[str]) -> list[str]:
    """`quick` on few simulated customers, whose split is by time."""
    return [*quick, "data.options.customers=60", "data.options.hazard_scale=1e-4", "optim.token_budget=1024"]


@pytest.fixture(scope="session")
def tiny_config(tmp_path_factory: pytest.TempPathFactory) -> TrainConfig:
    """A training configuration that takes seconds: few simulated customers, the tiny model, the real text encoder."""
    from training.config import compose

    # Exported encoders and text vectors outlive the session: they depend on nothing but the encoder and the texts.
    cache = REPOSITORY / ".pytest_cache" / "forewarn" / "text"
    return compose(
        "model=tiny",
        "logger=none",
        "protocol=customer",
        "data.options.customers=150",
        "data.options.hazard_scale=1e-4",
        "trainer.epochs=3",
        "trainer.least_steps=0",
        "trainer.progress=false",
        "trainer.threads=2",
        "optim.token_budget=1024",
        "bootstrap=20",
        "boosting.candidates=1",
        "boosting.seeds=1",
        f"text.cache_dir={cache}",
        f"run={tmp_path_factory.mktemp('run')}",
    )


@pytest.fixture(scope="session")
def tiny_run(tiny_config: TrainConfig) -> Path:
    """The folder of a whole training run under `tiny_config`."""
    from training.train import train

    train(tiny_config)
    return Path(tiny_config.run)


@pytest.fixture(scope="session")
def tiny_bundle(tiny_run: Path) -> Path:
    """The bundle of `tiny_run`."""
    return tiny_run / "bundle"


@pytest.fixture(scope="session")
def tiny_histories(tiny_config: TrainConfig, tiny_run: Path) -> list[History]:
    """The test histories of `tiny_run`, as its model may see them."""
    from training.labelled import LabelledSplits
    from training.train import load_target

    folder = tiny_run / "again"
    splits = LabelledSplits.open(tiny_config.data, load_target(tiny_config), tiny_config.protocol, folder)
    return list(splits.visible("test"))


@pytest.fixture(scope="session")
def silent_config(tmp_path_factory: pytest.TempPathFactory, quick: list[str]) -> TrainConfig:
    """An ageing run on customers whose only signal is silence.

    Pings come every six hours or so, whatever happened before. Where nothing comes, an onset follows some two hours
    after the sixth hour, and rarely before. So no history is worse than another, and only its silence tells.
    """
    import random

    from training.config import compose

    folder, dice = tmp_path_factory.mktemp("silent"), random.Random(0)
    lines = ["customer_id,type,occurred_at"]
    for customer in range(120):
        hours = dice.uniform(0, 24)
        kind = "ping"
        while hours < 8 * 24:
            lines.append(f"c{customer},{kind},{1_772_000_000 + 3_600 * hours:.0f}")
            ping = dice.expovariate(1 / 6)
            onset = 6 + dice.expovariate(1 / 2) if dice.random() > 0.03 else dice.uniform(0, 6)
            kind = "ping" if ping < onset else "onset"
            hours += min(ping, onset)
    (folder / "events.csv").write_text("\n".join(lines) + "\n")
    (folder / "target.yaml").write_text(
        "name: silent\ncomplete: false\ntasks:\n"
        "  - {name: onset, kind: hazard, onset: {when: {field: type, equals: onset}}, horizons: [2h, 12h]}\n"
    )
    return compose(
        *quick, "data=table", f"data.root={folder}", "data.events=events.csv", f"target={folder / 'target.yaml'}",
        "protocol=customer", "model.layers=2", "model.ageing=true", "optim.learning_rate=5e-3",
        "optim.token_budget=256", "optim.ema=0.9", "trainer.epochs=6", f"run={folder / 'run'}",
    )  # fmt: skip


@pytest.fixture(scope="session")
def silent_run(silent_config: TrainConfig) -> Path:
    """The folder of a whole training run under `silent_config`."""
    from training.train import train

    train(silent_config)
    return Path(silent_config.run)
