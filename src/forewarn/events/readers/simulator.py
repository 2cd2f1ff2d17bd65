"""The simulated support operation as a data set: there are no files, the options are ``SimulatorOptions``."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

from forewarn.events.config import DataConfig
from forewarn.events.event import Event
from forewarn.events.quarantine import Quarantine
from forewarn.events.simulator import SimulatorOptions, simulate

OPTIONS = tuple(field.name for field in dataclasses.fields(SimulatorOptions))


def read(paths: Sequence[Path], cfg: DataConfig, quarantine: Quarantine) -> Iterator[Event]:
    """Yield the events of all customers, customer by customer."""
    del paths, quarantine
    return simulate(SimulatorOptions.from_options(cfg))
