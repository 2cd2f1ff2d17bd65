"""Readers: one file per foreign format, each turning files into events.

A reader module has ``read(paths, cfg, quarantine)``, an iterator of events in source order, and ``OPTIONS``, the names
under ``data.options`` that it understands. It may have ``official_splits(paths, cfg)``, the split its publishers
defined. Modules are found by their name when a data set names them, so that serving, which reads no files, does not pay
for Parquet.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Protocol, cast

from forewarn.events.config import DataConfig
from forewarn.events.event import Event
from forewarn.events.quarantine import Quarantine


class Reader(Protocol):
    """What every reader module offers."""

    OPTIONS: tuple[str, ...]

    def read(self, paths: Sequence[Path], cfg: DataConfig, quarantine: Quarantine) -> Iterator[Event]:
        """Yield the events of the files in source order, handing bad rows to the quarantine."""
        ...


def reader(cfg: DataConfig) -> Reader:
    """The reader module that a data config names; raises ValueError for another name, and for an option unknown to it.

    A module is a reader because it has ``read``: nothing else needs to be told of a new one.
    """
    names = [module.name for module in pkgutil.iter_modules(__path__)]
    found = _module(cfg.reader) if cfg.reader in names else None
    if found is None or not hasattr(found, "read"):
        readers = ", ".join(name for name in names if hasattr(_module(name), "read"))
        raise ValueError(f"data.reader: found {cfg.reader!r}, expected one of {readers}; correct data.reader")
    cfg.check_options(found.OPTIONS)
    return cast(Reader, found)


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"{__name__}.{name}")
