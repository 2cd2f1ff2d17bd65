"""Readers: one file per foreign format, each turning files into events.

A reader module has ``read(paths, cfg, quarantine)``, an iterator of events in source order, and may have
``official_splits(paths, cfg)``, the split its publishers defined. Modules are imported when a data set names them, so
that serving, which reads no files, does not pay for Parquet.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol, cast

from forewarn.events.config import DataConfig
from forewarn.events.event import Event
from forewarn.events.quarantine import Quarantine

_MODULES = {
    "table": "forewarn.events.readers.table",
    "cloudevents": "forewarn.events.readers.cloudevents",
    "uci_servicenow": "forewarn.events.readers.uci_servicenow",
    "helpdesk": "forewarn.events.readers.helpdesk",
    "uss": "forewarn.events.readers.uss",
    "simulator": "forewarn.events.simulator",
}


class Reader(Protocol):
    """What every reader module offers."""

    def read(self, paths: Sequence[Path], cfg: DataConfig, quarantine: Quarantine) -> Iterator[Event]:
        """Yield the events of the files in source order, handing bad rows to the quarantine."""
        ...


def reader(name: str) -> Reader:
    """The reader module of a checked data config's ``reader``."""
    return cast(Reader, importlib.import_module(_MODULES[name]))
